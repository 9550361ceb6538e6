"""Returns and the value bridge of a period.

The engine computes in floats; here each part of the bridge becomes a Decimal of whole cents and `other` is
the exact rest: begin + net contribution + market + income + fees + taxes + currency + other = end, to the
last digit. Rounding is part of `other` for that reason.

A period is from its first day to its last, both included: its begin is the value at the end of the day
before. A number is null where the history of the period is not completely known.
"""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal

from pydantic import Field

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine import valuation
from stonks_overwatch.engine.series import Figures, Risks
from stonks_overwatch.reports import periods
from stonks_overwatch.reports.accruals import accrued
from stonks_overwatch.reports.benchmark import Benchmark
from stonks_overwatch.reports.daily import DailyTotal, Group, books, daily_total
from stonks_overwatch.reports.documents import Computed, Document, total
from stonks_overwatch.reports.periods import Days
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import decimal

_CENT = Decimal("0.01")


class Bridge(Document):
    """What changed the value besides contributions.

    `income` is dividends and interest before tax, `fees` fees and commissions, `taxes` all taxes booked,
    `currency` the effect of exchange rates on what was held, each day's at its own rates, what has no price
    of the day at its last price known; `market` the effect of prices. `other` is what is left: money moved
    for a reason that is not known, changes of what the broker counts and the ledger does not (accruals), and
    the rounding of the parts. `market` and `currency` are null where something held in another currency has
    never had a price, or the broker's value comes without its accruals; their effect is then in `other`.
    """

    market: Computed | None
    income: Computed | None
    fees: Computed | None
    taxes: Computed | None
    currency: Computed | None
    other: Computed | None


class Risk(Document):
    """Of the daily time-weighted returns on weekdays, per year of 252 days; null for a month or less.

    `sharpe` and `sortino` take nothing as the return without risk. `beta` needs a benchmark.
    """

    volatility: Computed | None
    max_drawdown: Computed | None
    sharpe: Computed | None
    sortino: Computed | None
    beta: Computed | None


class PerformanceDocument(Document):
    """The figures of one period. Rates are fractions; only `twr_annualized` and `xirr` are per year.

    `twr`: true time-weighted, valued daily, flows at the start of their day (at the end of a day that ends
    with nothing), after fees and after tax as booked. `twr_annualized` is null for 365 days or less.
    `xirr`: money-weighted, Actual/365. `modified_dietz`: day-weighted, flows at the end of their day, as
    IBKR reports its money-weighted return. `complete_since` is the first day at whose end everything
    is known up to the last day known. `bridge_is_estimate`: what `market` and `currency` are together is
    exact, and how it is split between them an estimate, because a rate changed while something held in its
    currency had no price of the last seven days. The rest is for pages: the simple return and the return
    before tax.
    """

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    begin_nav: Computed | None
    end_nav: Computed | None
    net_contribution: Computed | None
    twr: Computed | None
    twr_annualized: Computed | None
    xirr: Computed | None
    modified_dietz: Computed | None
    bridge: Bridge
    risk: Risk
    complete_since: date | None
    bridge_is_estimate: bool
    simple: Computed | None = Field(exclude=True)
    twr_before_tax: Computed | None = Field(exclude=True)


class PeriodRow(Document):
    """The returns of one period; all null where it is not inside of what is known."""

    name: str
    start: date = Field(serialization_alias="from")
    end: date = Field(serialization_alias="to")
    begin_nav: Computed | None = None
    end_nav: Computed | None = None
    net_contribution: Computed | None = None
    twr: Computed | None = None
    twr_before_tax: Computed | None = None
    twr_annualized: Computed | None = None
    xirr: Computed | None = None
    modified_dietz: Computed | None = None
    simple: Computed | None = None


