"""The page of wanted weights: what is away from them, a form to change them, a plan for new money."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from stonks_overwatch.errors import TargetsError
from stonks_overwatch.ledger.targets import Wanted, replace
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.targets import GROUPS, GroupBy, Order, TargetRow, TargetsDocument, targets
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.templatetags.figures import in_percent
from stonks_overwatch.web.typed import Reading, number

CHOICES: tuple[tuple[GroupBy, str], ...] = (
    ("asset_class", "Class"),
    ("sector", "Sector"),
    ("country", "Country"),
    ("currency", "Currency"),
    ("exchange", "Exchange"),
    ("account", "Account"),
    ("broker", "Broker"),
    ("instrument", "Instrument"),
)
BAND = Decimal("0.05")
MOST_TARGETS = 500
MOST_ROWS = 150  # and all that have a target
_MOST = Decimal("1e15")


@require_safe
def targets_page(request: HttpRequest) -> HttpResponse:
    return _page(request, request.GET)


@require_POST
def save_targets(request: HttpRequest) -> HttpResponse:
    """Replace the targets of one kind of groups with what the form holds; an empty weight is no target."""
    by = _by(request.POST)
    fields = (request.POST.getlist(name)[:MOST_TARGETS] for name in ("key", "weight", "band"))
    typed = {key.strip(): (weight, band) for key, weight, band in zip(*fields, strict=False) if key.strip()}
    try:
        wanted = [
            Wanted(key, _percent(weight, key), _percent(band, key) if band.strip() else BAND)
            for key, (weight, band) in typed.items()
            if weight.strip()
        ]
        replace(by, wanted)
    except TargetsError as err:
        return _page(request, request.POST, typed, problem=err, status=409)
    return redirect(f"{reverse('targets')}?{urlencode({'by': by})}")


def _page(
    request: HttpRequest,
    asked: Mapping[str, str],
    typed: Mapping[str, tuple[str, str]] | None = None,
    problem: TargetsError | None = None,
    status: int = 200,
) -> HttpResponse:
    """`typed` are the weights and bands of a form that was refused: they stand in it again."""
    around = frame()
    base = around.config.base_currency
    if not accounts(Scope(base)):
        return nothing_yet(request, around, "targets")
    by = _by(asked)
    reading = Reading(asked)
    document = targets(
        Scope(base),
        by,
        reading.number("money", "New money", Decimal(0), _MOST) or Decimal(0),
        two_sided=asked.get("sell") == "yes",
        minimum=reading.number("minimum", "The smallest order", Decimal(0), _MOST) or Decimal(0),
    )
    table = _tables(document).get(request.GET.get("csv", ""))
    if table is not None:
        return csv_answer(f"targets-{request.GET['csv']}", table)
    # Those with a target come first: what the form leaves out would lose it.
    shown = document.rows[: max(MOST_ROWS, sum(row.target is not None for row in document.rows))]
    return render_page(
        request,
        "targets.html",
        around,
        status=status,
        document=document,
        rows=[(row, *_fields(row, typed)) for row in shown],
        more=_more(shown, typed),
        refused=reading.refused,
        explained={
            "by": by,
            "money": document.money_base or None,
            "minimum": document.minimum_base or None,
            "two_sided": document.two_sided or None,
        },
        base=base,
        by=by,
        by_text=dict(CHOICES)[by],
        choices=CHOICES,
        band=BAND * 100,
        problem=problem,
        rest=1 - document.target_total,
    )


def _by(asked: Mapping[str, str]) -> GroupBy:
    return next((choice for choice in GROUPS if choice == asked.get("by")), "asset_class")


def _tables(document: TargetsDocument) -> dict[str, Table]:
    return {"groups": Table(TargetRow, document.rows), "orders": Table(Order, document.orders)}


def _fields(row: TargetRow, typed: Mapping[str, tuple[str, str]] | None) -> tuple[str, str]:
    """What stands in the fields of a group, weight and band: what was typed, else what is stored."""
    if typed is not None:
        return typed.get(row.key, ("", ""))
    weight, band = ("" if stored is None else in_percent(stored) for stored in (row.target, row.band))
    return weight, band


def _more(
    shown: Sequence[TargetRow], typed: Mapping[str, tuple[str, str]] | None
) -> tuple[str, tuple[str, str]]:
    """The group that was typed below all others, with its weight and band."""
    known = {row.key for row in shown}
    return next((one for one in (typed or {}).items() if one[0] not in known), ("", ("", "")))


def _percent(text: str, key: str) -> Decimal:
    """A fraction from a number typed in percent. Raises: TargetsError."""
    typed = number(text.strip().removesuffix("%"))
    if typed is None:
        raise TargetsError(
            f"{text[:20]!r} is no weight for {key[:50]}.", next_step="Type a number, for example 12.5."
        )
    return typed / 100
