"""The reader of IBKR's Flex statements (XML), exported by hand or kept from elsewhere."""

import tempfile
import zlib
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from stonks_overwatch.errors import StatementError
from stonks_overwatch.imports.stored import Progress, Refusal, Stored
from stonks_overwatch.ledger import store as ledger
from stonks_overwatch.ledger.models import Import
from stonks_overwatch.services.brokers import ibkr
from stonks_overwatch.services.brokers.ibkr import statements
from stonks_overwatch.services.brokers.ibkr.statements import Reading

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
            counts = ledger.record(reading.batch)
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
    """Take back what no other file and no answer of IBKR's told too.

    What an account held at the statement's end stays where IBKR's answers tell of the account too: it is true
    for its day.
    """
    told = _read(BytesIO(zlib.decompress(record.content)), record, now).batch
    others = [
        *(
            _read(BytesIO(zlib.decompress(other.content)), other, now).batch
            for other in Import.objects.filter(kind=KIND).exclude(pk=record.pk)
        ),
        *ibkr.pulled(),
    ]
    record.delete()
    ledger.retract(told, others, now)
    ledger.forget_states(told, others)


def replay(record: Import, now: datetime) -> None:
    """Bring an imported statement into a ledger that is made anew."""
    with tempfile.TemporaryFile() as file:
        file.write(zlib.decompress(record.content))
        file.seek(0)
        ledger.record(_read(file, record, now).batch)


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
