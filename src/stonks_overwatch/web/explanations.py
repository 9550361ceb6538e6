"""The page of one figure: how it came about, with the way on to its inputs."""

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from pydantic import ValidationError

from stonks_overwatch.errors import StonksError
from stonks_overwatch.reports.explain import PAGE, Arguments, Input, LedgerRow, RateUsed, explain
from stonks_overwatch.reports.explain.asked import LISTS
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.live import as_stored
from stonks_overwatch.web.pages import render_page

_EVERYTHING = 1_000_000
_REFUSED = StonksError(
    "The address of this explanation cannot be read.",
    next_step="Open it again from the figure on its page.",
)


@require_safe
def explain_page(request: HttpRequest, figure: str) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    told = {**request.GET.dict(), **{name: request.GET.getlist(name) for name in LISTS}}
    try:
        asked = Arguments.model_validate(told).in_base(base)
        csv = request.GET.get("csv", "")
        size = _EVERYTHING if csv else PAGE
        explanation = as_stored(asked, explain(figure, asked, asked.page, size=size))
    except ValidationError:
        return render_page(request, "problem.html", around, status=400, page="dashboard", problem=_REFUSED)
    except StonksError as err:
        return render_page(request, "problem.html", around, status=404, page="dashboard", problem=err)
    tables = {
        "inputs": Table(Input, explanation.inputs),
        "rates": Table(RateUsed, explanation.rates),
        "rows": Table(LedgerRow, explanation.rows),
    }
    if table := tables.get(csv):
        return csv_answer(f"{figure}-{csv}", table)
    return render_page(
        request,
        "explain.html",
        around,
        explanation=explanation,
        # Of an earlier day it is as old as what the last syncs told of it.
        as_of=explanation.as_of if isinstance(explanation.as_of, datetime) else around.as_of,
        earlier=explanation.page - 1,
        later=explanation.page + 1,
    )
