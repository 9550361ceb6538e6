"""The tables, imported here so that Django finds them; nothing else."""

from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivitySource,
    CashBalance,
    FxRate,
    InboxItem,
    Instrument,
    NavPoint,
    Position,
    Price,
    SyncRun,
)

__all__ = [
    "Account",
    "Activity",
    "ActivitySource",
    "CashBalance",
    "FxRate",
    "InboxItem",
    "Instrument",
    "NavPoint",
    "Position",
    "Price",
    "SyncRun",
]
