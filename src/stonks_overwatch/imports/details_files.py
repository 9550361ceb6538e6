"""The reader of the details that an export writes beside its CSV files (ledger/details.py)."""

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from stonks_overwatch.errors import ImportRefusedError
from stonks_overwatch.imports.stored import Progress, Refusal, Stored
from stonks_overwatch.ledger import details
from stonks_overwatch.ledger.details import Details
from stonks_overwatch.ledger.imported.beside import apply_details, without_terms
from stonks_overwatch.ledger.models import Import

_MOST_REASONS = 20


def recognises(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"{") and details.FORMAT.encode() in start


def store(path: Path, record: Import, now: datetime, progress: Progress) -> Stored:
    """All of its rows are new, unless this very file is imported already."""
    try:
        found = Details.model_validate_json(path.read_bytes())
    except ValidationError as err:
        reasons = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}." for e in err.errors()[:_MOST_REASONS])
        return Stored(details.KIND, rows=0, refused=tuple(Refusal(1, reason) for reason in reasons))
    rows = len(found.accounts) + len(found.instruments) + len(found.activities)
    if Import.objects.filter(sha256=record.sha256).exclude(pk=record.pk).exists():
        return Stored(details.KIND, rows=rows, known=rows)
    record.kind = details.KIND
    record.save(update_fields=["kind"])
    progress(f"{record.file}: being stored", 0, 0)
    apply_details(now)
    return Stored(details.KIND, rows=rows, new=rows)


def undo(record: Import, now: datetime) -> None:
    number = record.pk
    record.delete()
    if needed := without_terms():
        raise ImportRefusedError(
            f"Import {number} alone tells what contracts of {', '.join(needed)} stand for.",
            next_step="Undo the imports of their activities first.",
        )
    apply_details(now)
