"""The JSON API at /api/v1/: the same documents as the commands print, read only.

An answer is the report's own JSON. An error is `{"error": {"code", "what", "next_step"}}` with status 404
for an unknown account or instrument, 422 for an argument that cannot be used, else 400.
"""

import json
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI, Query, Schema
from ninja.errors import ValidationError
from ninja.openapi.docs import Swagger
from pydantic import Field, ValidationInfo, field_validator

from stonks_overwatch import config
from stonks_overwatch.errors import (
    StonksError,
    UnknownAccountError,
    UnknownFigureError,
    UnknownInstrumentError,
)
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.accounts import AccountsDocument, account_rows
from stonks_overwatch.reports.activities import ActivitiesDocument, activities
from stonks_overwatch.reports.allocation import AllocationDocument, By, allocation
from stonks_overwatch.reports.attribution import AttributionDocument, attribution
from stonks_overwatch.reports.balances import CashDocument, cash_over_time
from stonks_overwatch.reports.broker_returns import BrokerReturnsDocument, broker_returns
from stonks_overwatch.reports.contributions import ContributionsDocument, contributions
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.dashboard import DashboardDocument, dashboard
from stonks_overwatch.reports.diversification import DiversificationDocument, diversification
from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.explain import Explanation, explain
from stonks_overwatch.reports.explain.asked import Arguments, Only
from stonks_overwatch.reports.exposures import RATE, ExposuresDocument, exposures
from stonks_overwatch.reports.fees import FeesDocument, fees
from stonks_overwatch.reports.holdings import HoldingsDocument, holdings
from stonks_overwatch.reports.imports import ImportsDocument, imports
from stonks_overwatch.reports.income import IncomeDocument, income
from stonks_overwatch.reports.instrument import InstrumentDocument, instrument
from stonks_overwatch.reports.lots import LotsDocument, WhatIfDocument, lots, what_if
from stonks_overwatch.reports.performance import (
    PerformanceDocument,
    PeriodsDocument,
    performance,
    returns_by_period,
)
from stonks_overwatch.reports.realized import RealizedDocument, realized
from stonks_overwatch.reports.reconcile import ReconcileDocument, reconcile
from stonks_overwatch.reports.risk import ComparisonDocument, RiskDocument, comparison, risk
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import SeriesDocument, series
from stonks_overwatch.reports.syncs import RunsDocument, last_runs
from stonks_overwatch.reports.targets import GroupBy, TargetsDocument, targets
from stonks_overwatch.web.live import as_stored


class _Docs(Swagger):
    """With all its files from here: those of what is no app of Django's would come from the network."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        told = self.settings | {"url": self.get_openapi_url(api, kwargs)}
        return render(request, self.template, {"api": api, "swagger_settings": json.dumps(told)})


api = NinjaAPI(
    title="Stonks Overwatch",
    version="1",
    description="Decimals are strings, dates ISO 8601, unknown is null.",
    urls_namespace="api",
    docs=_Docs(settings={"supportedSubmitMethods": ["get"]}),
)
api.default_router.tags = ["reports"]


class Asked(Schema):
    """The arguments that every report takes."""

    account: str | None = None
    broker: str | None = None
    as_of: date | None = None
    base: config.Currency | None = None

    def scope(self) -> Scope:
        return Scope(
            base_currency=self.base or config.load().base_currency,
            account=self.account or None,
            broker=self.broker or None,
            as_of=self.as_of,
        )


class AskedDays(Asked):
    """The days are included."""

    start: date | None = Field(None, alias="from")
    end: date | None = Field(None, alias="to")

    @field_validator("end")
    @classmethod
    def _not_before_start(cls, end: date | None, info: ValidationInfo) -> date | None:
        start = info.data.get("start")
        if start and end and start > end:
            raise ValueError("it is before from")
        return end


class AskedHoldings(AskedDays):
    """`only` looks at some holdings alone, like asset_class=etf or instrument=US0378331005."""

    only: Only | None = None

    def group(self) -> Group | None:
        if self.only is None:
            return None
        field, _, value = self.only.partition("=")
        return Group(field, value)


class AskedMethod(Asked):
    """Without `method` each account's own."""

    method: Method | None = None


class AskedSale(Asked):
    """`lot` names activities that opened lots: the method specific closes these first."""

    ref: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    lot: list[str] = []


class AskedActivities(AskedDays):
    """Without `kind` all kinds."""

    kind: ActivityKind | None = None


