"""What tells the rows of a report apart, and what a reader calls them."""

from datetime import date
from decimal import Decimal

from stonks_overwatch.ledger.lots import Close, Lot
from stonks_overwatch.reports.documents import Document, exact_text

_NAMING = ("symbol", "name", "alias", "account", "what", "key", "currency", "year", "on", "kind")


def key_of(row: Document) -> str:
    """The key of one row of a list: the same as long as it is about the same thing, unique in its list.

    What an activity made is called by the activity's id, an instrument by broker and the broker's number
    (and the account, where rows are of accounts), anything else by what it is grouped by.
    """
    fields = type(row).model_fields
    told = {name: getattr(row, name) for name in _IDENTIFYING if name in fields}
    names: tuple[str, ...]
    if "closed_by" in told or "opened_by" in told:
        names = ("broker", "account", "broker_ref", "opened_by", "closed_by", "quantity")
    elif told.get("id"):
        names = ("id", "kind") if {"fee", "amount_base"} <= set(fields) else ("id",)  # parts of one activity
    elif alone := next((name for mark, name in _ALONE if mark in fields), None):
        names = (alone,)
    elif "key" in told:
        names = ("key", "name") if told.get("name") else ("key",)
    elif "on" in told:
        of_what = ("broker_ref",) if "broker_ref" in told else ("symbol", "name", "right", "strike")
        names = ("on", "kind", "broker", "account", *of_what, "currency")
    elif "basis_points" in fields:
        names = ("broker", "account", "source", "start", "end")
    elif "nav" in fields and "account" in told:
        names = ("broker", "account")
    elif told.get("broker_ref"):
        names = ("broker", "broker_ref", "account")
    else:
        contract = ("symbol", "name", "right", "strike", "expires_on")
        names = ("broker", "account", "currency", "asset_class", "underlying", *contract)
    return " ".join(_text(told[name]) for name in names if told.get(name) not in (None, ""))


# A row with the one field is called by the other; "sold" is what a sale comes to by one method.
_ALONE = (("sold", "method"), ("what", "what"), ("year", "year"))
_IDENTIFYING = (
    "id",
    "source",
    "start",
    "end",
    "what",
    "key",
    "name",
    "year",
    "on",
    "kind",
    "broker",
    "account",
    "broker_ref",
    "currency",
    "asset_class",
    "underlying",
    "symbol",
    "right",
    "strike",
    "expires_on",
    "method",
    "opened_by",
    "closed_by",
    "quantity",
)


def name_of(row: Document) -> str:
    """What a reader calls the row."""
    for name in _NAMING:
        value = getattr(row, name, None)
        if value not in (None, ""):
            return _text(value)
    return ""


def lot_key(broker: str, account: str, reference: str, lot: Lot | Close) -> str:
    """The key of an open or a closed lot, as `key_of` makes it of its row."""
    closed_by = (lot.closed_by,) if isinstance(lot, Close) else ()
    return " ".join((broker, account, reference, lot.opened_by, *closed_by, exact_text(lot.quantity)))


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return exact_text(value)
    return value.isoformat() if isinstance(value, date) else str(value)
