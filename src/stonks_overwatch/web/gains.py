"""The pages of lots: realized gains, and one instrument with its lots, prices and a sale that might be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from stonks_overwatch.errors import LotsRefusedError, StonksError, UnknownAccountError, UnknownInstrumentError
from stonks_overwatch.ledger import choices
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.reports.booked import first_day, last_day
from stonks_overwatch.reports.documents import Computed, Document, Exact, computed_text
from stonks_overwatch.reports.instrument import Happening, InstrumentDocument, instrument
from stonks_overwatch.reports.lots import LotRow, WhatIfDocument, what_if
from stonks_overwatch.reports.realized import (
    ClosedLot,
    InstrumentGains,
    RealizedDocument,
    YearGains,
    realized,
)
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.web.asked import Asked
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.paging import ROWS, Sheet
from stonks_overwatch.web.plots import over_time, series
from stonks_overwatch.web.templatetags.figures import plain
from stonks_overwatch.web.typed import number as typed_number


class DayPrice(Document):
    """One price, as a row of a file."""

    on: date
    close: Exact
    adjusted: Computed


def _day_prices(document: InstrumentDocument, *, last_of_months: bool = False) -> list[DayPrice]:
    """Of every day, or the last one of each month."""
    prices = document.prices
    days = list(zip(prices.dates, prices.closes, prices.adjusted, strict=True))
    if last_of_months:
        days = list({(day[0].year, day[0].month): day for day in days}.values())
    return [DayPrice(on=on, close=close, adjusted=adjusted) for on, close, adjusted in days]


METHODS = (
    (Method.FIFO, "First in, first out"),
    (Method.LIFO, "Last in, first out"),
    (Method.HIFO, "Highest cost first"),
    (Method.AVERAGE, "Average cost"),
    (Method.SPECIFIC, "Lots I chose"),
    (Method.BROKER, "As the broker matched"),
)
# More days than these are drawn by week.
_MOST_DAYS = 1100


@dataclass(frozen=True, slots=True)
class AskedGains:
    """What the address of the realized gains asks for; anything unknown is replaced by the default."""

    account: str
    year: int | None
    method: Method | None
    page: int

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "AskedGains":
        year, page = parameters.get("year", ""), parameters.get("page", "")
        return cls(
            account=parameters.get("account", ""),
            year=int(year) if year.isascii() and year.isdigit() and len(year) == 4 else None,
            method=_method(parameters),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )


def _rows(page: int) -> tuple[int, int]:
    return (page - 1) * ROWS, page * ROWS


def _method(parameters: Mapping[str, str]) -> Method | None:
    asked = parameters.get("method", "")
    return Method(asked) if asked in {method.value for method in Method} else None


@require_safe
def realized_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "realized")
    asked = AskedGains.of(request.GET)
    scope, wanted = Scope(base, account=asked.account or None), request.GET.get("csv", "")
    try:
        document = realized(scope, asked.year, asked.method, None if wanted else _rows(asked.page))
        pages = max(1, -(-document.totals.lots // ROWS))
        if asked.page > pages and not wanted:
            document = realized(scope, asked.year, asked.method, _rows(pages))
    except UnknownAccountError as err:
        return render_page(request, "problem.html", around, status=404, page="realized", problem=err)
    tables = {
        "lots": Table(ClosedLot, document.lots),
        "years": Table(YearGains, document.by_year),
        "instruments": Table(InstrumentGains, document.by_instrument),
    }
    if table := tables.get(wanted):
        return csv_answer(f"realized-{wanted}", table)
    return render_page(
        request,
        "realized.html",
        around,
        document=document,
        everyone=everyone,
        asked=asked,
        explained={"account": asked.account, "year": asked.year, "method": asked.method},
        base=base,
        methods=METHODS,
        lots=Sheet(document.lots, document.totals.lots, min(asked.page, pages), pages),
        plot=_years_plot(document),
    )


@require_POST
def set_method(request: HttpRequest) -> HttpResponse:
    """Match the sales of one account by another method, those of the past too."""
    method = _method(request.POST)
    broker, _, name = request.POST.get("account", "").partition(":")
    try:
        chosen = accounts(Scope(frame().config.base_currency, account=name, broker=broker))
    except UnknownAccountError as err:
        return render_page(request, "problem.html", frame(), status=404, page="realized", problem=err)
    if method is not None:
        choices.set_method(chosen, method)
    return redirect(f"{reverse('realized')}#methods")


@require_safe
def instrument_page(request: HttpRequest, number: int) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "holdings")
    asked = Asked.of(request.GET, last_day(everyone, None), first_day(everyone))
    method = _method(request.GET)
    scope = Scope(base, account=asked.account or None)
    try:
        document = instrument(scope, number, asked.start, method)
    except (UnknownAccountError, UnknownInstrumentError) as err:
        return render_page(request, "problem.html", around, status=404, page="holdings", problem=err)
    tables = {
        "lots": Table(LotRow, document.lots),
        "closed": Table(ClosedLot, document.closed),
        "activities": Table(Happening, document.activities),
    }
    csv = request.GET.get("csv", "")
    if table := Table(DayPrice, _day_prices(document)) if csv == "prices" else tables.get(csv):
        return csv_answer(f"{document.symbol}-{csv}", table)
    sale, refusal = _sale(scope, document, request.GET)
    return render_page(
        request,
        "instrument.html",
        around,
        status=400 if refusal else 200,
        page="holdings",
        document=document,
        everyone=[account for account in everyone if account.broker == document.broker],
        asked=asked,
        explained={
            "account": asked.account,
            "from": asked.start,
            "method": method,
            "instrument": document.id,
        },
        base=base,
        method=method,
        methods=METHODS,
        closed=Sheet.of(document.closed, asked.page),
        activities=document.activities[:ROWS],
        plot=_price_plot(document),
        months=_day_prices(document, last_of_months=True)[::-1],
        sale=sale,
        refusal=refusal,
        sold=_again(request.GET.get("sell", "")),
        at=_again(request.GET.get("at", "")),
        lot=request.GET.get("lot", ""),
    )


def _sale(
    scope: Scope, document: InstrumentDocument, parameters: QueryDict
) -> tuple[WhatIfDocument | None, StonksError | None]:
    """The sale that the address asks to try, or why it cannot be."""
    if not parameters.get("sell"):
        return None, None
    try:
        quantity, price = _number(parameters.get("sell", "")), _number(parameters.get("at", ""))
        named = [one for one in parameters.getlist("lot") if one]
        return what_if(scope, document.broker_ref, quantity, price, named), None
    except StonksError as err:
        return None, err


def _again(text: str) -> str:
    """A typed number as addresses carry it; what is no number as it was typed."""
    typed = typed_number(text)
    return text if typed is None else f"{typed:f}"


def _number(text: str) -> Decimal | None:
    """Raises: LotsRefusedError."""
    if not text.strip():
        return None
    typed = typed_number(text)
    if typed is None:
        raise LotsRefusedError(f"{text[:40]!r} is not a number.", next_step="Type one, for example 12.5.")
    return typed


def _years_plot(document: RealizedDocument) -> dict[str, Any]:
    """Gains by year, in what was held for up to a year, for longer, and since before the history."""
    rows = list(reversed(document.by_year))
    base = document.base_currency
    short = [row.short_term_base for row in rows]
    long = [row.long_term_base for row in rows]
    other = [
        None
        if row.gain_base is None
        else row.gain_base - (row.short_term_base or 0) - (row.long_term_base or 0)
        for row in rows
    ]
    return over_time(
        "bars",
        base,
        [str(row.year) for row in rows],
        [
            series("Held for more than a year", "--so-1", long, base),
            series("Held for up to a year", "--so-2", short, base),
            series("Bought before the history", "--so-8", other, base),
        ],
    )


def _price_plot(document: InstrumentDocument) -> dict[str, Any]:
    """Prices as a line, trades at their price, dividends at the foot: all in today's units.

    Empty with nothing to put in a line.
    """
    days = list(zip(document.prices.dates, document.prices.adjusted, strict=True))
    if len(days) + sum(mark.price is not None for mark in document.marks) < 2:
        return {}
    if len(days) > _MOST_DAYS:
        by_week = {on.isocalendar()[:2]: (on, close) for on, close in days}
        days = list(by_week.values())
    currency = document.currency
    return {
        "kind": "prices",
        "currency": currency,
        "keys": [on.isoformat() for on, _ in days],
        "values": [computed_text(close) for _, close in days],
        "marks": [
            {
                "on": mark.on.isoformat(),
                "kind": mark.kind,
                "price": None if mark.adjusted is None else f"{mark.adjusted:.6g}",
                "quantity": None if mark.quantity is None else f"{mark.quantity:f}",
                "amount": None if mark.amount is None else plain(mark.amount, currency),
            }
            for mark in document.marks
        ],
    }
