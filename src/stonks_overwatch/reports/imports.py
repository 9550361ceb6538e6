"""The files that were imported."""

from datetime import date, datetime

from stonks_overwatch.ledger.models import Import
from stonks_overwatch.reports.documents import Document


class ImportRow(Document):
    """One file. `new` and `known` are as of its import; `account` is the one that was named with it."""

    id: int
    file: str
    kind: str
    at: datetime
    account: str
    rows: int
    new: int
    known: int
    since: date | None
    until: date | None


class ImportsDocument(Document):
    """Newest first."""

    imports: tuple[ImportRow, ...]


def imports() -> ImportsDocument:
    rows = Import.objects.defer("content").order_by("-pk")
    return ImportsDocument(
        imports=tuple(
            ImportRow(
                id=row.pk,
                file=row.file,
                kind=row.kind,
                at=row.at,
                account=row.account,
                rows=row.rows,
                new=row.new,
                known=row.known,
                since=row.since,
                until=row.until,
            )
            for row in rows
        )
    )
