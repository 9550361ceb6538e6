"""Statements as a fetch brings them, each made a batch."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO

from stonks_overwatch.ledger.types import Batch, InboxItem
from stonks_overwatch.services.brokers.base import Answer
from stonks_overwatch.services.brokers.ibkr.statements.reading import Reading, looks_like_statement, read

ENDPOINT = "GET flex/statement"
"""The endpoint of answers whose content is a statement."""

NO_STATEMENT = (
    b"<FlexStatementResponse><Status>Fail</Status><ErrorCode>1003</ErrorCode></FlexStatementResponse>"
)
"""The content that stands for IBKR's word that it has none for these days."""


def told(answers: Iterable[Answer], login: str) -> Iterator[Batch]:
    """What each statement says, the first that came first."""
    for answer in sorted(answers, key=lambda a: a.fetched_at):
        if not looks_like_statement(answer.content[:4096]) or answer.content == NO_STATEMENT:
            continue
        reading = read(BytesIO(answer.content), login=login, fetched_at=answer.fetched_at)
        wanted = answer.request.get("accounts")
        batch = _only(reading.batch, set(wanted)) if wanted else reading.batch
        lacking = missing_sections(reading)
        yield replace(batch, inbox=(*batch.inbox, *([lacking] if lacking else [])))


def missing_sections(reading: Reading) -> InboxItem | None:
    """What the query lacks and which boxes add it, once per query."""
    if not reading.missing:
        return None
    boxes = "; ".join(f"{section.box} ({section.tells})" for section in reading.missing)
    return InboxItem(
        key=f"flex:missing:{reading.query}:{','.join(section.name for section in reading.missing)}",
        account=None,
        section="query",
        reason=f"The Flex query {reading.query!r} has no section for: {boxes}. Tick them at IBKR.",
        text=reading.query,
    )


def _only(batch: Batch, accounts: set[str]) -> Batch:
    return replace(
        batch,
        accounts=tuple(row for row in batch.accounts if row.account in accounts),
        positions={account: rows for account, rows in batch.positions.items() if account in accounts},
        partial_positions=tuple(row for row in batch.partial_positions if row.account in accounts),
        cash={account: rows for account, rows in batch.cash.items() if account in accounts},
        values=tuple(row for row in batch.values if row.account in accounts),
        navs=tuple(row for row in batch.navs if row.account in accounts),
        activities=tuple(row for row in batch.activities if row.account in accounts),
        periods=tuple(row for row in batch.periods if row.account in accounts),
        figures=tuple(row for row in batch.figures if row.account in accounts),
        inbox=tuple(row for row in batch.inbox if row.account is None or row.account in accounts),
    )
