"""What each holding added to a return, and the broker's own returns."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine import valuation
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.reports.attribution import AttributionDocument, HoldingReturn, attribution
from stonks_overwatch.reports.broker_returns import BrokerReturn, broker_returns
from stonks_overwatch.reports.daily import books
from stonks_overwatch.reports.explain.asked import of_account
from stonks_overwatch.reports.explain.days import held_on
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, Unit
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    FLOATING,
    base,
    estimated,
    figure,
    floating,
    formula,
    fraction,
    marked,
    plain,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.periods import DAY

REPORTS["attribution"] = lambda a, _: attribution(a.scope, a.start, a.end)


def _worth(which: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        told = seen.root
        words = "quantity × price × rate, summed over the accounts"
        if told.start is None or told.end is None:
            return sum_of([], words)
        on = told.end if which == "end" else told.start - DAY
        daily = seen.reports.daily
        inputs = held_on(seen, daily.accounts, on, {_number(seen)}) if daily else []
        return sum_of(inputs, words, note=FLOATING)

    return made


def _number(seen: Seen) -> int:
    row: HoldingReturn = seen.holder
    named = Instrument.objects.filter(broker_ref=row.broker_ref, symbol=row.symbol, name=row.name)
    return named.values_list("pk", flat=True)[0]


class _Day(NamedTuple):
    """One instrument on one day, over the accounts; `weight` turns a gain into a part of the return."""

    on: date
    paid: float
    income: float
    gain: float
    weight: float


def _days(seen: Seen) -> list[_Day]:
    daily, told = seen.reports.daily, seen.root
    if daily is None or daily.index is None or told.start is None or told.end is None:
        return []
    begin, end = told.start.toordinal() - 1, told.end.toordinal()
    weights = engine.linking_weights(daily.total, daily.index, begin, end).tolist()
    number = _number(seen)
    days = range(begin + 1, end + 1)
    paid, income, gain = ([0.0] * len(days) for _ in range(3))
    for book in books(daily.accounts, seen.base, begin, end):
        numbers = book.instruments.numbers.tolist()
        if number not in numbers:
            continue
        found = valuation.each_day(book, numbers.index(number))
        value, put, got = found.value.tolist(), found.paid.tolist(), found.income.tolist()
        for place in range(len(days)):
            after = place + 1
            paid[place] += put[after]
            income[place] += got[after]
            gain[place] += value[after] - value[place] - put[after] + got[after]
    rows = zip(days, paid, income, gain, weights[1:], strict=True)
    return [_Day(date.fromordinal(day), *figures) for day, *figures in rows]


def _each_day(
    text: str, words: str, amount: Callable[[_Day], float], unit: Unit = base
) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        inputs = []
        for day in _days(seen):
            value = amount(day)
            if value:
                source = f"gain {day.gain:,.2f} {seen.base}" if unit == fraction else ""
                of = unit if isinstance(unit, str) else unit(seen)
                inputs.append(seen.input(text, floating(value), of, as_of=day.on, source=source))
        return sum_of(inputs, words, note=FLOATING)

    return made


figure(HoldingReturn, "begin_base", "Value at the begin", base)(_worth("begin"))
figure(HoldingReturn, "end_base", "Value at the end", base)(_worth("end"))
figure(HoldingReturn, "paid_base", "Paid for it", base)(
    _each_day(
        "paid less taken out",
        "sum of purchases less sales, with commissions, at the rates of their days",
        lambda day: day.paid,
    )
)
figure(HoldingReturn, "income_base", "Income", base)(
    _each_day(
        "income",
        "sum of dividends and interest after what was withheld, at the rates of their days",
        lambda day: day.income,
    )
)
figure(HoldingReturn, "contribution", "Contribution", fraction)(
    _each_day(
        "gain of the day, linked",
        "sum over the days of: gain ÷ what was invested in all × growth up to then",
        lambda day: day.gain * day.weight,
        fraction,
    )
)
siblings(
    HoldingReturn,
    "gain_base",
    "Gain",
    base,
    "formula",
    (
        ("end_base", "value at the end", base),
        ("begin_base", "value at the begin", base),
        ("paid_base", "paid for it", base),
        ("income_base", "income", base),
    ),
    "value at the end − value at the begin − paid for it + income",
)


@figure(AttributionDocument, "rest", "Cash and the rest", fraction)
def _rest(seen: Seen) -> Made:
    inputs = [seen.beside("twr", "time-weighted return", fraction), *_added(seen)]
    return Made("difference", "time-weighted return − what the holdings added", inputs)


_EVEN = "a price is taken to have moved evenly between two known ones that lie more than seven days apart."
estimated(HoldingReturn, ("contribution",), marked, _EVEN)
estimated(AttributionDocument, ("rest",), lambda seen: seen.root.rest_is_estimate, _EVEN)


@figure(AttributionDocument, "twr", "Time-weighted return", fraction)
def _attributed(seen: Seen) -> Made:
    told = seen.input("time-weighted return", seen.value, fraction, "performance.twr")
    return sum_of([told], "the time-weighted return of the days; the holdings and the rest add up to it")


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
    asked = {**of_account(account), "base": account.currency, "start": row.start, "end": row.end}
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
    return formula("(computed − reported) × 10000", inputs, note=seen.holder.why)
