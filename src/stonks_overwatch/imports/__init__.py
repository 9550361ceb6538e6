"""Files into the ledger: what a file is is seen from its content; one transaction per file, all or nothing.

Each kind of file has a reader: a module with the three functions of `Reader`.
"""

import hashlib
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from django.db import transaction

from stonks_overwatch import database
from stonks_overwatch.errors import ImportRefusedError
from stonks_overwatch.imports import csv_files, details_files, flex_files
from stonks_overwatch.imports.stored import Progress, Refusal, Stored
from stonks_overwatch.ledger.models import Import
from stonks_overwatch.ledger.sql import roomy, without_collector

HEAD = 4096
LONG = 10_000_000  # bytes; below that a file is through before anybody wonders


class Reader(Protocol):
    """What reads one sort of files."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is for this reader."""
        ...

    def store(self, path: Path, record: Import, now: datetime, progress: Progress) -> Stored:
        """Bring a file into the ledger. `record` is stored already, for rows to point to it."""
        ...

    def undo(self, record: Import, now: datetime) -> None:
        """Take back what this import alone brought, and delete `record`."""
        ...


# The first that recognises a file reads it. The last takes all, and says what is wrong with the others.
READERS: Sequence[Reader] = (details_files, flex_files, csv_files)


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file. With a row in `refused` nothing of the file was stored; those in `inbox` were
    kept for the user to look at, and stopped nothing.

    `number` is the import's, by which it is undone; None where nothing was to be stored.
    """

    file: str
    kind: str
    rows: int
    new: int
    known: int
    refused: tuple[Refusal, ...]
    number: int | None
    inbox: tuple[Refusal, ...] = ()
    note: str = ""


def in_order(paths: Sequence[Path]) -> list[Path]:
    """The files in the order to import them in: details first, because rows of others may need them."""

    def is_other(path: Path) -> bool:
        with suppress(OSError), path.open("rb") as file:
            return not details_files.recognises(file.read(HEAD))
        return True

    return sorted(paths, key=is_other)


def import_files(
    paths: Sequence[Path],
    *,
    account: str = "",
    dry_run: bool = False,
    progress: Progress = lambda *_: None,
) -> list[FileResult]:
    """Import files, each for itself; a copy of the database is made first. `progress` hears of long ones.

    Raises: ImportRefusedError when a file cannot be opened; those before it stay imported.
    """
    if not dry_run:
        database.backup_before_import()
    return [
        import_file(path, account=account, dry_run=dry_run, progress=progress) for path in in_order(paths)
    ]


def import_file(
    path: Path,
    *,
    name: str = "",
    account: str = "",
    dry_run: bool = False,
    now: datetime | None = None,
    progress: Progress = lambda *_: None,
) -> FileResult:
    """Store one file, or nothing of it.

    Args:
        path: where it is; `name` is what the user calls it, where that is not its name there.
        account: the one of all its rows, whatever the file says.
        dry_run: tell what would happen, and store nothing.
        progress: told what is being done of a long file.

    Raises: ImportRefusedError when the file cannot be opened.
    """
    now = now or datetime.now(UTC)
    try:
        digest, head, content = _kept(path)
        size = path.stat().st_size
    except OSError as err:
        raise ImportRefusedError(
            f"The file {path} cannot be read ({err.strerror}).", next_step="Check its name and its rights."
        ) from err
    reader = next(reader for reader in READERS if reader.recognises(head))
    with transaction.atomic():
        is_listed = Import.objects.filter(sha256=digest, account=account).exists()
        record = Import.objects.create(
            file=name or path.name,
            sha256=digest,
            at=now,
            kind="",
            account=account,
            rows=0,
            new=0,
            known=0,
            content=content,
        )
        # It is stored, and may be tens of megabytes that nobody needs from here on.
        record.content = b""
        del content
        with without_collector(), roomy():
            stored = reader.store(path, record, now, progress if size > LONG else lambda *_: None)
        is_kept = bool(stored.rows) and not (stored.refused or dry_run or (is_listed and not stored.new))
        if is_kept:
            for column in ("kind", "rows", "new", "known", "since", "until"):
                setattr(record, column, getattr(stored, column))
            record.save(update_fields=["kind", "rows", "new", "known", "since", "until"])
        else:
            transaction.set_rollback(True)
    is_refused = bool(stored.refused)
    return FileResult(
        file=record.file,
        kind=stored.kind,
        rows=stored.rows,
        new=0 if is_refused else stored.new,
        known=0 if is_refused else stored.known,
        refused=stored.refused,
        number=record.pk if is_kept else None,
        inbox=stored.inbox,
        note=stored.note,
    )


def rebuild() -> int:
    """Make anew what CSV files brought, from the files as they were kept; return how many there are.

    Statements are a broker's: they are read again with its answers. Raises: ImportRefusedError.
    """
    with transaction.atomic(), without_collector(), roomy():
        return csv_files.rebuild(datetime.now(UTC))


def undo(number: int, now: datetime | None = None) -> Import:
    """Take back what one import alone brought; return what the list of imports said of it.

    A copy of the database is made first.

    Raises: ImportRefusedError when there is no such import.
    """
    database.backup_before_import()
    with transaction.atomic():
        record = Import.objects.filter(pk=number).first()
        if record is None:
            known = ", ".join(str(pk) for pk in Import.objects.order_by("pk").values_list("pk", flat=True))
            raise ImportRefusedError(
                f"There is no import {number}.",
                next_step=f"Name one of these: {known}." if known else "Nothing was imported yet.",
            )
        reader = next(
            r for r in READERS if r.recognises(zlib.decompressobj().decompress(record.content, HEAD))
        )
        reader.undo(record, now or datetime.now(UTC))
    record.pk = number  # deleting has taken it away
    return record


def _kept(path: Path) -> tuple[str, bytes, bytes]:
    """SHA-256, beginning and compressed content of a file."""
    digest, packer = hashlib.sha256(), zlib.compressobj(4)
    packed = []
    head = b""
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            head = head or block[:HEAD]
            digest.update(block)
            packed.append(packer.compress(block))
    return digest.hexdigest(), head, b"".join([*packed, packer.flush()])
