"""The reader of canonical CSV."""

import tempfile
import zlib
from datetime import date, datetime
from pathlib import Path

from stonks_overwatch.errors import ImportRefusedError
from stonks_overwatch.imports import canonical
from stonks_overwatch.imports.canonical import File, RefusedFileError
from stonks_overwatch.imports.stored import Progress, Refusal, Stored
from stonks_overwatch.ledger.imported import Counts, undoing
from stonks_overwatch.ledger.imported.activities import record_activities
from stonks_overwatch.ledger.imported.quotes import record_prices, record_rates
from stonks_overwatch.ledger.models import Import

UNKNOWN = "unknown"
_NO_ROWS = "The file names columns and has no rows; there is nothing in it to import."


def recognises(head: bytes) -> bool:  # noqa: ARG001  # whatever nobody else reads; its header says the rest
    return True


def store(path: Path, record: Import, now: datetime, progress: Progress) -> Stored:
    try:
        file = File(path, now.date())
    except RefusedFileError as err:
        return Stored(UNKNOWN, rows=0, refused=(Refusal(err.line, err.reason),))
    counts = Counts(0, 0)
    progress(f"{record.file}: being stored", 0, 0)
    try:
        counts = _record(file, record, now)
    except RefusedFileError as err:
        file.refusals.append(Refusal(err.line, err.reason))
    return Stored(
        file.kind,
        file.rows,
        counts.new,
        counts.known,
        tuple(file.refusals),
        date.fromisoformat(file.since) if file.since else None,
        date.fromisoformat(file.until) if file.until else None,
        note="" if file.rows or file.refusals else _NO_ROWS,
    )


def _record(file: File, record: Import, now: datetime) -> Counts:
    match file.kind:
        case canonical.ACTIVITIES:
            return record_activities(record, file.activities(record.account), file.refuse, now)
        case canonical.PRICES:
            return record_prices(record, file.prices(), file.refuse, now)
        case _:
            return record_rates(record, file.rates())


def rebuild(now: datetime) -> int:
    """Bring all files into the ledger anew, as they were kept; return how many there are.

    Raises: ImportRefusedError when one that was read once is not read any more.
    """
    undoing.clear()
    records = list(Import.objects.filter(kind__in=canonical.KINDS).order_by("pk"))
    for record in records:
        file = _read_again(record, now)
        if file.refusals:
            line, reason = file.refusals[0]
            raise ImportRefusedError(
                f"Import {record.pk} ({record.file}) cannot be read any more: line {line}: {reason}",
                next_step=f"Undo it (stonks-overwatch import --undo {record.pk}), then rebuild again.",
            )
    undoing.sweep(now)
    return len(records)


def undo(record: Import, now: datetime) -> None:
    """A price or rate that an earlier or later import told too is that one's again."""
    others: list[Import] = []
    if record.kind in (canonical.PRICES, canonical.RATES):
        same = Import.objects.filter(kind=record.kind, since__lte=record.until, until__gte=record.since)
        others = list(same.exclude(pk=record.pk).order_by("pk"))
    undoing.undo(record, now)
    for other in others:
        _read_again(other, now)


def _read_again(record: Import, now: datetime) -> File:
    """Store what a file tells, as it was kept."""
    with tempfile.TemporaryDirectory(prefix="stonks-overwatch-") as folder:
        path = Path(folder) / "import.csv"
        path.write_bytes(zlib.decompress(record.content))
        file = File(path, now.date())
        _record(file, record, now)
        return file
