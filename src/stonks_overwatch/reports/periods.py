"""The periods that returns are shown for, as days that are both included."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)
STANDARD = ("1D", "1W", "MTD", "1M", "3M", "6M", "YTD", "1Y", "3Y", "5Y", "all")
_MONTHS = {"1M": 1, "3M": 3, "6M": 6, "1Y": 12, "3Y": 36, "5Y": 60}


class Days(NamedTuple):
    """From the first day to the last one; the value at the end of the day before the first is the begin."""

    first: date
    last: date


def standard(name: str, begin: date, last: date) -> Days:
    """One of STANDARD, a year like 2025 or a month like 2025-03.

    Args:
        name: of the period.
        begin, last: the first day whose end has a value, and the last one.

    Raises: ValueError for a name that is none of these.
    """
    match name:
        case "all":
            return Days(begin + DAY, last)
        case "1D":
            return Days(last, last)
        case "1W":
            return Days(last - 6 * DAY, last)
        case "MTD":
            return Days(last.replace(day=1), last)
        case "YTD":
            return Days(last.replace(month=1, day=1), last)
    if name in _MONTHS:
        return Days(_months_before(last, _MONTHS[name]) + DAY, last)
    year, _, month = name.partition("-")
    if not (year.isascii() and year.isdigit() and len(year) == 4):
        raise ValueError(f"{name!r} is not a period")
    if not month:
        return Days(date(int(year), 1, 1), date(int(year), 12, 31))
    start = date(int(year), int(month), 1)
    return Days(start, (start + 31 * DAY).replace(day=1) - DAY)


def _months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or its last day."""
    number = day.year * 12 + day.month - 1 - months
    first = date(number // 12, number % 12 + 1, 1)
    end = (first + 31 * DAY).replace(day=1) - DAY
    return first.replace(day=min(day.day, end.day))


def years(begin: date, last: date) -> list[str]:
    """The calendar years that days after `begin` lie in, newest first."""
    return [str(year) for year in range(last.year, (begin + DAY).year - 1, -1)]


def months(begin: date, last: date) -> Iterator[str]:
    """The calendar months that days after `begin` lie in, oldest first."""
    month = (begin + DAY).replace(day=1)
    while month <= last:
        yield f"{month:%Y-%m}"
        month = (month + 31 * DAY).replace(day=1)