def performance(
    scope: Scope,
    start: date | None = None,
    end: date | None = None,
    benchmark: str = "",
    only: Group | None = None,
    *,
    price_return: bool = False,
) -> PerformanceDocument:
    """The figures from `start` to `end`; without them, of all days on which everything is known.

    Args:
        scope: the accounts.
        start, end: the first and the last day, both included.
        benchmark: what `beta` is taken against; see benchmark.Benchmark.
        only: some holdings alone, as if they were an account of their own.
        price_return: the benchmark's dividends are left out.
    """
    daily = daily_total(scope, only)
    if daily is None:
        return _nothing(scope.base_currency, start, end)
    days = asked_days(daily, start, end)
    against = None
    if benchmark:
        against = Benchmark.named(benchmark, scope.base_currency, daily, days, price_return=price_return)
    return measured(daily, scope.base_currency, days, against=against)


def asked_days(daily: DailyTotal, start: date | None, end: date | None) -> Days:
    """The days asked for; all that is known where a side is open.

    Where nothing is known on that side, all days that there are.
    """
    known = known_days(daily)
    first, last = start or known.first, end or known.last
    if first <= last:
        return Days(first, last)
    if start is None:
        return Days(min(date.fromordinal(daily.total.first) + periods.DAY, last), last)
    return Days(first, max(date.fromordinal(daily.total.last), first) if end is None else last)


def known_days(daily: DailyTotal) -> Days:
    """All days on which everything is known; where none is, from the first to the last with a value."""
    if daily.index is None:
        first, last = engine.valued_days(daily.total)
        return Days(date.fromordinal(first) + periods.DAY, date.fromordinal(last))
    return Days(date.fromordinal(daily.index.since) + periods.DAY, date.fromordinal(daily.index.until))


class PeriodsDocument(Document):
    """The figures of the standard periods, of calendar years (newest first) and of months (oldest first)."""

    periods: tuple[PeriodRow, ...]
    years: tuple[PeriodRow, ...]
    months: tuple[PeriodRow, ...]
    complete_since: date | None


def returns_by_period(scope: Scope, only: Group | None = None) -> PeriodsDocument:
    """Returns of all periods that days are known of."""
    daily = daily_total(scope, only)
    if daily is None:
        return PeriodsDocument(periods=(), years=(), months=(), complete_since=None)
    return periods_of(daily)


def periods_of(daily: DailyTotal, *, months_in_full: bool = True) -> PeriodsDocument:
    """Years and months begin and end with what is known: the first and the last may be part of one.

    Without `months_in_full`, of the months the time-weighted return alone.
    """
    begin, last = known_days(daily).first - periods.DAY, known_days(daily).last

    def rows(
        names: Iterable[str], row: Callable[[DailyTotal, Days, str], PeriodRow]
    ) -> tuple[PeriodRow, ...]:
        found = []
        for name in names:
            days = periods.standard(name, begin, last)
            is_calendar = name[0].isdigit() and len(name) in (4, 7)
            if is_calendar:
                days = Days(max(days.first, begin + periods.DAY), min(days.last, last))
            found.append(row(daily, days, name))
        return tuple(found)

    return PeriodsDocument(
        periods=rows(periods.STANDARD, _row),
        years=rows(periods.years(begin, last), _row),
        months=rows(periods.months(begin, last), _row if months_in_full else _growth),
        complete_since=complete_since(daily),
    )


def _growth(daily: DailyTotal, days: Days, name: str) -> PeriodRow:
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    twr = None if daily.index is None else decimal(engine.growth(daily.index, daily.total.first, begin, end))
    return PeriodRow(name=name, start=days.first, end=days.last, twr=twr)


def _row(daily: DailyTotal, days: Days, name: str) -> PeriodRow:
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    if not daily.total.first <= begin < end <= daily.total.last:
        return PeriodRow(name=name, start=days.first, end=days.last)
    found = engine.figures(daily.total, daily.index, begin, end)
    return PeriodRow(
        name=name,
        start=days.first,
        end=days.last,
        begin_nav=decimal(found.begin_nav),
        end_nav=decimal(found.end_nav),
        net_contribution=decimal(found.contribution),
        twr=decimal(found.twr),
        twr_before_tax=decimal(found.twr_before_tax),
        twr_annualized=decimal(found.twr_annualized),
        xirr=decimal(found.xirr),
        modified_dietz=decimal(found.modified_dietz),
        simple=decimal(found.simple),
    )


