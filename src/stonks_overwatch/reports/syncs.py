"""The runs of the brokers: what each brought, what went wrong, what could not be read."""

from collections import defaultdict
from datetime import date, datetime
from typing import Any, Literal

from django.db.models import Count, Max, Q, QuerySet
from pydantic import Field

from stonks_overwatch.ledger.models import Account, InboxItem, Position, SyncRun
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import every_account
from stonks_overwatch.reports.state import told_at

Status = Literal["running", "ok", "partial", "failed"]


class Counts(Document):
    accounts: int
    positions: int
    activities_new: int
    activities_known: int
    inbox: int


class Failure(Document):
    code: str
    what: str
    next_step: str


class Run(Document):
    """One run of one login. The last fields are for the page only, not in the JSON document."""

    broker: str
    login: str
    status: Status
    started_at: datetime
    finished_at: datetime | None
    counts: Counts
    error: Failure | None
    step: str = Field(exclude=True)
    steps_done: int = Field(exclude=True)
    steps_total: int = Field(exclude=True)
    retry_at: datetime | None = Field(exclude=True)


class RunsDocument(Document):
    """Newest first."""

    runs: tuple[Run, ...]


class LoginState(Document):
    """Where one login stands. `updated_at` is how old its accounts' positions and cash are; where no account
    is known, the end of the last run that stored something.

    `retry_at`: the broker asked for a pause until then.
    """

    broker: str
    login: str
    last_run: Run
    is_running: bool
    updated_at: datetime | None
    retry_at: datetime | None


class HistoryProgress(Document):
    """How far the transactions of one account are read.

    The broker lets them be read slowly, one instrument at a time; `complete_since` is the latest of the
    first days, unknown until all are read.
    """

    account: str
    broker: str
    instruments: int
    instruments_read: int
    complete_since: date | None


class InboxRow(Document):
    broker: str
    account: str | None
    section: str
    reason: str
    text: str
    seen_at: datetime


class InboxPage(Document):
    """One page of the rows that could not be typed; newest first, pages from 1."""

    rows: tuple[InboxRow, ...]
    total: int
    page: int
    pages: int


class SyncsDocument(Document):
    logins: tuple[LoginState, ...]
    runs: tuple[Run, ...]
    history: tuple[HistoryProgress, ...]
    inbox: InboxPage


def syncs(broker: str | None = None, *, page: int = 1, page_size: int = 50, runs: int = 50) -> SyncsDocument:
    """Everything the sync page shows: the last `runs` runs and one page of the inbox."""
    return SyncsDocument(
        logins=logins(broker),
        runs=last_runs(broker, runs).runs,
        history=_history(broker),
        inbox=_inbox(broker, page, page_size),
    )


def last_runs(broker: str | None = None, number: int = 50) -> RunsDocument:
    rows = SyncRun.objects.filter(broker=broker) if broker else SyncRun.objects.all()
    return RunsDocument(runs=tuple(run(row) for row in rows.order_by("-id")[:number]))


def run(row: SyncRun) -> Run:
    """One stored run as its part of a document."""
    return Run.model_validate(
        {
            "broker": row.broker,
            "login": row.login,
            "status": row.status,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "counts": Counts(
                accounts=row.accounts,
                positions=row.positions,
                activities_new=row.activities_new,
                activities_known=row.activities_known,
                inbox=row.inbox,
            ),
            "error": Failure(code=row.error_code, what=row.error_what, next_step=row.error_next_step)
            if row.error_code
            else None,
            "step": row.step,
            "steps_done": row.steps_done,
            "steps_total": row.steps_total,
            "retry_at": row.retry_at,
        }
    )


@prepared
def _latest_runs(broker: str | None) -> QuerySet[SyncRun, tuple[Any, ...]]:
    """By broker and login the number of its last run, and of the last one that stored something."""
    rows = SyncRun.objects.filter(broker=broker) if broker else SyncRun.objects.all()
    of_logins = rows.values("broker", "login").order_by("broker", "login")
    stored = Max("id", filter=Q(status__in=("ok", "partial")))
    return of_logins.annotate(last=Max("id"), stored=stored).values_list("broker", "login", "last", "stored")


@kept
def logins(broker: str | None = None) -> tuple[LoginState, ...]:
    """Every login that ever ran, by broker and name."""
    latest = _latest_runs(broker)
    by_id = SyncRun.objects.in_bulk([pk for row in latest for pk in row[2:]])
    accounts: defaultdict[tuple[str, str], list[Account]] = defaultdict(list)
    for account in every_account() if latest else ():
        accounts[account.broker, account.login].append(account)
    states = []
    for of, login, last_pk, stored_pk in latest:
        of_login = accounts[of, login]
        last, stored = by_id[last_pk], by_id.get(stored_pk)
        states.append(
            LoginState(
                broker=last.broker,
                login=last.login,
                last_run=run(last),
                is_running=last.status == "running",
                updated_at=told_at(*of_login) if of_login or not stored else stored.finished_at,
                retry_at=last.retry_at,
            )
        )
    return tuple(states)


def _history(broker: str | None) -> tuple[HistoryProgress, ...]:
    rows = Position.objects.filter(account__broker=broker) if broker else Position.objects.all()
    counted = (
        rows.values("account__account", "account__broker")
        .order_by("account__broker", "account__account")
        .annotate(number=Count("id"), read=Count("covered_since"), since=Max("covered_since"))
    )
    return tuple(
        HistoryProgress(
            account=row["account__account"],
            broker=row["account__broker"],
            instruments=row["number"],
            instruments_read=row["read"],
            complete_since=row["since"] if row["read"] == row["number"] else None,
        )
        for row in counted
    )


def _inbox(broker: str | None, page: int, page_size: int) -> InboxPage:
    rows = InboxItem.objects.filter(broker=broker) if broker else InboxItem.objects.all()
    number = rows.count()
    pages = max(1, -(-number // page_size))
    page = min(max(page, 1), pages)
    shown = rows.order_by("-seen_at", "-id")[(page - 1) * page_size : page * page_size]
    return InboxPage(
        rows=tuple(
            InboxRow(
                broker=row.broker,
                account=row.account,
                section=row.section,
                reason=row.reason,
                text=row.text,
                seen_at=row.seen_at,
            )
            for row in shown
        ),
        total=number,
        page=page,
        pages=pages,
    )
