"""Reading IBKR's rows for its own tables and for what to ask next: what cannot be read is unknown.

Strict reading, with what could not be read put into the inbox, is in transform.py.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from stonks_overwatch.errors import UnexpectedAnswerError
from stonks_overwatch.services.brokers.ibkr.values import number as strictly

Row = Mapping[str, Any]


def number(row: Row, *fields: str) -> Decimal | None:
    """The first of the fields that holds a number."""
    for field in fields:
        try:
            value = strictly(row, field)
        except UnexpectedAnswerError:
            continue
        if value is not None:
            return value
    return None


def text(row: Row, *fields: str) -> str:
    """The first of the fields that holds a text (or a number, as text), else ""."""
    for field in fields:
        value = row.get(field)
        if value not in (None, "") and not isinstance(value, dict | list):
            return str(value)
    return ""


def conid(row: Row, field: str = "conid") -> int | None:
    """IBKR's contract number, which is a number here and a text there; 0 means none."""
    value = number(row, field)
    if value is None or value != value.to_integral_value() or not 0 < value < 2**63:
        return None
    return int(value)
