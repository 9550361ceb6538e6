"""The page that holds our figures against the broker's: account by account, line by line, day by day."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import StonksError, UnknownAccountError
from stonks_overwatch.reports.broker_returns import BrokerReturn, broker_returns
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.reconcile import (
    AccountLines,
    Line,
    ReconcileDocument,
    Side,
    lines_of,
    reconcile,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.statements import Found
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.paging import Sheet
from stonks_overwatch.web.typed import Reading

SHOWN = (("all", "All figures"), ("differences", "Differences only"))


@dataclass(frozen=True, slots=True)
class AskedLines:
    """What the address asks for. Days that cannot be used are left out and stand in `refused`.

    `start` and `end` are the days that statements end in; one day alone is the state of that day.
    """

    account: str
    start: date | None
    end: date | None
    shown: str
    page: int
    refused: tuple[StonksError, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "AskedLines":
        page = parameters.get("page", "")
        shown = parameters.get("show", "")
        reading = Reading(parameters)
        start, end = reading.days()
        return cls(
            account=parameters.get("account", ""),
            start=start,
            end=end,
            shown=shown if shown in dict(SHOWN) else "all",
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
            refused=tuple(reading.refused),
        )

    @property
    def day(self) -> date | None:
        return self.start if self.start == self.end else None


class Row(Document):
    """One line with its account, for the table and as a row of a file."""

    account: str
    broker: str
    figure: str
    since: date | None
    on: date | None
    computed: Computed | None
    reported: Computed
    difference: Computed | None
    agrees: bool
    within: str | None
    begins_on: date | None
    rows: str


class Summary(Document):
    """How many figures of one account were compared, differ, and agree within the broker's rounding alone."""

    account: str
    broker: str
    as_of: datetime | date
    compared: int
    differing: int
    agrees: bool
    rounded: int
    first_on: date | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of the table and the account it is of."""

    account: AccountLines
    line: Line
    currency: str

    @property
    def name(self) -> str:
        return self.line.name.removesuffix(f" ({self.ref})")

    @property
    def ref(self) -> str:
        """The broker's number of the instrument, which tells apart those of one symbol."""
        return self.line.name.rpartition(" (")[2].removesuffix(")") if self.line.instrument else ""

    @property
    def unit(self) -> str:
        """The currency that the line's amounts are in; quantities have none."""
        return "" if self.line.group == "quantity" else self.line.currency or self.currency


_Compared = tuple[AccountLines, Side | Found]
"""A figure and the account it is of: of thousands, the lines of one page are made."""


@require_safe
def reconcile_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "reconcile")
    asked = AskedLines.of(request.GET)
    scope = Scope(base, account=asked.account or None, as_of=asked.day)
    try:
        document = reconcile(scope, asked.start, asked.end)
        returns = broker_returns(scope, asked.start, asked.end)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="reconcile", problem=err)
    rows = _shown(document, asked)
    summary = [_summary(account) for account in document.accounts]
    names = {(one.broker, one.account): one for one in everyone}
    csv = request.GET.get("csv") if not asked.refused else None
    if csv == "accounts":
        return csv_answer("reconcile-accounts", Table(Summary, summary))
    if csv == "figures":
        return csv_answer("reconcile", Table(Row, list(map(_row, rows))))
    if csv == "returns":
        return csv_answer("reconcile-returns", Table(BrokerReturn, returns.returns))
    sheet = Sheet.of(rows, asked.page)
    return render_page(
        request,
        "reconcile.html",
        around,
        document=document,
        returns=returns.returns,
        everyone=everyone,
        asked=asked,
        refused=asked.refused,
        explained={
            "account": asked.account,
            "as_of": asked.day,
            "from": asked.start,
            "to": asked.end,
        },
        choices=SHOWN,
        summary=[(names[row.broker, row.account], row) for row in summary],
        sheet=replace(
            sheet,
            rows=[
                Shown(account, lines_of([found])[0], names[account.broker, account.account].currency)
                for account, found in sheet.rows
            ],
        ),
    )


def _shown(document: ReconcileDocument, asked: AskedLines) -> list[_Compared]:
    """What differs first, then what only rounding explains; else in the order of the report."""
    differing: list[_Compared] = [
        (account, found) for account in document.accounts for found in account.differing
    ]
    if asked.shown == "differences":
        return differing
    rounded = [(account, found) for account in document.accounts for found in account.rounded]
    first = {id(found) for _, found in (*differing, *rounded)}
    rest = [
        (account, found)
        for account in document.accounts
        for found in account.figures
        if id(found) not in first
    ]
    return [*differing, *rounded, *rest]


def _row(shown: _Compared) -> Row:
    account, found = shown
    (line,) = lines_of([found])
    return Row(
        account=account.account,
        broker=account.broker,
        figure=line.name,
        since=line.since,
        on=line.on,
        computed=line.computed,
        reported=line.reported,
        difference=line.difference,
        agrees=line.agrees,
        within=line.within,
        begins_on=None if line.agrees else line.first_on,
        rows=" ".join(row.activity or row.text for row in line.suspects),
    )


def _summary(account: AccountLines) -> Summary:
    return Summary(
        account=account.account,
        broker=account.broker,
        as_of=account.as_of,
        compared=account.compared,
        differing=len(account.differing),
        agrees=account.agrees,
        rounded=len(account.rounded),
        first_on=min((found.first_on for found in account.differing if found.first_on), default=None),
    )
