"""What each holding added to the return of a period; the parts add up to the time-weighted return.

A holding's gain of a day over what was invested at the day's start, times the growth up to then, is what
it added on that day (contributions linked like the index itself). Where it has no price for days, its price
is taken to have moved evenly from the last one known to the next. What is not in a holding, cash with its
interest and costs and the effect of its exchange rates, is the last part: the rest.
"""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from math import isnan

from pydantic import Field

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine import valuation
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.reports.daily import DailyTotal, books, daily_total
from stonks_overwatch.reports.documents import Computed, Document, option
from stonks_overwatch.reports.performance import asked_days
from stonks_overwatch.reports.periods import DAY, Days
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import decimal


class HoldingReturn(Document):
    """One instrument over all accounts looked at, in the base currency.

    `gain_base` = `end_base` - `begin_base` - `paid_base` + `income_base`: `paid_base` is what was put in
    less what was taken out, with commissions; `income_base` dividends and interest after what was withheld.
    `contribution` is a fraction of the return of the whole. Null where a price or a rate is unknown.
    `is_estimate`: it had no price for some days, so that `contribution` is an estimate. `why` says what is
    missing where something is null.
    """

    symbol: str
    name: str
    asset_class: str
    isin: str | None
    broker_ref: str
    begin_base: Computed | None
    end_base: Computed | None
    paid_base: Computed | None
    income_base: Computed | None
    gain_base: Computed | None
    contribution: Computed | None
    is_estimate: bool
    why: str
    option: str = Field(exclude=True)
    expires_on: date | None = Field(exclude=True)


class AttributionDocument(Document):
    """`rest` is what cash and all else that is no holding added; with it, `contribution` adds up to `twr`.

    `rest_is_estimate`: it makes up for what is an estimate in the holdings. `unknown` counts the holdings of
    which it is not known what they added; then neither is the rest.
    """

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    holdings: tuple[HoldingReturn, ...]
    rest: Computed | None
    rest_is_estimate: bool
    unknown: int
    twr: Computed | None
    count: int = Field(exclude=True)

    @property
    def is_cut(self) -> bool:
        """Whether there are more holdings than these."""
        return self.count > len(self.holdings)


def attribution(scope: Scope, start: date | None = None, end: date | None = None) -> AttributionDocument:
    """The holdings of a period, those that added most first; without days, of all that is known."""
    daily = daily_total(scope)
    if daily is None:
        return AttributionDocument(
            start=start,
            end=end,
            base_currency=scope.base_currency,
            holdings=(),
            rest=None,
            rest_is_estimate=False,
            unknown=0,
            twr=None,
            count=0,
        )
    return attributed(daily, scope.base_currency, asked_days(daily, start, end))


def attributed(daily: DailyTotal, base: str, days: Days, most: int | None = None) -> AttributionDocument:
    """The same, of a series that is there already; with `most`, only those that added most and least.

    There are no more than `most` of them, of `count`.
    """
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    grown = daily.index
    sums: dict[int, list[float]] = {}
    estimates: set[int] = set()
    twr = rest = None
    if grown is not None and grown.since <= begin < end <= grown.until:
        weights = engine.linking_weights(daily.total, grown, begin, end)
        sums, estimates = _sums(daily, base, begin, end, weights)
        whole = engine.figures(daily.total, grown, begin, end).twr
        twr, rest = decimal(whole), decimal(whole - sum(figures[-1] for figures in sums.values()))
    shown = sorted(sums, key=lambda number: _most_first(number, sums[number]))
    if most is not None and len(shown) > most:
        known = [number for number in shown if not isnan(sums[number][-1])]
        shown = [*shown[: most // 2], *known[most // 2 :][-(most // 2) :]]
    described = Instrument.objects.in_bulk(shown)
    return AttributionDocument(
        start=days.first,
        end=days.last,
        base_currency=base,
        holdings=tuple(
            _row(described[number], sums[number], days, is_even=number in estimates) for number in shown
        ),
        rest=rest,
        rest_is_estimate=rest is not None and bool(estimates),
        unknown=sum(isnan(figures[-1]) for figures in sums.values()),
        twr=twr,
        count=len(sums),
    )


def _sums(
    daily: DailyTotal, base: str, begin: int, end: int, weights: engine.Floats
) -> tuple[dict[int, list[float]], set[int]]:
    """The figures of each instrument over the accounts, in the order in which `_row` names them.

    Also the instruments whose price was taken to have moved evenly over some days.
    """
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0] * 6)
    even: set[int] = set()
    for book in books(daily.accounts, base, begin, end):
        found = valuation.by_holding(book, weights)
        columns = (found.begin, found.end, found.paid, found.income, found.gain, found.weighted)
        rows = zip(book.instruments.numbers.tolist(), *(column.tolist() for column in columns), strict=True)
        for number, *figures in rows:
            if any(figures):
                sums[number] = [a + b for a, b in zip(sums[number], figures, strict=True)]
        even.update(book.instruments.numbers[found.is_even].tolist())
    return sums, even


def _row(instrument: Instrument, figures: list[float], days: Days, *, is_even: bool) -> HoldingReturn:
    begin, end, paid, income, gain, contribution = map(decimal, figures)
    return HoldingReturn(
        symbol=instrument.symbol,
        name=instrument.name,
        asset_class=instrument.asset_class,
        isin=instrument.isin,
        broker_ref=instrument.broker_ref,
        begin_base=begin,
        end_base=end,
        paid_base=paid,
        income_base=income,
        gain_base=gain,
        contribution=contribution,
        is_estimate=is_even and contribution is not None,
        why=_why(begin, end, days) if contribution is None else "",
        option=option(instrument.right, instrument.strike),
        expires_on=instrument.expires_on,
    )


def _why(begin: Decimal | None, end: Decimal | None, days: Days) -> str:
    """What is missing, and what to do about it."""
    lacking = [on for on, value in ((days.first - DAY, begin), (days.last, end)) if value is None]
    if not lacking:
        return "An amount of these days, or its rate, is not known. Import the rates (docs/Import.md)."
    when = " and ".join(f"{on.day} {on:%b %Y}" for on in lacking)
    return (
        f"No price, or no rate, of the seven days up to {when} is known. "
        "Import its prices (docs/Import.md), or look at days that have some."
    )


def _most_first(number: int, figures: list[float]) -> tuple[int, float, int]:
    """By contribution; where that is unknown by gain, and what has neither last."""
    *_, gain, contribution = figures
    for place, figure in enumerate((contribution, gain)):
        if not isnan(figure):
            return place, -figure, number
    return 2, 0.0, number