_NOT_FOUND = (UnknownAccountError, UnknownFigureError, UnknownInstrumentError)


@api.exception_handler(StonksError)
def tell(request: HttpRequest, error: StonksError) -> HttpResponse:
    return api.create_response(
        request,
        {"error": {"code": error.code, "what": error.what, "next_step": error.next_step}},
        status=404 if isinstance(error, _NOT_FOUND) else 400,
    )


@api.exception_handler(ValidationError)
def refuse(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    why = first["msg"].removeprefix("Value error, ")
    return api.create_response(
        request,
        {
            "error": {
                "code": "wrong_argument",
                "what": f"The argument {first['loc'][-1]} cannot be used: {why}.",
                "next_step": "See /api/v1/docs for the arguments and their forms.",
            }
        },
        status=422,
    )


@api.get("/holdings", response=HoldingsDocument)
def get_holdings(request: HttpRequest, asked: Query[AskedMethod]) -> HttpResponse:
    """Positions and cash, valued, with the accounts' NAV and the totals."""
    return _answer(holdings(asked.scope(), asked.method))


@api.get("/allocation", response=AllocationDocument)
def get_allocation(request: HttpRequest, asked: Query[Asked], by: By = "asset_class") -> HttpResponse:
    """How NAV is spread."""
    return _answer(allocation(asked.scope(), by))


@api.get("/activities", response=ActivitiesDocument)
def get_activities(
    request: HttpRequest,
    asked: Query[AskedActivities],
) -> HttpResponse:
    """Trades, dividends, transfers and everything else that changed an account."""
    return _answer(activities(asked.scope(), asked.start, asked.end, asked.kind))


@api.get("/performance", response=PerformanceDocument, by_alias=True)
def get_performance(
    request: HttpRequest, asked: Query[AskedHoldings], benchmark: str = "", *, price_return: bool = False
) -> HttpResponse:
    """Returns, the value bridge and risk of a period."""
    document = performance(
        asked.scope(), asked.start, asked.end, benchmark, asked.group(), price_return=price_return
    )
    return _answer(document)


@api.get("/series", response=SeriesDocument)
def get_series(request: HttpRequest, asked: Query[AskedHoldings]) -> HttpResponse:
    """Value, net contribution and growth of every day."""
    return _answer(series(asked.scope(), asked.start, asked.end, asked.group()))


@api.get("/periods", response=PeriodsDocument, by_alias=True)
def get_periods(request: HttpRequest, asked: Query[AskedHoldings]) -> HttpResponse:
    """Returns of the standard periods, of calendar years and of months."""
    return _answer(returns_by_period(asked.scope(), asked.group()))


@api.get("/attribution", response=AttributionDocument, by_alias=True)
def get_attribution(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """What each holding added to the time-weighted return."""
    return _answer(attribution(asked.scope(), asked.start, asked.end))


@api.get("/risk", response=RiskDocument, by_alias=True)
def get_risk(
    request: HttpRequest, asked: Query[AskedHoldings], benchmark: str = "", *, price_return: bool = False
) -> HttpResponse:
    """Risk of a period, alone and against a benchmark."""
    document = risk(
        asked.scope(), asked.start, asked.end, benchmark, asked.group(), price_return=price_return
    )
    return _answer(document)


@api.get("/benchmark", response=ComparisonDocument, by_alias=True)
def get_benchmark(
    request: HttpRequest, asked: Query[AskedDays], benchmark: str, *, price_return: bool = False
) -> HttpResponse:
    """What the same money would have become in an instrument or a mix; its known dividends reinvested."""
    return _answer(comparison(asked.scope(), benchmark, asked.start, asked.end, price_return=price_return))


@api.get("/lots", response=LotsDocument)
def get_lots(request: HttpRequest, asked: Query[AskedMethod]) -> HttpResponse:
    """What is open of each purchase, its cost, value and unrealized profit."""
    return _answer(lots(asked.scope(), asked.method))


@api.get("/what-if", response=WhatIfDocument)
def get_what_if(request: HttpRequest, asked: Query[AskedSale]) -> HttpResponse:
    """What a sale would realize by each method; all of it at the last price, unless given."""
    return _answer(what_if(asked.scope(), asked.ref, asked.quantity, asked.price, asked.lot))


@api.get("/realized", response=RealizedDocument)
def get_realized(request: HttpRequest, asked: Query[AskedMethod], year: int | None = None) -> HttpResponse:
    """What closing positions earned: lot by lot, by instrument, by year."""
    return _answer(realized(asked.scope(), year, asked.method))


@api.get("/instrument/{number}", response=InstrumentDocument)
def get_instrument(
    request: HttpRequest,
    number: int,
    asked: Query[AskedMethod],
    start: Annotated[date | None, Query(alias="from")] = None,
) -> HttpResponse:
    """One instrument: holdings, lots, what it earned, activities; prices and marks from a day on."""
    return _answer(instrument(asked.scope(), number, start, asked.method))


@api.get("/income", response=IncomeDocument, by_alias=True)
def get_income(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """Dividends and interest: what came, what was withheld, what is to come."""
    return _answer(income(asked.scope(), asked.start, asked.end))


@api.get("/fees", response=FeesDocument, by_alias=True)
def get_fees(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """Fees and taxes by kind, and what they are of the value."""
    return _answer(fees(asked.scope(), asked.start, asked.end))


@api.get("/contributions", response=ContributionsDocument, by_alias=True)
def get_contributions(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """What was put in and taken out."""
    return _answer(contributions(asked.scope(), asked.start, asked.end))


@api.get("/cash", response=CashDocument)
def get_cash(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """Cash by currency at the ends of months and now."""
    return _answer(cash_over_time(asked.scope(), asked.start, asked.end))


@api.get("/diversification", response=DiversificationDocument)
def get_diversification(request: HttpRequest, asked: Query[Asked], by: By = "asset_class") -> HttpResponse:
    """How NAV is spread, down to the holding, and how concentrated it is."""
    return _answer(diversification(asked.scope(), by))


@api.get("/exposures", response=ExposuresDocument)
def get_exposures(
    request: HttpRequest,
    asked: Query[Asked],
    rate: Annotated[Decimal, Field(ge=-1, le=1)] = RATE,
    dividend_yield: Annotated[Decimal, Field(ge=-1, le=1)] = Decimal(0),
) -> HttpResponse:
    """What the portfolio moves with; the rates, as fractions, are what the greeks assume."""
    return _answer(exposures(asked.scope(), rate, dividend_yield))


@api.get("/targets", response=TargetsDocument)
def get_targets(
    request: HttpRequest,
    asked: Query[Asked],
    by: GroupBy = "asset_class",
    money: Annotated[Decimal, Field(ge=0)] = Decimal(0),
    minimum: Annotated[Decimal, Field(ge=0)] = Decimal(0),
    *,
    two_sided: bool = False,
) -> HttpResponse:
    """Wanted weights, what is away from them, and a plan for new money."""
    return _answer(targets(asked.scope(), by, money, two_sided=two_sided, minimum=minimum))


@api.get("/reconcile", response=ReconcileDocument)
def get_reconcile(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """Computed against reported: the latest state and statements, those that end in some days, or one day."""
    return _answer(reconcile(asked.scope(), asked.start, asked.end))


@api.get("/broker-returns", response=BrokerReturnsDocument)
def get_broker_returns(request: HttpRequest, asked: Query[AskedDays]) -> HttpResponse:
    """The broker's own time-weighted returns beside ours."""
    return _answer(broker_returns(asked.scope(), asked.start, asked.end))


@api.get("/accounts", response=AccountsDocument)
def get_accounts(request: HttpRequest, asked: Query[Asked]) -> HttpResponse:
    """What each account is worth and when it was last updated."""
    return _answer(account_rows(asked.scope()))


@api.get("/dashboard", response=DashboardDocument)
def get_dashboard(request: HttpRequest, asked: Query[Asked]) -> HttpResponse:
    """Everything on the first page."""
    return _answer(dashboard(asked.scope()))


@api.get("/explain/{figure}", response=Explanation)
def get_explanation(request: HttpRequest, figure: str, asked: Query[Arguments]) -> HttpResponse:
    """How one figure of a report came about: formula, inputs, rates, ledger rows."""
    explained = explain(figure, asked.in_base(config.load().base_currency), asked.page)
    return _answer(as_stored(asked, explained))


@api.get("/import", response=ImportsDocument)
def get_imports(request: HttpRequest) -> HttpResponse:
    """The imported files, newest first."""
    return _answer(imports())


@api.get("/sync", response=RunsDocument)
def get_sync(request: HttpRequest, broker: str | None = None) -> HttpResponse:
    """The latest runs, newest first."""
    return _answer(last_runs(broker))


def _answer(document: Document) -> HttpResponse:
    return HttpResponse(document.model_dump_json(by_alias=True), content_type="application/json")
