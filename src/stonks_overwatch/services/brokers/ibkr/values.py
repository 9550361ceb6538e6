"""Values of IBKR's JSON as exact types.

Absent, null and empty text are the same to IBKR and mean unknown here.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from stonks_overwatch.errors import UnexpectedAnswerError
from stonks_overwatch.ledger.types import currency

Row = Mapping[str, Any]

# Hundredths of a currency that are written as if they were one.
MINOR_UNITS = {"GBX": "GBP", "GBp": "GBP", "ILA": "ILS", "ZAC": "ZAR", "ZAc": "ZAR"}
HUNDREDTH = Decimal("0.01")

_TEXT_DATE = re.compile(r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}) .*(?P<year>\d{4})")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


class UntypedError(Exception):
    """Why a row cannot be typed."""


def number(row: Row, field: str) -> Decimal | None:
    """Read one number of IBKR's JSON exactly; None where IBKR left it out or marked it as unset.

    Raises: UnexpectedAnswerError for anything that is not a number.
    """
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool):
        raise UnexpectedAnswerError("IBKR", field, value)
    if isinstance(value, Decimal):
        result = value
    else:
        written = str(value).replace(",", "").strip()
        if not written:
            return None
        try:
            # Through str: Decimal(0.1) would carry the error of the binary float.
            result = Decimal(written)
        except InvalidOperation as err:
            raise UnexpectedAnswerError("IBKR", field, value) from err
    # NaN is no price; the largest double (1.8E308) is how IBKR's back end writes "not set".
    if not result.is_finite() or result.adjusted() > 30:
        return None
    return result


def optional(row: Row, field: str, doubts: list[str], label: str | None = None) -> Decimal | None:
    """A number the row can do without; what is no number becomes unknown and is named in `doubts`."""
    try:
        return number(row, field)
    except UnexpectedAnswerError:
        doubts.append(label or field)
        return None


def first_number(rows: Iterable[Row], field: str, doubts: list[str]) -> Decimal | None:
    """The first that is not 0: rows without contract data say 0."""
    return next((value for row in rows if (value := optional(row, field, doubts))), None)


def text_of(row: Row, *fields: str) -> str | None:
    """The first of the fields that holds something, without blanks at its ends."""
    for name in fields:
        value = row.get(name)
        if value is None or isinstance(value, (dict, list)):
            continue
        if text := storable(str(value)).strip():
            return text
    return None


def first_text(rows: Iterable[Row], *fields: str) -> str | None:
    return next((text for name in fields for row in rows if (text := text_of(row, name))), None)


def conid_of(value: Any) -> str | None:
    """IBKR's contract number, which is a number here and a text there; 0 means none."""
    text = str(value).strip() if isinstance(value, int | str | float | Decimal) else ""
    text = text.removesuffix(".0")
    return text if text.isascii() and text.isdigit() and text.strip("0") else None


def moment_of(value: Any, latest: datetime | None = None) -> datetime | None:
    """Epoch seconds or milliseconds, told apart by size; None for what is no time, or lies after `latest`."""
    count = optional({"": value}, "", [])
    if count is None:
        return None
    seconds = count / 1000 if count > 10**11 else count
    if not 0 < seconds < 10**10:
        return None
    moment = datetime.fromtimestamp(float(seconds), UTC)
    if latest is not None and moment > latest + timedelta(days=1):
        return None
    return moment


def day_of(value: Any) -> date | None:
    """`yyyymmdd`, as a text or a number."""
    text = str(value)
    if not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def text_day_of(value: Any) -> date | None:
    """The date of `Tue Mar 31 00:00:00 EDT 2026`; its zone is the market's own, so it needs no conversion."""
    found = _TEXT_DATE.fullmatch(str(value).strip())
    if not found or found["month"] not in _MONTHS:
        return None
    return day_of(f"{found['year']}{_MONTHS.index(found['month']) + 1:02}{int(found['day']):02}")


def major(code: str) -> tuple[str, Decimal]:
    """The currency, and what one unit of `code` is in it. Raises: UntypedError for what is no currency."""
    if code in MINOR_UNITS:
        return MINOR_UNITS[code], HUNDREDTH
    try:
        return currency(code), Decimal(1)
    except ValueError as err:
        raise UntypedError(str(err)) from err


def nav_series(body: Any) -> list[dict[str, Any]]:
    """The daily NAV series in an answer of PortfolioAnalyst: `id`, `baseCurrency`, `points` and `returns`.

    `points` are rows of `date` and `val`, oldest first, as IBKR wrote them. `/pa/performance` has one list of
    dates for all its series; `/pa/allperiods` has a series per account and period, of which the one that
    reaches back furthest holds the others. `returns` are rows of the same form: the time-weighted return
    since the start; none where IBKR tells another return, or not since when. Raises: UntypedError for any
    other shape.
    """
    if not isinstance(body, dict):
        raise UntypedError("not a series of values")
    nav, cps = body.get("nav"), body.get("cps")
    grown = cps.get("data") if isinstance(cps, dict) and isinstance(cps.get("data"), list) else []
    returns = {row.get("id"): row.get("returns") for row in grown or [] if isinstance(row, dict)}
    found = []
    if isinstance(nav, dict) and isinstance(nav.get("data"), list):
        found = [
            (
                series,
                nav.get("dates"),
                series.get("navs"),
                series.get("startNAV"),
                returns.get(series.get("id")),
            )
            for series in nav["data"]
            if isinstance(series, dict)
        ]
    elif isinstance(body.get("included"), list):
        for account in body["included"]:
            periods = body.get(account)
            if isinstance(periods, dict):
                rows = [row for row in periods.values() if isinstance(row, dict) and row.get("nav")]
                longest = max(rows, key=lambda row: len(row["nav"]), default={})
                series = {"id": account, "baseCurrency": periods.get("baseCurrency")}
                values, start = longest.get("nav"), longest.get("startNAV")
                found.append((series, longest.get("dates"), values, start, longest.get("cps")))
    else:
        raise UntypedError("not a series of values")
    return [
        {
            "id": series.get("id"),
            "baseCurrency": series.get("baseCurrency"),
            "points": [start] * isinstance(start, dict) + _zipped(dates, values),
            "returns": _zipped(dates, growth)
            if isinstance(growth, list) and isinstance(start, dict) and body.get("pm") == "TWR"
            else [],
        }
        for series, dates, values, start, growth in found
    ]


def _zipped(dates: Any, values: Any) -> list[dict[str, Any]]:
    """Rows of `date` and `val`; the lists' lengths can differ by one. Raises: UntypedError."""
    if not isinstance(dates, list) or not isinstance(values, list):
        raise UntypedError("not a series of values")
    return [{"date": day, "val": value} for day, value in zip(dates, values, strict=False)]


def near(value: Decimal, wanted: Decimal, tolerance: Decimal = HUNDREDTH) -> bool:
    return abs(value - wanted) <= abs(wanted) * tolerance


def decoded(name: str) -> str:
    """Complete HTML entities turned into what they stand for; the result is text, never markup."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), name)


def plain_text(value: Decimal | None) -> str:
    """One text per number, whichever way it was written: 4.0 is 4."""
    if value is None:
        return ""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def as_json(content: Any) -> str:
    return storable(json.dumps(content, default=str, sort_keys=True, ensure_ascii=False))


def storable(text: str) -> str:
    """Half of a character that JSON can escape and no database takes, written out; all else as it is."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
