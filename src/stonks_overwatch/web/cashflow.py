"""The pages of money that came and went: income, fees and taxes, contributions, cash."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import UnknownAccountError
from stonks_overwatch.reports.balances import Balance, CashDocument, Now, cash_over_time
from stonks_overwatch.reports.booked import first_day, last_day
from stonks_overwatch.reports.contributions import (
    ContributionGroup,
    ContributionsDocument,
    Flow,
    contributions,
)
from stonks_overwatch.reports.fees import Charge, FeeGroup, FeesDocument, fees
from stonks_overwatch.reports.income import (
    Accrued,
    Expected,
    IncomeDocument,
    InstrumentIncome,
    Part,
    Payment,
    Period,
    Yield,
    income,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.web.asked import Asked
from stonks_overwatch.web.charts import colours
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.paging import Sheet
from stonks_overwatch.web.plots import over_time, series

# Longer periods are drawn by year.
MOST_MONTHS = 62
MOST_CURRENCIES = 8
_NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The periods that a chart and its table show: months, of long times years. `at` is their address."""

    rows: Sequence[Any]
    by_month: bool
    at: str

    @property
    def name(self) -> str:
        return "Month" if self.by_month else "Year"

    @classmethod
    def of(cls, name: str, document: Any) -> "Drawn":
        by_month = len(document.by_month) <= MOST_MONTHS
        field = "by_month" if by_month else "by_year"
        return cls(getattr(document, field), by_month, f"{name}.{field}")


Build = Callable[[Scope, date | None, date | None], Any]


@require_safe
def income_page(request: HttpRequest) -> HttpResponse:
    def shown(document: IncomeDocument, asked: Asked) -> dict[str, Any]:
        return {
            "drawn": Drawn.of("income", document),
            "cut": cut(document.start, document.end),
            "plot": _income_plot(document),
            "payments": Sheet.of(document.payments, asked.page),
            "heaviest": max((row.share for row in document.by_kind if row.share), default=None),
        }

    return _page(request, "income", income, _income_tables, shown)


@require_safe
def fees_page(request: HttpRequest) -> HttpResponse:
    def shown(document: FeesDocument, asked: Asked) -> dict[str, Any]:
        return {
            "drawn": Drawn.of("fees", document),
            "plot": _fees_plot(document),
            "charges": Sheet.of(document.charges, asked.page),
            "heaviest": max((row.share for row in document.by_kind if row.share), default=None),
        }

    return _page(request, "fees", fees, _fees_tables, shown)


@require_safe
def contributions_page(request: HttpRequest) -> HttpResponse:
    def shown(document: ContributionsDocument, asked: Asked) -> dict[str, Any]:
        return {
            "drawn": Drawn.of("contributions", document),
            "plot": _contributions_plot(document),
            "flows": Sheet.of(document.flows, asked.page),
        }

    return _page(request, "contributions", contributions, _contributions_tables, shown)


@require_safe
def cash_page(request: HttpRequest) -> HttpResponse:
    def shown(document: CashDocument, _asked: Asked) -> dict[str, Any]:
        currencies, rows = _cash_matrix(document)
        heaviest = max((abs(row.weight) for row in document.now if row.weight), default=None)
        return {
            "plot": _cash_plot(document),
            "currencies": currencies,
            "rows": rows,
            "heaviest": heaviest,
        }

    return _page(request, "cash", cash_over_time, _cash_tables, shown)


def _page(
    request: HttpRequest,
    name: str,
    build: Build,
    tables: Callable[[Any], Mapping[str, Table]],
    shown: Callable[[Any, Asked], dict[str, Any]],
) -> HttpResponse:
    """A report of one period, or one of its tables as CSV."""
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, name)
    asked = Asked.of(request.GET, last_day(everyone, None), first_day(everyone))
    try:
        document = build(Scope(base, account=asked.account or None), asked.start, asked.end)
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page=name, problem=err)
    table = tables(document).get(request.GET.get("csv", ""))
    if table is not None:
        return csv_answer(f"{name}-{request.GET['csv']}", table)
    return render_page(
        request,
        f"{name}.html",
        around,
        document=document,
        everyone=everyone,
        asked=asked,
        explained={"account": asked.account, "from": asked.start, "to": asked.end},
        base=base,
        **shown(document, asked),
    )


def _income_tables(document: IncomeDocument) -> dict[str, Table]:
    return {
        "months": Table(Period, document.by_month),
        "years": Table(Period, document.by_year),
        "accounts": Table(Part, document.by_account),
        "currencies": Table(Part, document.by_currency),
        "kinds": Table(Part, document.by_kind),
        "instruments": Table(InstrumentIncome, document.by_instrument),
        "payments": Table(Payment, document.payments),
        "yields": Table(Yield, document.holdings),
        "expected": Table(Expected, document.expected),
        "accrued": Table(Accrued, document.accrued),
    }


def _fees_tables(document: FeesDocument) -> dict[str, Table]:
    return {
        "months": Table(FeeGroup, document.by_month),
        "years": Table(FeeGroup, document.by_year),
        "kinds": Table(FeeGroup, document.by_kind),
        "accounts": Table(FeeGroup, document.by_account),
        "instruments": Table(FeeGroup, document.by_instrument),
        "charges": Table(Charge, document.charges),
    }