def measured(
    daily: DailyTotal, base: str, days: Days, against: Benchmark | None = None
) -> PerformanceDocument:
    """The figures of a period of the series; all unknown where it is not inside of it."""
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    if not daily.total.first <= begin < end <= daily.total.last:
        return _nothing(base, days.first, days.last, complete_since(daily))
    before, after = accrued(daily, base, (begin, end))
    found = engine.figures(daily.total, daily.index, begin, end, after - before)
    risks = risks_of(daily, days, against)
    bridge = _bridge(found)
    return PerformanceDocument(
        start=days.first,
        end=days.last,
        base_currency=base,
        begin_nav=decimal(found.begin_nav),
        end_nav=decimal(found.end_nav),
        net_contribution=decimal(found.contribution),
        twr=decimal(found.twr),
        twr_annualized=decimal(found.twr_annualized),
        xirr=decimal(found.xirr),
        modified_dietz=decimal(found.modified_dietz),
        bridge=bridge,
        risk=Risk(
            volatility=decimal(risks.volatility) if risks else None,
            max_drawdown=decimal(risks.max_drawdown) if risks else None,
            sharpe=decimal(risks.sharpe) if risks else None,
            sortino=decimal(risks.sortino) if risks else None,
            beta=decimal(risks.beta) if risks else None,
        ),
        complete_since=complete_since(daily),
        bridge_is_estimate=bridge.currency is not None and _lacks_prices(daily, base, begin, end),
        simple=decimal(found.simple),
        twr_before_tax=decimal(found.twr_before_tax),
    )


def risks_of(daily: DailyTotal, days: Days, against: Benchmark | None) -> Risks | None:
    """Risk of a period; None where the index does not hold all of it."""
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    if daily.index is None or not daily.index.since <= begin < end <= daily.index.until:
        return None
    grown = daily.index.after_tax
    return engine.risks(daily.total.first, grown, against.grown if against else None, begin, end)


def complete_since(daily: DailyTotal) -> date | None:
    return None if daily.index is None else date.fromordinal(daily.index.since)


def _lacks_prices(daily: DailyTotal, base: str, begin: int, end: int) -> bool:
    """Whether a rate changed while something held in its currency had no price."""
    if engine.is_valued(daily.total, begin, end):
        return False
    wanted = None if daily.only is None else daily.only.numbers()
    return any(
        valuation.without_price(
            book,
            valuation.truths(
                [wanted is None or number in wanted for number in book.instruments.numbers.tolist()]
            ),
        )
        for book in books(daily.accounts, base, begin, end)
    )


def _bridge(found: Figures) -> Bridge:
    """Whole cents; what they leave of the change, to the last digit, goes to `other`."""
    begin, end, contribution = decimal(found.begin_nav), decimal(found.end_nav), decimal(found.contribution)
    income, fees, taxes = _cents(found.income), _cents(found.fees), _cents(found.taxes)
    market, currency = _cents(found.market), _cents(found.currency)
    if market is None or currency is None:
        market = currency = None
    other = None
    if None not in (begin, end, contribution, income, fees, taxes) and begin is not None and end is not None:
        other = end - begin - (total((contribution, income, fees, taxes, market, currency)).value or 0)
    return Bridge(market=market, income=income, fees=fees, taxes=taxes, currency=currency, other=other)


def _cents(number: float) -> Decimal | None:
    exact = decimal(number)
    return None if exact is None else exact.quantize(_CENT)


def _nothing(
    base: str, start: date | None, end: date | None, since: date | None = None
) -> PerformanceDocument:
    return PerformanceDocument(
        start=start,
        end=end,
        base_currency=base,
        begin_nav=None,
        end_nav=None,
        net_contribution=None,
        twr=None,
        twr_annualized=None,
        xirr=None,
        modified_dietz=None,
        bridge=Bridge(market=None, income=None, fees=None, taxes=None, currency=None, other=None),
        risk=Risk(volatility=None, max_drawdown=None, sharpe=None, sortino=None, beta=None),
        complete_since=since,
        bridge_is_estimate=False,
        simple=None,
        twr_before_tax=None,
    )
