"""The pages. A view reads the request, calls one report, renders; rendering never talks to a broker.

Two buttons do: "sync now" puts tasks into the queue, "test the connection" asks the broker at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST, require_safe

from stonks_overwatch import checks, config, paths, sync, tasks
from stonks_overwatch.config import Setting
from stonks_overwatch.errors import ConfigError, UnknownAccountError
from stonks_overwatch.reports import syncs
from stonks_overwatch.reports.accounts import AccountRow, account_rows
from stonks_overwatch.reports.allocation import Slice
from stonks_overwatch.reports.combined import Together, together
from stonks_overwatch.reports.dashboard import AccountDay, CashTotal, DashboardDocument, dashboard
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.holdings import Cash, Holding, valuation
from stonks_overwatch.reports.reconcile import AccountLines, Line, latest, lines_of
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.web.charts import month_ends, ring, value_line
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame, latest_end
from stonks_overwatch.web.holdings_table import ORDERS, SEPARATE, Asked, filtered, table
from stonks_overwatch.web.live import Follower
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.reconcile import Shown

SECONDS_BETWEEN_LOOKS = 1.0
LOOKS_BETWEEN_SIGNS_OF_LIFE = 15


@dataclass(frozen=True, slots=True)
class Check:
    """How many of an account's figures were compared with the broker's, and those that differ."""

    compared: int
    differing: tuple[Shown, ...]
    agrees: bool

    @classmethod
    def of(cls, account: AccountLines, currency: str) -> "Check":
        differing = (Shown(account, line, currency) for line in lines_of(account.differing))
        return cls(account.compared, tuple(differing), account.agrees)


class DayValue(Document):
    """The value of everything at the end of one day, as a row of a file."""

    on: date
    nav_base: Computed | None


class Compared(Line):
    """A figure compared with the broker's, as a row of a file."""

    account: str


def _dashboard_tables(document: DashboardDocument) -> dict[str, Table]:
    series = zip(document.series.dates, document.series.nav, strict=True)
    return {
        "values": Table(DayValue, [DayValue(on=on, nav_base=nav) for on, nav in series]),
        "classes": Table(Slice, document.by_asset_class.slices),
        "currencies": Table(Slice, document.by_currency.slices),
        "largest": Table(Holding, document.top_holdings),
        "accounts": Table(AccountDay, document.accounts),
        "cash": Table(CashTotal, document.cash),
    }


_ROWS = 50
_EVERYTHING = 1_000_000


@require_safe
def dashboard_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "dashboard")
    account = request.GET.get("account", "")
    csv = request.GET.get("csv", "")
    try:
        document = dashboard(Scope(base, account=account or None), every_day=bool(csv))
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="dashboard", problem=err)
    if csv and (table := _dashboard_tables(document).get(csv)):
        return csv_answer(f"dashboard-{csv}", table)
    return render_page(
        request,
        "dashboard.html",
        around,
        document=document,
        as_of=document.as_of,
        explained={"account": account},
        everyone=everyone,
        account=account,
        line=value_line(document.series, document.base_currency),
        months=month_ends(document.series),
        classes=ring(document.by_asset_class.slices),
        currencies=ring(document.by_currency.slices),
        heaviest=max((abs(row.weight) for row in document.top_holdings if row.weight), default=None),
    )


@require_safe
def holdings_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "holdings")
    asked = Asked.of(request.GET)
    account = asked.account if asked.account != SEPARATE else ""
    scope = Scope(base, account=account or None)
    try:
        valued = valuation(scope)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="holdings", problem=err)
    is_each = asked.account == SEPARATE
    rows = [Together([one]) for one in valued.positions] if is_each else together(valued.positions)
    if request.GET.get("csv") == "holdings":
        return csv_answer("holdings", Table(Holding, filtered(rows, asked)))
    if request.GET.get("csv") == "cash":
        return csv_answer("cash", Table(Cash, valued.cash))
    return render_page(
        request,
        "holdings.html",
        around,
        document=valued,
        as_of=valued.as_of,
        explained={"account": account, "each": "1" if is_each else ""},
        everyone=everyone,
        asked=asked,
        listed="holdings.holdings" if is_each else "holdings.combined",
        orders=ORDERS,
        table=table(rows, valued, asked),
    )


