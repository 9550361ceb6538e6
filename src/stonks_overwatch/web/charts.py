"""What the dashboard draws, in the shapes that its templates and scripts take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from stonks_overwatch.reports.allocation import Slice
from stonks_overwatch.reports.dashboard import NavSeries
from stonks_overwatch.web.templatetags.figures import plain

COLOURS = 10
# The same classes and currencies have the same colours on all pages.
_OWN = {
    key: colour
    for keys in (
        ("stock", "etf", "bond", "fund", "cash", "commodity", "crypto", "structured", "option", "future"),
        ("USD", "EUR", "GBP", "CHF", "HKD", "SEK", "DKK", "CAD", "AUD", "JPY"),
    )
    for colour, key in enumerate(keys, start=1)
}  # fmt: skip
_GAP = Decimal("0.6")  # of a ring's 100 units


@dataclass(frozen=True, slots=True)
class Share:
    """One slice with its colour (0 is the colour of the rest) and its arc; a ring has 100 units.

    `length` is None for what a ring cannot show: negative and unknown parts.
    """

    key: str
    value: Decimal | None
    weight: Decimal | None
    colour: int
    start: Decimal
    length: Decimal | None


def colours(keys: Sequence[str]) -> list[int]:
    """The colour of each key: its own, or the next that none of them has; 0 is the colour of the rest."""
    free = (one for one in range(1, COLOURS + 1) if one not in {_OWN.get(key) for key in keys})
    return [_OWN.get(key) or (0 if key == "unknown" else next(free, 0)) for key in keys]


def ring(slices: Sequence[Slice]) -> list[Share]:
    """The slices in their order; the arcs are parts of the sum of the positive ones."""
    whole = sum((row.value_base for row in slices if row.value_base and row.value_base > 0), Decimal(0))
    shares, start = [], Decimal(0)
    for row, colour in zip(slices, colours([row.key for row in slices]), strict=True):
        arc = 100 * row.value_base / whole if whole and row.value_base and row.value_base > 0 else None
        gap = _GAP if len(slices) > 1 else Decimal(0)
        shares.append(
            Share(
                key=row.key,
                value=row.value_base,
                weight=row.weight,
                colour=colour,
                start=-start.quantize(Decimal("0.001")),
                length=None if arc is None else max(arc - gap, gap / 2).quantize(Decimal("0.001")),
            )
        )
        start += arc or 0
    return shares


def value_line(series: NavSeries, currency: str) -> dict[str, Any]:
    """What the chart's script reads: decimals as strings, unknown as null; empty without two values."""
    if sum(nav is not None for nav in series.nav) < 2:
        return {}
    return {
        "currency": currency,
        "dates": [on.isoformat() for on in series.dates],
        "values": [None if nav is None else plain(nav, currency) for nav in series.nav],
    }


def month_ends(series: NavSeries) -> list[tuple[date, Decimal | None]]:
    """The last value of each month, newest first; unknown where the month has none."""
    months: dict[tuple[int, int], tuple[date, Decimal | None]] = {}
    for on, nav in zip(series.dates, series.nav, strict=True):
        month = (on.year, on.month)
        if nav is not None or month not in months:
            months[month] = (on, nav)
    return list(reversed(months.values()))