def _contributions_tables(document: ContributionsDocument) -> dict[str, Table]:
    return {
        "months": Table(ContributionGroup, document.by_month),
        "years": Table(ContributionGroup, document.by_year),
        "accounts": Table(ContributionGroup, document.by_account),
        "instruments": Table(ContributionGroup, document.by_instrument),
        "kinds": Table(ContributionGroup, document.by_kind),
        "flows": Table(Flow, document.flows),
    }


def _cash_tables(document: CashDocument) -> dict[str, Table]:
    return {"now": Table(Now, document.now), "balances": Table(Balance, document.balances)}


def cut(start: date | None, end: date | None) -> set[str]:
    """The month and year at either end of which the days have only a part: their growth would mislead."""
    after = end and end + timedelta(days=1)
    ends = [(day, next_to) for day, next_to in ((start, start), (end, after)) if day and next_to]
    months = {f"{day:%Y-%m}" for day, next_to in ends if next_to.day > 1}
    return months | {f"{day:%Y}" for day, next_to in ends if (next_to.month, next_to.day) > (1, 1)}


def _income_plot(document: IncomeDocument) -> dict[str, Any]:
    """Paid months, then the months to come: declared and estimated payments apart from what was paid."""
    base = document.base_currency
    drawn = Drawn.of("income", document)
    periods = drawn.rows
    to_come: dict[str, dict[str, Decimal]] = {}
    if drawn.by_month:
        for row in document.expected:
            of_month = to_come.setdefault(f"{row.on:%Y-%m}", {})
            of_month[row.status] = of_month.get(row.status, _NONE) + (row.net_base or _NONE)
    keys = sorted({*(row.key for row in periods), *to_come})
    paid = {row.key: row for row in periods}

    def of_paid(field: str) -> list[Decimal | None]:
        return [getattr(paid[key], field) if key in paid else _NONE for key in keys]

    def of_status(status: str) -> list[Decimal | None]:
        return [to_come.get(key, {}).get(status, _NONE) for key in keys]

    return over_time(
        "bars",
        base,
        keys,
        [
            series("Dividends", "--so-1", of_paid("dividends_base"), base),
            series("Interest", "--so-2", of_paid("interest_base"), base),
            series("Tax withheld", "--so-8", of_paid("tax_base"), base),
            series("Declared, net", "--so-3", of_status("declared"), base),
            series("Estimated, net", "--so-line-strong", of_status("estimated"), base),
        ],
    )


def _fees_plot(document: FeesDocument) -> dict[str, Any]:
    base = document.base_currency
    periods = Drawn.of("fees", document).rows
    return over_time(
        "bars",
        base,
        [row.key for row in periods],
        [
            series("Fees", "--so-5", [_positive(row.gross_base) for row in periods], base),
            series("Taxes", "--so-8", [_positive(row.tax_base) for row in periods], base),
        ],
    )


def _positive(amount: Decimal | None) -> Decimal | None:
    """What was taken, drawn upwards."""
    return None if amount is None else -amount


def _contributions_plot(document: ContributionsDocument) -> dict[str, Any]:
    base = document.base_currency
    periods = Drawn.of("contributions", document).rows
    return over_time(
        "bars",
        base,
        [row.key for row in periods],
        [
            series("Put in", "--so-2", [row.in_base for row in periods], base),
            series("Taken out", "--so-3", [row.out_base for row in periods], base),
            series("Net contribution", "--so-8", [row.total_base for row in periods], base, line=True),
        ],
    )


def _cash_matrix(
    document: CashDocument,
) -> tuple[list[str], list[tuple[date, Decimal | None, list[tuple[str, Decimal | None]]]]]:
    """The currencies, and by day (the newest first) the total and each with its amount."""
    currencies = sorted({row.currency for row in document.balances})
    amounts = {(row.on, row.currency): row.amount for row in document.balances}
    rows = [
        (day.on, day.total_base, [(currency, amounts.get((day.on, currency))) for currency in currencies])
        for day in reversed(document.days)
    ]
    return currencies, rows


def _cash_plot(document: CashDocument) -> dict[str, Any]:
    """The currencies that mattered most as bars of their own, the others together."""
    base = document.base_currency
    days = [row.on for row in document.days]
    in_base: dict[str, dict[date, Decimal | None]] = {}
    for row in document.balances:
        in_base.setdefault(row.currency, {})[row.on] = row.amount_base

    def largest(currency: str) -> Decimal:
        return max(abs(value or _NONE) for value in in_base[currency].values())

    ranked = sorted(in_base, key=largest, reverse=True)
    drawn = ranked[:MOST_CURRENCIES]
    lines = [
        series(currency, f"--so-{colour}", [in_base[currency].get(day) for day in days], base)
        for currency, colour in zip(drawn, colours(drawn), strict=True)
    ]
    rest = ranked[MOST_CURRENCIES:]
    if rest:
        sums = [sum((in_base[one].get(day) or _NONE for one in rest), _NONE) for day in days]
        lines.append(series("Others", "--so-line-strong", sums, base))
    return over_time("bars", base, [day.isoformat() for day in days], lines)
