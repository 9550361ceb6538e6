"""Dates and times in every spelling a Flex query can be set to.

All but two spellings say by themselves what they mean. `MM/dd` and `dd/MM` do not: the whole file is
asked then, and refused when it does not decide (a guess would move every date of the first twelve days).
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import BinaryIO, Literal
from zoneinfo import ZoneInfo

from stonks_overwatch.errors import StatementError

Order = Literal["month first", "day first"]

# IBKR books in New York's time unless the query names another zone.
EASTERN = ZoneInfo("America/New_York")
_ZONE_HOURS = {
    "Z": 0, "UTC": 0, "GMT": 0, "BST": 1, "CET": 1, "CEST": 2, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5,
    "PST": -8, "PDT": -7, "HKT": 8, "SGT": 8, "JST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}

_MOMENT = re.compile(
    r"""(?: (?P<y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})
          | (?P<first>\d{2})/(?P<second>\d{2})/(?P<year>\d{4}|\d{2})
          | (?P<day>\d{1,2})-(?P<month>[A-Za-z]{3})-(?P<of>\d{4}|\d{2}) )
        (?: (?:;|,[ ]?|[ ]|T)?
            (?P<hour>\d{2}):?(?P<minute>\d{2}):?(?P<second_of>\d{2})(?:\.\d+)?
            [ ]?(?P<zone>[A-Z]{1,4}|[+-]\d{2}:?\d{2})? )?""",
    re.VERBOSE,
)
_TIME = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})")
# Attributes that hold a date; elsewhere ("10/25/19" in the name of an option) it proves nothing.
_SLASHED = re.compile(
    rb"""(?:[Dd]ate|[Tt]ime|expiry|maturity|whenGenerated|whenRealized|whenReopened)
         \s*=\s*["'](\d\d)/(\d\d)/(?:\d{4}|\d\d)\b""",
    re.VERBOSE,
)
_STATEMENT = re.compile(rb"<FlexStatement\s[^>]{0,2000}>")
_BOUND = re.compile(rb"\b(fromDate|toDate|whenGenerated)\s*=\s*[\"']([^\"']{6,40})[\"']")
_CHUNK = 1 << 20
_OVERLAP = 4096


class Dates:
    """Reads the dates of one file; remembers what it has read, since few days fill a statement."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._order: Order | None = None
        self._days: dict[str, date] = {}

    def day(self, text: str) -> date:
        """The date of a date or of a date and time. Raises: ValueError, StatementError."""
        known = self._days.get(text)
        if known is None:
            known = self._day(_parsed(text))
            self._days[text] = known
        return known

    def moment(self, text: str, time: str | None = None) -> tuple[date, datetime | None]:
        """The market's own date, and the moment in UTC where a time is told with it or beside it.

        Raises: ValueError, StatementError.
        """
        if time is None and (len(text) == 8 or len(text) == 10):
            return self.day(text), None
        found = _parsed(text)
        day = self._day(found)
        parts = _time(found, time)
        if parts is None:
            return day, None
        zone = _zone(found["zone"])
        if zone is None:
            return day, None
        moment = datetime(day.year, day.month, day.day, *parts, tzinfo=zone)
        return day, moment.astimezone(UTC)

    def _day(self, found: re.Match[str]) -> date:
        if found["y"]:
            return date(int(found["y"]), int(found["m"]), int(found["d"]))
        if found["month"]:
            return date(_year(found["of"]), _MONTHS[found["month"].upper()], int(found["day"]))
        if self._order is None:
            self._order = decided_order(self._stream)
        return _slashed(found, self._order)


def _parsed(text: str) -> re.Match[str]:
    found = _MOMENT.fullmatch(text.strip())
    if found is None or (found["month"] and found["month"].upper() not in _MONTHS):
        raise ValueError(f"{text!r} is not a date")
    return found


def _year(text: str) -> int:
    """Two digits stand for 1970 to 2069: bonds mature late, and IBKR's books start in the nineties."""
    return int(text) if len(text) == 4 else int(text) + (1900 if int(text) >= 70 else 2000)


def _slashed(found: re.Match[str], order: Order) -> date:
    first, second = int(found["first"]), int(found["second"])
    month, day = (first, second) if order == "month first" else (second, first)
    return date(_year(found["year"]), month, day)


def _time(found: re.Match[str], beside: str | None) -> tuple[int, int, int] | None:
    if found["hour"]:
        return int(found["hour"]), int(found["minute"]), int(found["second_of"])
    if beside and (time := _TIME.fullmatch(beside.strip())):
        return int(time[1]), int(time[2]), int(time[3])
    return None


def _zone(text: str | None) -> ZoneInfo | timezone | None:
    """None for a zone that is not known: the time is unknown then, not New York's."""
    if text is None:
        return EASTERN
    if text[0] in "+-":
        digits = text[1:].replace(":", "")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        return timezone(-offset if text[0] == "-" else offset)
    hours = _ZONE_HOURS.get(text)
    return None if hours is None else timezone(timedelta(hours=hours))


def decided_order(stream: BinaryIO) -> Order:
    """Which of MM/dd and dd/MM the file uses, told by a day above 12 or by periods that run forwards.

    The stream stays where it is. Raises: StatementError when the file does not decide.
    """
    position = stream.tell()
    stream.seek(0)
    try:
        first, second, periods = _evidence(stream)
    finally:
        stream.seek(position)
    if first > 12 and second > 12:
        raise StatementError(
            "The statement mixes dates written MM/dd and dd/MM.",
            next_step="Set the Flex query's date format to yyyyMMdd and export the statement again.",
        )
    if first > 12:
        return "day first"
    if second > 12:
        return "month first"
    possible = [order for order in _ORDERS if all(_runs_forwards(period, order) for period in periods)]
    if len(possible) == 1:
        return possible[0]
    raise StatementError(
        "The statement's dates can be read as MM/dd or as dd/MM, and nothing in it decides.",
        next_step="Set the Flex query's date format to yyyyMMdd and export the statement again.",
    )


_ORDERS: tuple[Order, Order] = ("month first", "day first")


def _evidence(stream: BinaryIO) -> tuple[int, int, list[dict[bytes, str]]]:
    """The largest first and second number of slashed dates, and the bounds of each statement."""
    first, second, periods, rest = 0, 0, [], b""
    while chunk := stream.read(_CHUNK):
        window = rest + chunk
        for found in _SLASHED.finditer(window):
            first, second = max(first, int(found[1])), max(second, int(found[2]))
        periods += [
            {name: text.decode(errors="replace") for name, text in _BOUND.findall(statement[0])}
            for statement in _STATEMENT.finditer(window)
        ]
        rest = window[-_OVERLAP:]
    return first, second, periods


def _runs_forwards(period: dict[bytes, str], order: Order) -> bool:
    """Whether from, to and generated come in this order when dates are read so."""
    days = list(_readable(period, order))
    return days == sorted(days)


def _readable(period: dict[bytes, str], order: Order) -> Iterable[date]:
    for name in (b"fromDate", b"toDate", b"whenGenerated"):
        found = _MOMENT.fullmatch(period.get(name, "").strip())
        if found and found["first"]:
            yield _slashed(found, order)
