"""The page of what the portfolio moves with: exposure, futures, options, expiries, bonds, margin."""

from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import UnknownAccountError
from stonks_overwatch.reports.exposures import (
    RATE,
    BondRung,
    ClassExposure,
    Expiry,
    ExposuresDocument,
    FutureExposure,
    LadderYear,
    Margin,
    OptionExposure,
    Underlying,
    exposures,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.plots import over_time, series
from stonks_overwatch.web.typed import Reading

_LOWEST, _HIGHEST = Decimal(-10), Decimal(50)


@require_safe
def exposures_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "exposures")
    account = request.GET.get("account", "")
    reading = Reading(request.GET)
    typed = reading.number("percent", "The rate", _LOWEST, _HIGHEST)
    rate = RATE * 100 if typed is None else typed
    try:
        document = exposures(Scope(base, account=account or None), rate / 100)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="exposures", problem=err)
    table = _tables(document).get(request.GET.get("csv", ""))
    if table is not None:
        return csv_answer(f"exposures-{request.GET['csv']}", table)
    return render_page(
        request,
        "exposures.html",
        around,
        document=document,
        as_of=document.as_of,
        everyone=everyone,
        account=account,
        explained={"account": account, "rate": document.rate},
        base=base,
        percent=rate,
        refused=reading.refused,
        ladder=_ladder(document),
    )


def _tables(document: ExposuresDocument) -> dict[str, Table]:
    return {
        "classes": Table(ClassExposure, document.by_class),
        "underlyings": Table(Underlying, document.by_underlying),
        "futures": Table(FutureExposure, document.futures),
        "options": Table(OptionExposure, document.options),
        "expiries": Table(Expiry, document.expiries),
        "bonds": Table(BondRung, document.bonds),
        "ladder": Table(LadderYear, document.ladder),
        "margin": Table(Margin, document.margin),
    }


def _ladder(document: ExposuresDocument) -> dict[str, Any]:
    """Every year from the first to the last that something matures in."""
    if not document.ladder:
        return {}
    by_year = {row.year: row.market_value_base for row in document.ladder}
    years = range(document.ladder[0].year, document.ladder[-1].year + 1)
    base = document.base_currency
    values = [by_year.get(year, Decimal(0)) for year in years]
    return over_time(
        "bars", base, [str(year) for year in years], [series("Market value", "--so-1", values, base)]
    )
