"""Files into the ledger: what each is is seen from its content; one transaction per file, all or nothing."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from django.db import transaction

from stonks_overwatch.errors import ImportRefusedError
from stonks_overwatch.imports import canonical
from stonks_overwatch.imports.canonical import Refusal, RefusedFileError
from stonks_overwatch.ledger import imported
from stonks_overwatch.ledger.models import Import

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file. With a row in `refused` nothing of the file was stored.

    `number` is the import's, by which it is undone; None where nothing was to be stored.
    """

    file: str
    kind: str
    rows: int
    new: int
    known: int
    refused: tuple[Refusal, ...]
    number: int | None = None


def import_file(
    path: Path, *, name: str = "", account: str = "", dry_run: bool = False, now: datetime | None = None
) -> FileResult:
    """Store one file, or nothing of it.

    Args:
        path: where it is; `name` is what the user calls it, where that is not its name there.
        account: of all its rows, whatever the file says.
        dry_run: tell what would happen, and store nothing.

    Raises: ImportRefusedError when the file cannot be opened.
    """
    now = now or datetime.now(UTC)
    try:
        digest, content = _kept(path)
    except OSError as err:
        raise ImportRefusedError(
            f"The file {path} cannot be read ({err.strerror}).", next_step="Check its name and its rights."
        ) from err
    file = None
    with transaction.atomic():
        try:
            file = canonical.File(path, now.date())
            record = Import.objects.create(
                file=name or path.name,
                sha256=digest,
                at=now,
                kind=file.kind,
                account=account,
                rows=0,
                new=0,
                known=0,
                content=content,
            )
            counts = _store(file, record, account, now)
        except RefusedFileError as err:
            refused = [*(file.refusals if file else ()), Refusal(err.line, err.reason)]
            counts = imported.Counts(0, 0)
        else:
            refused = file.refusals
        is_again = not counts.new and _is_again(digest, account)
        is_kept = not (refused or dry_run or is_again)
        if is_kept:
            record.rows, record.new, record.known = file.rows, counts.new, counts.known
            record.since = date.fromisoformat(file.since) if file.since else None
            record.until = date.fromisoformat(file.until) if file.until else None
            record.save(update_fields=["rows", "new", "known", "since", "until"])
        else:
            transaction.set_rollback(True)
    return FileResult(
        file=name or path.name,
        kind=file.kind if file else UNKNOWN,
        rows=file.rows if file else 0,
        new=0 if refused else counts.new,
        known=0 if refused else counts.known,
        refused=tuple(refused),
        number=record.pk if is_kept else None,
    )


def _store(file: canonical.File, record: Import, account: str, now: datetime) -> imported.Counts:
    if file.kind == canonical.ACTIVITIES:
        return imported.record_activities(record, file.activities(account), file.refuse, now)
    if file.kind == canonical.PRICES:
        return imported.record_prices(record, file.prices(), file.refuse, now)
    return imported.record_rates(record, file.rates())


def _is_again(digest: str, account: str) -> bool:
    """Whether the list of imports has this very file already (beside the one that is under way)."""
    return Import.objects.filter(sha256=digest, account=account).count() > 1


def _kept(path: Path) -> tuple[str, bytes]:
    """SHA-256 and the compressed content of a file."""
    digest, packer = hashlib.sha256(), zlib.compressobj(6)
    packed = []
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
            packed.append(packer.compress(block))
    return digest.hexdigest(), b"".join([*packed, packer.flush()])