@require_safe
def accounts_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    document = account_rows(Scope(around.config.base_currency))
    if not document.accounts:
        return nothing_yet(request, around, "accounts")
    against = latest(Scope(document.base_currency))
    if request.GET.get("csv") == "accounts":
        return csv_answer("accounts", Table(AccountRow, document.accounts))
    if request.GET.get("csv") == "reconcile":
        lines = [
            Compared(account=of.account, **{name: getattr(line, name) for name in Line.model_fields})
            for of in against.accounts
            for line in of.lines
        ]
        return csv_answer("reconcile", Table(Compared, lines))
    rows = [
        (row, Check.of(compared, row.currency))
        for row, compared in zip(document.accounts, against.accounts, strict=True)
    ]
    return render_page(request, "accounts.html", around, document=document, as_of=document.as_of, rows=rows)


@require_safe
def sync_page(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("page", "")
    page = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 1
    wanted = request.GET.get("csv", "")
    most = _EVERYTHING if wanted else _ROWS
    document = syncs.syncs(page=1 if wanted else page, page_size=most, runs=most)
    tables = {
        "logins": Table(syncs.LoginState, document.logins),
        "history": Table(syncs.HistoryProgress, document.history),
        "inbox": Table(syncs.InboxRow, document.inbox.rows),
        "runs": Table(syncs.Run, document.runs),
    }
    if table_asked := tables.get(wanted):
        return csv_answer(f"sync-{wanted}", table_asked)
    return render_page(
        request,
        "sync.html",
        frame(),
        document=document,
        earlier=document.inbox.page - 1,
        later=document.inbox.page + 1,
    )


@require_safe
def settings_page(request: HttpRequest) -> HttpResponse:
    return _settings(request, findings=None)


@require_safe
def welcome_page(request: HttpRequest) -> HttpResponse:
    return render_page(request, "welcome.html", frame(), config_file=paths.config_file())


@require_POST
def sync_now(request: HttpRequest) -> HttpResponse:
    """Put a run of every enabled login into the queue. The page it came from shows how far they are."""
    try:
        for broker, login in sync.logins():
            tasks.sync_login(broker, login.name)
    except ConfigError as err:
        return render_page(request, "problem.html", frame(), status=409, page="sync", problem=err)
    return redirect("sync")


@require_POST
def test_connection(request: HttpRequest) -> HttpResponse:
    """Ask the brokers whether they would let us in; waits for them, up to their configured timeouts."""
    return _settings(request, findings=checks.of_connection(None))


async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Progress and ends of runs, and live values, as server-sent events, for as long as the page listens."""
    seen = request.headers.get("Last-Event-ID") or request.GET.get("seen", "")
    told = _progress(seen, Follower.of(request.GET))
    return StreamingHttpResponse(told, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _progress(seen: str, follower: Follower | None) -> AsyncIterator[str]:
    """`seen` is the end of the newest run that the page already shows."""
    shown = None
    quiet = 0
    yield "retry: 2000\n\n"
    with follower.looking() if follower else nullcontext():
        while True:
            runs = (await sync_to_async(syncs.last_runs)(number=10)).runs
            fragment = render_to_string(
                "parts/progress.html", {"running": [run for run in runs if run.status == "running"]}
            )
            newest = latest_end(runs)
            quiet += 1
            if fragment != shown:
                yield _event("progress", fragment)
                shown, quiet = fragment, 0
            if newest > seen:
                yield _event("finished", newest, identity=newest)
                seen, quiet = newest, 0
            if follower and (news := await sync_to_async(follower.news)(newest)):
                yield _event("live", json.dumps(news))
                quiet = 0
            if quiet >= LOOKS_BETWEEN_SIGNS_OF_LIFE:
                yield ": still here\n\n"
                quiet = 0
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


def _event(name: str, data: str, identity: str | None = None) -> str:
    lines = [f"event: {name}", *(f"data: {line}" for line in data.splitlines() or [""])]
    if identity is not None:
        lines.append(f"id: {identity}")
    return "\n".join(lines) + "\n\n"


def _settings(request: HttpRequest, findings: list[Finding] | None) -> HttpResponse:
    around = frame()
    return render_page(
        request,
        "settings.html",
        around,
        config_file=paths.config_file(),
        data_dir=paths.data_dir(),
        settings=[] if around.config_error else _grouped(config.effective(around.config)),
        findings=findings,
    )


def _grouped(settings: list[Setting]) -> list[tuple[str, list[Setting]]]:
    """The settings under the name of their section."""
    names = {"ibkr": "IBKR", "degiro": "DEGIRO", "bitvavo": "Bitvavo"}

    def section(setting: Setting) -> str:
        if setting.key.isupper():
            return "Addresses"
        first = setting.key.split(".")[0].split("[")[0]
        return names.get(first, "General")

    return [(name, list(rows)) for name, rows in groupby(settings, key=section)]
