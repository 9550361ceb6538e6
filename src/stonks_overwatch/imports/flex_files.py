"""The reader of IBKR's Flex statements (XML), exported by hand or kept from elsewhere."""

import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from stonks_overwatch.errors import StatementError
from stonks_overwatch.imports.stored import Progress, Refusal, Stored
from stonks_overwatch.ledger import store as ledger
from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.models import Account, Import
from stonks_overwatch.ledger.types import Batch
from stonks_overwatch.services.brokers.ibkr import statements
from stonks_overwatch.services.brokers.ibkr.statements import EASTERN, UNKNOWN_CURRENCY, Reading

KIND = "flex"
BROKER = "ibkr"
_MEGABYTE = 1_000_000


def recognises(head: bytes) -> bool:
    return statements.looks_like_statement(head)


def store(path: Path, record: Import, now: datetime, progress: Progress) -> Stored:
    """Rows that cannot be typed go to the inbox; only a file that is no statement is refused."""
    try:
        with path.open("rb") as stream:
            reading = _read(stream, record, now, _megabytes(path, record.file, progress))
            progress(f"{record.file}: {sum(reading.rows.values()):,} rows are being stored", 0, 0)
            counts = _record(reading, now)
    except StatementError as err:
        return Stored(KIND, rows=0, refused=(Refusal(1, f"{err.what} {err.next_step}"),))
    periods = reading.batch.periods
    lacking = statements.missing_sections(reading)
    return Stored(
        KIND,
        rows=sum(reading.rows.values()),
        new=counts.activities_new,
        known=counts.activities_known,
        since=min((period.since for period in periods), default=None),
        until=max((period.until for period in periods), default=None),
        inbox=tuple(Refusal(line, reason) for line, reason in reading.inbox),
        note=lacking.reason if lacking else "",
    )


def undo(record: Import, now: datetime) -> None:
    """Take back what no other file and no answer of IBKR's told too."""
    told = _read(BytesIO(zlib.decompress(record.content)), record, now).batch
    others = [
        _read(BytesIO(zlib.decompress(other.content)), other, now).batch
        for other in Import.objects.filter(kind=KIND).exclude(pk=record.pk)
    ]
    record.delete()
    ledger.retract(told, others, now)


def replay(record: Import, now: datetime) -> None:
    """Bring an imported statement into a ledger that is made anew."""
    with tempfile.TemporaryFile() as file:
        file.write(zlib.decompress(record.content))
        file.seek(0)
        _record(_read(file, record, now), now)


def _read(
    stream: BinaryIO, record: Import, now: datetime, progress: Callable[[int], None] = lambda _: None
) -> Reading:
    return statements.read(
        stream, login="", fetched_at=now, account=record.account or None, progress=progress
    )


def _megabytes(path: Path, name: str, progress: Progress) -> Callable[[int], None]:
    """Tell of every tenth megabyte that is read."""
    total = path.stat().st_size // _MEGABYTE
    told = 0

    def tell(read: int) -> None:
        nonlocal told
        if read // _MEGABYTE >= told + 10:
            told = read // _MEGABYTE
            progress(f"{name}: megabytes read", told, total)

    return tell


def _record(reading: Reading, now: datetime) -> ledger.Counts:
    """Store the state a statement ends with, where nothing newer is known, and then all that happened."""
    stored = {row.account: row for row in Account.objects.filter(broker=BROKER)}
    batch = _with_known_accounts(reading.batch, stored)
    state = _newer_state(batch, stored)
    if state is not None:
        ledger.record(state)
    past = replace(
        batch,
        positions={},
        partial_positions=(),
        cash={},
        partial_cash=(),
        values=(),
        told_at=min(reading.generated_at or now, now),
    )
    return ledger.record(past)


def _with_known_accounts(batch: Batch, stored: Mapping[str, Account]) -> Batch:
    """What is known of an account already stays, where the statement does not tell it."""
    login = next((stored[a.account].login for a in batch.accounts if a.account in stored), "")
    ends = _ends(batch)
    accounts = tuple(
        _with_known(account, stored[account.account], ends.get(account.account))
        if account.account in stored
        else account
        for account in batch.accounts
    )
    return replace(batch, login=login, accounts=accounts)


def _with_known(told: types.Account, known: Account, end: datetime | None) -> types.Account:
    """An account as it is known, where that is later than the end of the statement; else as told."""
    moments = [moment for moment in (known.positions_at, known.cash_at) if moment is not None]
    if end is None or not moments or max(moments) <= end:
        is_unknown = told.currency == UNKNOWN_CURRENCY
        return replace(told, currency=known.currency) if is_unknown else told
    return replace(
        told,
        currency=told.currency if known.currency == UNKNOWN_CURRENCY else known.currency,
        alias=known.alias or told.alias,
        kind=known.kind or told.kind,
        opened_on=known.opened_on or told.opened_on,
    )


def _ends(batch: Batch) -> dict[str, datetime]:
    """When the last day ends of what is told of each account."""
    days: dict[str, date] = {}
    for period in batch.periods:
        days[period.account] = max(period.until, days.get(period.account, period.until))
    close = time.max.replace(microsecond=0)
    return {account: datetime.combine(day, close, EASTERN).astimezone(UTC) for account, day in days.items()}


def _newer_state(batch: Batch, stored: Mapping[str, Account]) -> Batch | None:
    """Positions, cash and values of the accounts of which nothing later is known."""
    ends = _ends(batch)
    at = max((ends[a] for a in {*batch.positions, *batch.cash} if a in ends), default=None)
    if at is None:
        return None

    def is_news(account: str) -> bool:
        known = stored.get(account)
        moments = (known.positions_at, known.cash_at) if known else ()
        return ends.get(account) == at and all(moment is None or moment < at for moment in moments)

    positions = {account: rows for account, rows in batch.positions.items() if is_news(account)}
    cash = {account: rows for account, rows in batch.cash.items() if is_news(account)}
    if not positions and not cash:
        return None
    named = {*positions, *cash}
    return replace(
        batch,
        fetched_at=at,
        accounts=tuple(account for account in batch.accounts if account.account in named),
        positions=positions,
        partial_positions=tuple(row for row in batch.partial_positions if is_news(row.account)),
        cash=cash,
        values=tuple(value for value in batch.values if value.account in named),
        rates=(),
        navs=(),
        activities=(),
        periods=(),
        figures=(),
        inbox=(),
    )
