"""The tables, imported here so that Django finds them; nothing else."""

from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivitySource,
    CashBalance,
    Figure,
    FxRate,
    InboxItem,
    Instrument,
    NavPoint,
    Period,
    Position,
    Price,
    SyncRun,
)

__all__ = [
    "Account",
    "Activity",
    "ActivitySource",
    "CashBalance",
    "Figure",
    "FxRate",
    "InboxItem",
    "Instrument",
    "NavPoint",
    "Period",
    "Position",
    "Price",
    "SyncRun",
]
