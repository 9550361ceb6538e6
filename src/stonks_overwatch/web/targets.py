"""The page of wanted weights: what is away from them, a form to change them, a plan for new money."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
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
_MOST = Decimal("1e15")


@require_safe
def targets_page(request: HttpRequest) -> HttpResponse:
    return _page(request, request.GET)


@require_POST
def save_targets(request: HttpRequest) -> HttpResponse:
    """Replace the targets of one kind of groups with what the form holds; an empty weight is no target."""
    by = _by(request.POST)
    try:
        wanted = [
            Wanted(key.strip(), _percent(weight, key), _percent(band, key) if band.strip() else BAND)
            for key, weight, band in zip(
                request.POST.getlist("key")[:MOST_TARGETS],
                request.POST.getlist("weight"),
                request.POST.getlist("band"),
                strict=False,
            )
            if key.strip() and weight.strip()
        ]
        replace(by, wanted)
    except TargetsError as err:
        return _page(request, request.POST, problem=err, status=409)
    return redirect(f"{reverse('targets')}?{urlencode({'by': by})}")


def _page(
    request: HttpRequest, asked: Mapping[str, str], problem: TargetsError | None = None, status: int = 200
) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    if not accounts(Scope(base)):
        return nothing_yet(request, around, "targets")
    by = _by(asked)
    document = targets(
        Scope(base),
        by,
        _amount(asked.get("money", "")),
        two_sided=asked.get("sell") == "yes",
        minimum=_amount(asked.get("minimum", "")),
    )
    table = _tables(document).get(request.GET.get("csv", ""))
    if table is not None:
        return csv_answer(f"targets-{request.GET['csv']}", table)
    return render_page(
        request,
        "targets.html",
        around,
        status=status,
        document=document,
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


def _percent(text: str, key: str) -> Decimal:
    """A fraction from a number typed in percent. Raises: TargetsError."""
    try:
        return Decimal(text.strip().removesuffix("%").strip().replace(",", ".")) / 100
    except InvalidOperation as err:
        raise TargetsError(
            f"{text[:20]!r} is no weight for {key[:50]}.", next_step="Type a number, for example 12.5."
        ) from err


def _amount(text: str) -> Decimal:
    """An amount as typed; 0 for what is none."""
    try:
        amount = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() and 0 <= amount <= _MOST else Decimal(0)
