"""The value of every day, what came in from outside, and the growth with that taken out."""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from stonks_overwatch.engine.series import BROKER, CARRIED, OWN, Index, Total, numbers
from stonks_overwatch.reports.daily import DailyTotal, Group, daily_total
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.scope import Scope

Source = Literal["own", "broker", "both", "unknown"]
_SOURCES: dict[int, Source] = {0: "unknown", OWN: "own", BROKER: "broker", OWN + BROKER: "both"}
_DECIMALS = 10


class SeriesDocument(Document):
    """Every calendar day, oldest first; null is unknown.

    `nav` is the value at the day's end, `net_contribution` what came in from outside on the day (deposits
    and transfers in, less withdrawals and transfers out), `twr_index` the growth of one unit of currency
    with contributions taken out: 1 on the first day from which everything is known. The index does not
    depend on the days asked for; the return between two days is the ratio of their indices less 1.

    Not in the JSON: `sources` says whether a value is from our own valuation or from the broker, `carried`
    whether it uses a price or a value of an earlier day.
    """

    dates: tuple[date, ...]
    nav: tuple[Computed | None, ...]
    net_contribution: tuple[Computed | None, ...]
    twr_index: tuple[Computed | None, ...]
    sources: tuple[Source, ...] = Field(exclude=True)
    carried: tuple[bool, ...] = Field(exclude=True)


def series(
    scope: Scope, start: date | None = None, end: date | None = None, only: Group | None = None
) -> SeriesDocument:
    """The days from `start` to `end` (both included), at most those anything is known of.

    Of some holdings alone (`only`), what is paid for them is a contribution, and what they pay out too.
    """
    daily = daily_total(scope, only)
    if daily is None:
        return _document(None, None, 0, -1)
    return days_of(daily, start, end)


def days_of(daily: DailyTotal, start: date | None, end: date | None) -> SeriesDocument:
    """The document of some days of a series."""
    first = max(daily.total.first, start.toordinal() if start else 0)
    last = min(daily.total.last, end.toordinal() if end else daily.total.last)
    return _document(daily.total, daily.index, first, last)


def _document(total: Total | None, index: Index | None, first: int, last: int) -> SeriesDocument:
    if total is None or first > last:
        return SeriesDocument(dates=(), nav=(), net_contribution=(), twr_index=(), sources=(), carried=())
    part = slice(first - total.first, last - total.first + 1)
    told = total.source[part].tolist()
    days = last - first + 1
    return SeriesDocument.model_construct(
        dates=tuple(date.fromordinal(day) for day in range(first, last + 1)),
        nav=decimals(numbers(total.nav[part])),
        net_contribution=decimals(numbers(total.contribution[part])),
        twr_index=(None,) * days if index is None else decimals(numbers(index.after_tax[part])),
        sources=tuple(_SOURCES[source & (OWN + BROKER)] for source in told),
        carried=tuple(bool(source & CARRIED) for source in told),
    )


class PeriodDays(Document):
    """Every day of a period from the end of the day before it, counted from its begin; null is unknown.

    `contributed` is the value at the begin and what came in since, `growth` that of one unit of currency,
    `fall` the fraction below the highest growth so far.
    """

    dates: tuple[date, ...]
    nav: tuple[Computed | None, ...]
    contributed: tuple[Computed | None, ...]
    growth: tuple[Computed | None, ...]
    fall: tuple[Computed | None, ...]


def from_begin(document: SeriesDocument) -> PeriodDays:
    """The days of a series counted from the first of them."""
    put_in = document.nav[0] if document.nav else None
    first = highest = next((level for level in document.twr_index if level is not None), None)
    contributed, growth, fall = [], [], []
    for number, (flow, level) in enumerate(zip(document.net_contribution, document.twr_index, strict=True)):
        if number:
            put_in = None if put_in is None or flow is None else put_in + flow
        highest = max(highest, level) if highest is not None and level is not None else highest
        contributed.append(put_in)
        growth.append(level / first if level is not None and first else None)
        fall.append(level / highest - 1 if level is not None and highest else None)
    return PeriodDays(
        dates=document.dates,
        nav=document.nav,
        contributed=tuple(contributed),
        growth=tuple(growth),
        fall=tuple(fall),
    )


def decimals(values: list[float | None]) -> tuple[Decimal | None, ...]:
    return tuple(map(decimal, values))


def decimal(value: float | None) -> Decimal | None:
    """The engine's number with ten decimals; None for unknown (NaN)."""
    if value is None or value != value:  # noqa: PLR0124  # NaN alone differs from itself
        return None
    return Decimal(f"{value:.{_DECIMALS}f}")
