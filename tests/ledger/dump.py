"""The whole ledger as values, to compare one state with another."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from stonks_overwatch.ledger import models

TABLES = (
    models.Account,
    models.Instrument,
    models.Position,
    models.CashBalance,
    models.Coverage,
    models.Activity,
    models.ActivitySource,
    models.Price,
    models.FxRate,
    models.NavPoint,
    models.Period,
    models.Figure,
    models.InboxItem,
)
# Rows that refer to each other are told apart by name, not by the number the database gave them.
_NAMES = {
    "account_id": "account__account",
    "instrument_id": "instrument__broker_ref",
    "activity_id": "activity__key",
    "superseded_by_id": "superseded_by__key",
}


def dump(without: Iterable[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the ledger by table, without its number and the columns `without`."""
    found = {}
    for table in TABLES:
        columns = [
            _NAMES.get(f.attname, f.attname)
            for f in table._meta.fields
            if not f.primary_key and f.attname not in set(without)
        ]
        rows: QuerySet[Any, Any] = table._default_manager.all()
        found[table.__name__] = sorted(rows.values_list(*columns), key=repr)
    return found
