"""The page of the activities: filtered, ordered and paged by the database; every state in the address."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import StonksError, UnknownAccountError
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.activities import (
    ROWS,
    SORTS,
    STATES,
    Filter,
    ListedActivity,
    every_listed,
    listed,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.web.downloads import csv_stream
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.paging import Sheet
from stonks_overwatch.web.typed import Reading

ORDERS = (
    ("-date", "Newest first"),
    ("date", "Oldest first"),
    ("instrument", "Instrument, A to Z"),
    ("kind", "Kind, A to Z"),
    ("-net", "Largest amount in first"),
    ("net", "Largest amount out first"),
    ("-quantity", "Largest quantity first"),
    ("quantity", "Smallest quantity first"),
)


@dataclass(frozen=True, slots=True)
class AskedActivities:
    """What the address asks for. Days that cannot be used are left out and stand in `refused`."""

    account: str
    filter: Filter
    page: int
    refused: tuple[StonksError, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "AskedActivities":
        order = parameters.get("sort", "-date")
        reading = Reading(parameters)
        start, end = reading.days()
        sort = next((name for name in SORTS if name == order.removeprefix("-")), None)
        return cls(
            account=parameters.get("account", ""),
            filter=Filter(
                start=start,
                end=end,
                kind=next((kind for kind in ActivityKind if kind == parameters.get("kind")), None),
                instrument=_number(parameters.get("instrument", "")),
                state=next((state for state in STATES if state == parameters.get("state")), None),
                query=parameters.get("q", "").strip(),
                id=parameters.get("id", ""),
                sort=sort or "date",
                descending=order.startswith("-") or sort is None,
            ),
            page=_number(parameters.get("page", "")) or 1,
            refused=tuple(reading.refused),
        )

    @property
    def sort(self) -> str:
        return self.filter.sort

    @property
    def descending(self) -> bool:
        return self.filter.descending

    @property
    def order(self) -> str:
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def reversed(self) -> str:
        return self.sort if self.descending else f"-{self.sort}"

    @property
    def narrows(self) -> bool:
        """Whether more is asked than an account and an order."""
        plain = Filter(sort=self.filter.sort, descending=self.filter.descending)
        return self.filter != plain


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@require_safe
def activities_page(request: HttpRequest) -> HttpResponseBase:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "activities")
    asked = AskedActivities.of(request.GET)
    scope = Scope(base, account=asked.account or None)
    try:
        document = listed(scope, asked.filter, asked.page)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="activities", problem=err)
    if request.GET.get("csv") == "activities" and not asked.refused:
        return csv_stream("activities", ListedActivity, every_listed(scope, asked.filter))
    return render_page(
        request,
        "activities.html",
        around,
        document=document,
        sheet=Sheet(document.rows, document.count, document.page, document.pages, ROWS),
        everyone=everyone,
        asked=asked,
        orders=ORDERS,
        refused=asked.refused,
    )
