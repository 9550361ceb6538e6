"""The page of how everything is spread: treemap, world map, groups with their members, concentration."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, get_args

from babel.core import get_global
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import UnknownAccountError
from stonks_overwatch.reports.allocation import By
from stonks_overwatch.reports.diversification import (
    DiversificationDocument,
    Group,
    Member,
    diversification,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.web.charts import colours
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.templatetags.figures import group_name, percent, plain

CHOICES: tuple[tuple[By, str], ...] = (
    ("asset_class", "Class"),
    ("sector", "Sector"),
    ("country", "Country"),
    ("currency", "Currency"),
    ("exchange", "Exchange"),
    ("account", "Account"),
    ("broker", "Broker"),
)
# More would be too small to see; the tables have all.
MOST_DRAWN = 40


@require_safe
def diversification_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "diversification")
    asked = request.GET.get("by", "")
    by: By = next((choice for choice in get_args(By) if choice == asked), "asset_class")
    account = request.GET.get("account", "")
    try:
        document = diversification(Scope(base, account=account or None), by)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="diversification", problem=err)
    chosen = next((group for group in document.groups if group.key == request.GET.get("key", "")), None)
    csv = request.GET.get("csv", "")
    if csv == "groups":
        return csv_answer("diversification-groups", Table(Group, document.groups))
    if csv == "members":
        members = chosen.members if chosen else _every_member(document)
        return csv_answer("diversification-members", Table(Member, members))
    return render_page(
        request,
        "diversification.html",
        around,
        document=document,
        as_of=document.as_of,
        everyone=everyone,
        account=account,
        explained={"account": account, "by": by},
        base=base,
        by=by,
        by_text=dict(CHOICES)[by],
        choices=CHOICES,
        chosen=chosen or next(iter(document.groups), None),
        groups=zip(document.groups, _colours(document), strict=True),
        treemap=_treemap(document),
        map=_map(document),
        heaviest=max((abs(group.weight) for group in document.groups if group.weight), default=None),
    )


def _every_member(document: DiversificationDocument) -> list[Member]:
    return [member for group in document.groups for member in group.members]


def _treemap(document: DiversificationDocument) -> dict[str, Any]:
    """What can have an area: groups and members of a value above 0."""
    base = document.base_currency
    nodes = []
    for group, colour in zip(document.groups, _colours(document), strict=True):
        children = [_leaf(member, base) for member in _drawn(group.members)]
        if not children:
            continue
        nodes.append(
            {
                "name": group.market or group_name(group.key, document.by),
                "value": plain(sum((Decimal(child["value"]) for child in children), Decimal(0)), base),
                "share": str(percent(group.weight)),
                "colour": f"--so-{colour}" if colour else "--so-line-strong",
                "children": children,
            }
        )
    return {"kind": "treemap", "currency": base, "nodes": nodes} if nodes else {}


def _colours(document: DiversificationDocument) -> list[int]:
    return colours([group.key for group in document.groups])


def _drawn(members: Sequence[Member]) -> list[Member]:
    return [one for one in members[:MOST_DRAWN] if one.value_base is not None and one.value_base > 0]


def _leaf(member: Member, base: str) -> dict[str, str]:
    return {
        "name": member.symbol or member.name,
        "value": plain(member.value_base or Decimal(0), base),
        "share": f"{member.name}, {percent(member.weight)}",
    }


def _map(document: DiversificationDocument) -> dict[str, Any]:
    """The countries whose value is above 0, by their numbers of ISO 3166, as the map knows them."""
    if document.by != "country":
        return {}
    worth = {
        group.key: group for group in document.groups if group.value_base is not None and group.value_base > 0
    }
    base = document.base_currency
    # Numbers of former countries are among them; the map has no place for those.
    countries = [
        {
            "id": number,
            "name": group_name(codes[0], "country"),
            "value": plain(group.value_base or Decimal(0), base),
            "share": str(percent(group.weight)),
        }
        for number, codes in get_global("territory_aliases").items()
        if number.isdigit() and len(codes) == 1 and (group := worth.get(codes[0])) is not None
    ]
    return {"kind": "map", "currency": base, "countries": countries} if countries else {}
