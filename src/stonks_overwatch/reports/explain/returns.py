"""How returns come about: the figures of series, performance, periods, risk, comparison and attribution.

The engine computes them in floating point and a document shows ten decimals, so that the inputs give these
figures to about nine digits and not to the last one.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from stonks_overwatch.ledger.models import Activity, NavPoint
from stonks_overwatch.reports.attribution import AttributionDocument, HoldingReturn, attribution
from stonks_overwatch.reports.broker_returns import BrokerReturn, broker_returns
from stonks_overwatch.reports.contributions import contributions
from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.explain.documents import How, Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, Unit
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import base, figure, fraction, plain, siblings, sum_of
from stonks_overwatch.reports.explain.used import activities, points
from stonks_overwatch.reports.performance import (
    Bridge,
    PerformanceDocument,
    PeriodRow,
    Risk,
    performance,
    returns_by_period,
)
from stonks_overwatch.reports.periods import DAY
from stonks_overwatch.reports.risk import ComparisonDocument, RiskDocument, comparison, risk
from stonks_overwatch.reports.scope import accounts
from stonks_overwatch.reports.series import SeriesDocument, series

REPORTS["series"] = lambda a, _: series(a.scope, a.start, a.end, a.only)
REPORTS["performance"] = lambda a, _: performance(
    a.scope, a.start, a.end, a.benchmark, a.only, price_return=a.price_return
)
REPORTS["periods"] = lambda a, _: returns_by_period(a.scope, a.only)
REPORTS["risk"] = lambda a, _: risk(a.scope, a.start, a.end, a.benchmark, a.only, price_return=a.price_return)
REPORTS["comparison"] = lambda a, _: comparison(
    a.scope, a.benchmark, a.start, a.end, price_return=a.price_return
)
REPORTS["attribution"] = lambda a, _: attribution(a.scope, a.start, a.end)

_FLOATING = "Computed in floating point: the inputs give it to about nine digits."

# Days


def _on_day(seen: Seen, name: str, text: str, unit: str, on: date) -> Input:
    """A figure of the series on another day."""
    told = series(seen.arguments.scope, on, on, seen.arguments.only)
    value = getattr(told, name)[0] if told.dates else None
    asked = {"start": None, "end": None}
    return seen.input(text, value, unit, f"series.{name}", on.isoformat(), as_of=on, asked=asked)


@figure(SeriesDocument, "nav", "Value", base, "At the end of the day, at that day's prices and rates.")
def _nav(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    place = seen.root.dates.index(on)
    looked_at = accounts(seen.arguments.scope)
    ledger = [
        points(NavPoint.objects.filter(account__in=looked_at, on=on)),
        activities(Activity.objects.current().filter(account__in=looked_at, trade_date=on)),
    ]
    words = {
        "own": "quantities × prices of the day × rates of the day + cash",
        "broker": "the broker's own value of the day × rate of the day",
        "both": "of some accounts the broker's own value of the day, of the others our own valuation",
        "unknown": "unknown: no price, rate or value of the broker is known",
    }[seen.root.sources[place]]
    note = "A price or a value of an earlier day is part of it, as none is known of this one."
    inputs = [
        _on_day(seen, "nav", "value of the day before", seen.base, on - DAY),
        _on_day(seen, "net_contribution", "net contribution of the day", seen.base, on),
    ]
    return Made("computed", words, inputs, ledger=ledger, note=note if seen.root.carried[place] else "")


@figure(SeriesDocument, "net_contribution", "Net contribution", base, "What came in from outside on the day.")
def _contribution(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    return sum_of(
        _flows(seen, on, on), "sum of deposits, withdrawals and transfers of the day", note=_FLOATING
    )


def _flows(seen: Seen, first: date, last: date) -> list[Input]:
    if seen.arguments.only is not None:
        return []
    found = contributions(seen.arguments.scope, first, last)
    return [
        seen.input(
            flow.kind.replace("_", " "),
            flow.amount_base,
            seen.base,
            "contributions.flows.amount_base",
            key_of(flow),
            as_of=flow.on,
            asked={"start": first, "end": last},
        )
        for flow in reversed(found.flows)
        if not flow.is_internal
    ]


@figure(SeriesDocument, "twr_index", "Growth of 1", plain, "With contributions taken out.")
def _index(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    inputs = [
        _on_day(seen, "twr_index", "growth to the day before", "", on - DAY),
        _on_day(seen, "nav", "value at the end of the day", seen.base, on),
        _on_day(seen, "nav", "value of the day before", seen.base, on - DAY),
        _on_day(seen, "net_contribution", "net contribution of the day", seen.base, on),
    ]
    words = "growth to the day before × value at the end ÷ (value of the day before + net contribution)"
    return Made("computed", words, inputs, note=_FLOATING)


# Periods


def _begin(seen: Seen, name: str, text: str, unit: str) -> Input:
    return _on_day(seen, name, f"{text} at the begin", unit, seen.holder.start - DAY)


def _end(seen: Seen, name: str, text: str, unit: str) -> Input:
    return _on_day(seen, name, f"{text} at the end", unit, seen.holder.end)


def _value_at(which: Callable[[Seen, str, str, str], Input]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return sum_of([which(seen, "nav", "value", seen.base)], "the value of that day")

    return made


def _period_contribution(seen: Seen) -> Made:
    flows = _flows(seen, seen.holder.start, seen.holder.end)
    return sum_of(flows, "sum of deposits, withdrawals and transfers of the period", note=_FLOATING)


def _twr(seen: Seen) -> Made:
    inputs = [_end(seen, "twr_index", "growth", ""), _begin(seen, "twr_index", "growth", "")]
    words = (
        "growth to the end ÷ growth to the begin − 1; valued daily, contributions at the start of their day"
    )
    return Made("change", words, inputs, note=_FLOATING)


def _before_tax(seen: Seen) -> Made:
    words = "like the time-weighted return, with the taxes of each day given back before it is linked"
    return Made(
        "computed", words, [seen.beside("twr", "time-weighted return after tax", fraction)], note=_FLOATING
    )


def _annualized(seen: Seen) -> Made:
    days = (seen.holder.end - seen.holder.start).days + 1
    inputs = [seen.beside("twr", "time-weighted return", fraction), seen.input("days", Decimal(days), "")]
    return Made(
        "computed", "(1 + return) ^ (365 ÷ days) − 1; not for 365 days or less", inputs, note=_FLOATING
    )


def _values_and_flows(seen: Seen) -> list[Input]:
    return [
        seen.beside("begin_nav", "value at the begin", seen.base),
        seen.beside("end_nav", "value at the end", seen.base),
        seen.beside("net_contribution", "net contribution", seen.base),
        *_flows(seen, seen.holder.start, seen.holder.end),
    ]


def _engine(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return Made("computed", formula, _values_and_flows(seen), note=_FLOATING)

    return made


_OF_PERIODS: tuple[tuple[str, str, Unit, str, Callable[[Seen], Made]], ...] = (
    ("begin_nav", "Value at the begin", base, "At the end of the day before the first.", _value_at(_begin)),
    ("end_nav", "Value at the end", base, "At the end of the last day.", _value_at(_end)),
    ("net_contribution", "Net contribution", base, "Put in less taken out.", _period_contribution),
    ("twr", "Time-weighted return", fraction, "What the portfolio did, contributions taken out.", _twr),
    ("twr_before_tax", "Time-weighted return before tax", fraction, "", _before_tax),
    ("twr_annualized", "Time-weighted return a year", fraction, "", _annualized),
    (
        "xirr",
        "Money-weighted return a year",
        fraction,
        "What the investor earned, contributions at their days.",
        _engine("rate r with Σ flow ÷ (1 + r) ^ (days ÷ 365) = 0, the values at begin and end being flows"),
    ),
    (
        "modified_dietz",
        "Modified Dietz return",
        fraction,
        "Of the period, as IBKR reports its money-weighted return.",
        _engine("gain ÷ (value at the begin + Σ flow × part of the period after the flow's day)"),
    ),
    (
        "simple",
        "Simple return",
        fraction,
        "",
        _engine("(end − begin − net contribution) ÷ (begin + net contribution)"),
    ),
)


def _within_days(making: Callable[[Seen], Made]) -> Callable[[Seen], Made]:
    """Unknown without days: a period that is not inside of what is known has none."""

    def made(seen: Seen) -> Made:
        if seen.holder.start is None or seen.holder.end is None:
            return Made("computed", "no day of the period is known")
        return making(seen)

    return made


for _model in (PerformanceDocument, PeriodRow):
    for _name, _title, _unit, _meaning, _made in _OF_PERIODS:
        figure(_model, _name, _title, _unit, _meaning)(_within_days(_made))


# The bridge


def _of_report(words: str, figures: tuple[tuple[str, str], ...]) -> Callable[[Seen], Made]:
    """A part of the bridge beside the report that lists its bookings, of the same days."""

    def made(seen: Seen) -> Made:
        asked = {"start": seen.root.start, "end": seen.root.end}
        report: dict[str, Document] = {}
        inputs = []
        for text, name in figures:
            first = name.split(".")[0]
            if first not in report:
                report[first] = REPORTS[first](replace(seen.arguments, **asked), seen.reports)
            value = getattr(report[first].totals, name.rpartition(".")[2])  # type: ignore[attr-defined]
            inputs.append(seen.input(text, value, seen.base, name, asked=asked))
        return Made(
            "computed", words, inputs, note="In whole cents; the rest of the rounding is in the other part."
        )

    return made


figure(Bridge, "income", "Income", base, "Before tax.")(
    _of_report(
        "sum of dividends and interest of the days, before tax",
        (("gross income", "income.totals.gross_base"),),
    )
)
figure(Bridge, "fees", "Fees", base)(
    _of_report("sum of the fees and commissions of the days", (("fees", "fees.totals.gross_base"),))
)
figure(Bridge, "taxes", "Taxes", base)(
    _of_report("sum of all taxes booked on the days", (("taxes", "fees.totals.tax_base"),))
)


def _bridge_part(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        told: PerformanceDocument = seen.root
        inputs = [
            seen.input("value at the begin", told.begin_nav, seen.base, "performance.begin_nav"),
            seen.input("value at the end", told.end_nav, seen.base, "performance.end_nav"),
        ]
        return Made("computed", formula, inputs, note=_FLOATING)

    return made


figure(Bridge, "market", "Market", base, "The effect of prices.")(
    _bridge_part(
        "change of the value less accruals, everything that was booked and the effect of exchange rates"
    )
)
figure(Bridge, "currency", "Currency", base, "The effect of exchange rates on what was held.")(
    _bridge_part(
        "for each day and currency: what was held at its begin, at the last price known, × the day's change "
        "of the rate, summed"
    )
)


@figure(Bridge, "other", "Other", base, "What is left, so that the parts add up to the cent.")
def _other(seen: Seen) -> Made:
    told: PerformanceDocument = seen.root
    cent = Decimal("0.01")
    inputs = [
        seen.input(text, None if value is None else value.quantize(cent), seen.base, f"performance.{name}")
        for text, value, name in (
            ("value at the end", told.end_nav, "end_nav"),
            ("value at the begin", told.begin_nav, "begin_nav"),
            ("net contribution", told.net_contribution, "net_contribution"),
        )
    ]
    parts = ("market", "income", "fees", "taxes", "currency")
    known = [name for name in parts if getattr(seen.holder, name) is not None]
    inputs += [seen.beside(name, name, seen.base) for name in known]
    return Made(
        "difference", "value at the end − value at the begin − net contribution − the other parts", inputs
    )


_STEPS = ("net_contribution", "market", "income", "fees", "taxes", "currency", "other")


def _steps(document: PerformanceDocument, last: str) -> list[tuple[str, Decimal | None]]:
    """The parts of the bridge up to one of them; without prices and rates apart there are fewer."""
    parts = {
        "net_contribution": document.net_contribution,
        **{name: getattr(document.bridge, name) for name in _STEPS[1:]},
    }
    names = [
        name for name in _STEPS if document.bridge.market is not None or name not in ("market", "currency")
    ]
    return [(name, parts[name]) for name in names[: names.index(last) + 1]] if last in names else []


def _after(last: str) -> Callable[[PerformanceDocument], Decimal | None]:
    def value(document: PerformanceDocument) -> Decimal | None:
        known = [document.begin_nav, *(amount for _, amount in _steps(document, last))]
        return (
            None if document.begin_nav is None else sum((one for one in known if one is not None), Decimal(0))
        )

    return value


for _name in _STEPS:

    def _level(seen: Seen, last: str = _name) -> Made:
        inputs = [seen.input("value at the begin", seen.root.begin_nav, seen.base, "performance.begin_nav")]
        for name, amount in _steps(seen.root, last):
            figure_name = (
                f"performance.{name}" if name == "net_contribution" else f"performance.bridge.{name}"
            )
            inputs.append(seen.input(name.replace("_", " "), amount, seen.base, figure_name))
        return sum_of(inputs, "value at the begin + the parts up to this one")

    figure(
        PerformanceDocument,
        f"after_{_name}",
        f"Value after {_name.replace('_', ' ')}",
        base,
        "A step of the bridge from the value at the begin to that at the end.",
        value=_after(_name),
    )(_level)


# Risk

_RISKS: tuple[tuple[str, str, Unit, str], ...] = (
    ("volatility", "Volatility", fraction, "sample deviation of the daily returns × √252"),
    ("downside_deviation", "Downside deviation", fraction, "root mean square of the daily losses × √252"),
    ("sharpe", "Sharpe ratio", plain, "mean daily return × 252 ÷ volatility; no return is free of risk"),
    ("sortino", "Sortino ratio", plain, "mean daily return × 252 ÷ downside deviation"),
    ("max_drawdown", "Deepest fall", fraction, "lowest growth ÷ highest growth before it − 1"),
    ("calmar", "Calmar ratio", plain, "return a year ÷ deepest fall"),
    ("value_at_risk", "Value at risk", fraction, "the loss of a day that was exceeded on one of twenty"),
    (
        "beta",
        "Beta",
        plain,
        "covariance of the daily returns with the benchmark's ÷ variance of the benchmark's",
    ),
    ("alpha", "Alpha", fraction, "mean daily return × 252 − beta × mean daily return of the benchmark × 252"),
    ("correlation", "Correlation", plain, "covariance ÷ product of the two deviations"),
    ("tracking_error", "Tracking error", fraction, "sample deviation of the daily differences × √252"),
    ("information_ratio", "Information ratio", plain, "mean daily difference × 252 ÷ tracking error"),
)


def _risk(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        told = seen.root
        inputs = []
        if told.start is not None and told.end is not None:
            inputs = [
                _on_day(seen, "twr_index", "growth at the begin", "", told.start - DAY),
                _on_day(seen, "twr_index", "growth at the end", "", told.end),
            ]
        words = "Of the daily returns of the growth between these days, on weekdays."
        return Made("computed", formula, inputs, note=f"{words} {_FLOATING}")

    return made


for _name, _title, _unit, _words in _RISKS:
    figure(RiskDocument, _name, _title, _unit, "Per year of 252 days.")(_risk(_words))
    if _name in Risk.model_fields:
        figure(Risk, _name, _title, _unit, "Per year of 252 days.")(_risk(_words))


# Beside a benchmark


def _compared(formula: str, *fields: tuple[str, str, Unit]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        inputs = [
            seen.beside(name, text, unit if isinstance(unit, str) else unit(seen))
            for name, text, unit in fields
        ]
        return Made("computed", formula, inputs, note=_FLOATING)

    return made


_WITH_SAME = "the value had the begin value and each later contribution gone into the benchmark on its day"
figure(ComparisonDocument, "twr", "Time-weighted return", fraction)(_compared("growth over the period − 1"))


@figure(ComparisonDocument, "benchmark_return", "Return of the benchmark", fraction)
def _of_benchmark(seen: Seen) -> Made:
    told: ComparisonDocument = seen.root
    words = "price at the end ÷ price at the begin − 1, at the rates of the days; a mix every day anew"
    if not told.dividends:
        return Made("computed", words, note=f"A price return: no dividend is in it. {_FLOATING}")
    kind = "A total return" if told.total_return else "A price return and the dividends that are known"
    words = "product of the days: (price + dividend) ÷ price of the day before, at the rates of the days; − 1"
    note = f"{kind}: {told.dividends} of those that your accounts received are reinvested, before tax."
    return Made("computed", words, note=f"{note} {_FLOATING}")


figure(ComparisonDocument, "end_nav", "Value at the end", base)(_compared("the value of the last day"))
figure(ComparisonDocument, "benchmark_end_nav", "Value with the same contributions", base)(
    _compared(_WITH_SAME, ("end_nav", "value at the end", base))
)
figure(ComparisonDocument, "index", "Growth", plain)(
    _compared("growth of one unit of currency since the begin")
)
figure(ComparisonDocument, "benchmark_index", "Growth of the benchmark", plain)(
    _compared("growth of one unit of currency in the benchmark since the begin")
)
figure(ComparisonDocument, "benchmark_nav", "Value with the same contributions", base)(_compared(_WITH_SAME))


# What each holding added


def _held(name: str, title: str, formula: str, unit: Unit = base) -> None:
    @figure(HoldingReturn, name, title, unit)
    def made(_: Seen) -> Made:
        return Made("computed", formula, note=_FLOATING)


_held("begin_base", "Value at the begin", "quantity × price × rate at the end of the day before")
_held("end_base", "Value at the end", "quantity × price × rate of the last day")
_held(
    "paid_base",
    "Paid for it",
    "sum of purchases less sales, with commissions, at the rates of their days",
)
_held(
    "income_base",
    "Income",
    "sum of dividends and interest after what was withheld, at the rates of their days",
)
_HELD: How = "computed"
siblings(
    HoldingReturn,
    "gain_base",
    "Gain",
    base,
    _HELD,
    (
        ("end_base", "value at the end", base),
        ("begin_base", "value at the begin", base),
        ("paid_base", "paid for it", base),
        ("income_base", "income", base),
    ),
    "value at the end − value at the begin − paid for it + income",
)
siblings(
    HoldingReturn,
    "contribution",
    "Contribution",
    fraction,
    _HELD,
    (("gain_base", "gain", base),),
    "sum over the days: gain of the day ÷ what was invested × growth up to then",
)


@figure(AttributionDocument, "rest", "Cash and the rest", fraction)
def _rest(seen: Seen) -> Made:
    inputs = [seen.beside("twr", "time-weighted return", fraction), *_added(seen)]
    return Made("difference", "time-weighted return − what the holdings added", inputs)


@figure(AttributionDocument, "twr", "Time-weighted return", fraction)
def _attributed(seen: Seen) -> Made:
    inputs = [*_added(seen), seen.beside("rest", "cash and the rest", fraction)]
    return sum_of(inputs, "sum of what the holdings added, and the rest")


def _added(seen: Seen) -> list[Input]:
    return [
        seen.input(row.symbol, row.contribution, fraction, "attribution.holdings.contribution", key_of(row))
        for row in seen.root.holdings
    ]


# The broker's own returns

REPORTS["broker_returns"] = lambda a, _: broker_returns(a.scope, a.start, a.end)


@figure(BrokerReturn, "computed", "Time-weighted return", fraction, "In the currency of the account.")
def _own_return(seen: Seen) -> Made:
    row: BrokerReturn = seen.holder
    account = seen.account(row.broker, row.account)
    scope = replace(
        seen.arguments.scope, account=account.account, broker=account.broker, base_currency=account.currency
    )
    asked = {"scope": scope, "start": row.start, "end": row.end}
    told = seen.input(
        "time-weighted return of the account", row.computed, fraction, "performance.twr", asked=asked
    )
    return sum_of([told], "the time-weighted return of these days")


@figure(BrokerReturn, "reported", "Return as the broker tells it", fraction)
def _their_return(seen: Seen) -> Made:
    source = "its statement" if seen.holder.source == "ChangeInNAV" else seen.holder.source
    return Made("reported", f"as {source} has it")


@figure(BrokerReturn, "basis_points", "Apart", plain, "In hundredths of a percent.")
def _apart(seen: Seen) -> Made:
    inputs = [seen.beside("computed", "computed", fraction), seen.beside("reported", "reported", fraction)]
    return Made("computed", "(computed − reported) × 10,000", inputs, note=seen.holder.why)
