"""Reading IBKR's rows for its own tables and for what to ask next: what cannot be read is unknown.

Telling the user about what could not be read is up to transforming.py.
"""

from decimal import Decimal

from stonks_overwatch.services.brokers.ibkr.values import Row, conid_of, optional, text_of

LARGEST_CONID = 2**63 - 1


def number(row: Row, *fields: str) -> Decimal | None:
    """The first of the fields that holds a number."""
    return next((value for name in fields if (value := optional(row, name, [])) is not None), None)


def text(row: Row, *fields: str) -> str:
    """The first of the fields that holds a text (or a number, as text), else ""."""
    return text_of(row, *fields) or ""


def conid(row: Row, field: str = "conid") -> int | None:
    """IBKR's contract number; None for 0, which is how it writes none."""
    value = conid_of(row.get(field))
    return int(value) if value is not None and int(value) <= LARGEST_CONID else None
