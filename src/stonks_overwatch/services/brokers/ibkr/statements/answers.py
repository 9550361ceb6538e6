"""Statements as a fetch brings them, made one batch; and one batch added to another."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Protocol, TypeVar

from stonks_overwatch.ledger.types import (
    UNKNOWN_CURRENCY,
    Account,
    Activity,
    Batch,
    InboxItem,
    Instrument,
)
from stonks_overwatch.services.brokers.base import Answer
from stonks_overwatch.services.brokers.ibkr.statements.reading import Reading, looks_like_statement, read

ENDPOINT = "GET flex/statement"
"""The endpoint of answers whose content is a statement."""

NO_STATEMENT = (
    b"<FlexStatementResponse><Status>Fail</Status><ErrorCode>1003</ErrorCode></FlexStatementResponse>"
)
"""The content that stands for IBKR's word that it has none for these days."""

Row = TypeVar("Row")
Ranked = TypeVar("Ranked", bound="_Ranked")


class _Ranked(Protocol):
    @property
    def precedence(self) -> int: ...


def added(batch: Batch, answers: Iterable[Answer]) -> Batch:
    """The batch with what statements tell of the past; what is held now the batch knows better."""
    found = batch
    for answer in sorted(answers, key=lambda a: a.fetched_at):
        if not looks_like_statement(answer.content[:4096]) or answer.content == NO_STATEMENT:
            continue
        reading = read(BytesIO(answer.content), login=batch.login, fetched_at=answer.fetched_at)
        wanted = answer.request.get("accounts")
        told = _only(reading.batch, set(wanted)) if wanted else reading.batch
        lacking = missing_sections(reading)
        found = _sum(found, replace(told, inbox=(*told.inbox, *([lacking] if lacking else []))))
    return found


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
        navs=tuple(row for row in batch.navs if row.account in accounts),
        activities=tuple(row for row in batch.activities if row.account in accounts),
        periods=tuple(row for row in batch.periods if row.account in accounts),
        figures=tuple(row for row in batch.figures if row.account in accounts),
        inbox=tuple(row for row in batch.inbox if row.account is None or row.account in accounts),
    )


def _sum(batch: Batch, later: Batch) -> Batch:
    """Both, and of what both tell the later; the positions, cash and values are the first one's."""
    return replace(
        batch,
        accounts=_accounts(batch.accounts, later.accounts),
        instruments=_instruments(batch.instruments, later.instruments),
        rates=_best(batch.rates, later.rates, lambda r: (r.base, r.quote, r.on)),
        prices=_best(batch.prices, later.prices, lambda p: (p.broker_ref, p.on)),
        navs=_best(batch.navs, later.navs, lambda n: (n.account, n.on)),
        activities=_last(batch.activities, later.activities, _identity),
        periods=tuple(dict.fromkeys((*batch.periods, *later.periods))),
        figures=_best(
            batch.figures,
            later.figures,
            lambda f: (f.account, f.section, f.name, f.since, f.until, f.currency, f.broker_ref, f.ref),
        ),
        inbox=_last(batch.inbox, later.inbox, lambda i: i.key),
    )


def _identity(activity: Activity) -> object:
    return activity.account, activity.source, activity.key


def _best(
    rows: Sequence[Ranked], later: Sequence[Ranked], key: Callable[[Ranked], object]
) -> tuple[Ranked, ...]:
    """Of two rows of one key the one of greater precedence."""
    return _last((), sorted((*rows, *later), key=lambda row: row.precedence), key)


def _last(rows: Sequence[Row], later: Sequence[Row], key: Callable[[Row], object]) -> tuple[Row, ...]:
    return tuple({key(row): row for row in (*rows, *later)}.values())


def _accounts(accounts: Sequence[Account], later: Sequence[Account]) -> tuple[Account, ...]:
    """The first to tell an account counts, unless it did not know the currency."""
    found = {account.account: account for account in accounts}
    for account in later:
        known = found.setdefault(account.account, account)
        if known.currency == UNKNOWN_CURRENCY:
            found[account.account] = account
    return tuple(found.values())


def _instruments(instruments: Sequence[Instrument], later: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """A description that tells the class counts more than one that does not; else the first."""
    found = {instrument.broker_ref: instrument for instrument in instruments}
    for instrument in later:
        known = found.setdefault(instrument.broker_ref, instrument)
        if instrument.is_whole and not known.is_whole:
            found[instrument.broker_ref] = instrument
    return tuple(found.values())
