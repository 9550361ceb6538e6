"""The page of returns: value, growth against a benchmark, falls, months, holdings, the bridge, risk."""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from stonks_overwatch.errors import StonksError, UnknownAccountError
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports import periods
from stonks_overwatch.reports.attribution import HoldingReturn, attributed
from stonks_overwatch.reports.benchmark import Benchmark
from stonks_overwatch.reports.daily import DailyTotal, Group, daily_total
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.performance import (
    PerformanceDocument,
    PeriodRow,
    known_days,
    measured,
    periods_of,
)
from stonks_overwatch.reports.periods import Days
from stonks_overwatch.reports.risk import ComparisonDocument, RiskDocument, compared, risk_of
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.series import SeriesDocument, days_of, from_begin
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import Frame, frame
from stonks_overwatch.web.pages import nothing_yet, render_page
from stonks_overwatch.web.plots import over_time, series
from stonks_overwatch.web.templatetags.figures import day, group_name, position_class
from stonks_overwatch.web.typed import Reading

DEFAULT = "1Y"
NAMES = {
    "1D": "1 day",
    "1W": "1 week",
    "MTD": "This month",
    "1M": "1 month",
    "3M": "3 months",
    "6M": "6 months",
    "YTD": "This year",
    "1Y": "1 year",
    "3Y": "3 years",
    "5Y": "5 years",
    "all": "Everything",
}
SHOWN_HOLDINGS = 20
# A line needs no more points than a screen has places for them.
MOST_POINTS = 366
_HOT = (Decimal("0.005"), Decimal("0.02"), Decimal("0.05"))  # returns of a month from which a shade begins


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `period` is a key of `choices`, or empty when days are given.

    Days that cannot be used are left out and stand in `refused`.
    """

    account: str
    period: str
    start: date | None
    end: date | None
    benchmark: str
    only: str
    is_before_tax: bool
    is_price_return: bool
    choices: tuple[tuple[str, str], ...]
    refused: tuple[StonksError, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, str], daily: DailyTotal) -> "Asked":
        known = known_days(daily)
        years = periods.years(known.first - periods.DAY, known.last)
        choices = (*NAMES.items(), *((year, year) for year in years))
        reading = Reading(parameters)
        start, end = reading.days()
        if (start and start > known.last) or (end and end < known.first):
            reading.refuse(
                "Nothing is known of these days, so they are left out.",
                f"Choose days from {day(known.first)} to {day(known.last)}.",
            )
            start = end = None
        period = parameters.get("period", DEFAULT)
        if start or end:
            period = ""
        elif period not in dict(choices):
            period = DEFAULT
        return cls(
            account=parameters.get("account", ""),
            period=period,
            start=start,
            end=end,
            benchmark=parameters.get("benchmark", "").strip(),
            only=parameters.get("only", ""),
            is_before_tax=parameters.get("tax") == "before",
            is_price_return=parameters.get("price_return") == "1",
            choices=choices,
            refused=tuple(reading.refused),
        )

    def days(self, daily: DailyTotal) -> Days:
        """Inside what is known: a period longer than the history is all of it."""
        known = known_days(daily)
        if self.period:
            days = periods.standard(self.period, known.first - periods.DAY, known.last)
        else:
            days = Days(self.start or known.first, self.end or known.last)
        first, last = max(days.first, known.first), min(days.last, known.last)
        return Days(first, last) if first <= last else known


class DayRow(Document):
    """One day of the charts."""

    on: date
    nav: Computed | None
    net_contribution: Computed | None
    contributed: Computed | None
    twr_index: Computed | None
    drawdown: Computed | None
    benchmark_index: Computed | None
    benchmark_nav: Computed | None
    source: str


class BridgeStep(Document):
    """One bar of the bridge: the part, whether it is an estimate, and the value after it."""

    name: str
    amount: Computed | None
    value: Computed | None
    is_estimate: bool = False


@require_safe
def performance_page(request: HttpRequest) -> HttpResponse:
    around = frame()
    base = around.config.base_currency
    everyone = accounts(Scope(base))
    if not everyone:
        return nothing_yet(request, around, "performance")
    only = _group(request.GET.get("only", ""))
    try:
        daily = daily_total(Scope(base, account=request.GET.get("account") or None), only)
        if daily is None:
            return render_page(
                request, "performance.html", around, document=None, only=only, only_name=_name(only)
            )
        return _answer(request, around, everyone, daily, only)
    except StonksError as err:
        status = 404 if isinstance(err, UnknownAccountError) else 400
        return render_page(request, "problem.html", around, status=status, page="performance", problem=err)


def _group(text: str) -> Group | None:
    field, equals, value = text.partition("=")
    return Group(field, value) if equals and field in Group.FIELDS else None


def _answer(
    request: HttpRequest,
    around: Frame,
    everyone: Sequence[object],
    daily: DailyTotal,
    only: Group | None,
) -> HttpResponse:
    base = around.config.base_currency
    asked = Asked.of(request.GET, daily)
    days = asked.days(daily)
    wanted = request.GET.get("csv", "")
    if wanted in TABLES and not asked.refused:
        return csv_answer(f"performance-{wanted}", _table(wanted, daily, base, asked))
    attribution = heaviest = None
    if only is None and request.GET.get("part") == "holdings":
        # Worked out from all activities of the period, so the page is shown first and asks for it then.
        attribution = attributed(daily, base, days, SHOWN_HOLDINGS)
        known = (abs(row.contribution) for row in attribution.holdings if row.contribution)
        heaviest = max(known, default=None)
        if "HX-Request" in request.headers:
            explained = {"account": asked.account, "from": days.first, "to": days.last}
            context = {"attribution": attribution, "heaviest": heaviest, "base": base, "explained": explained}
            return render(request, "parts/holding_returns.html", context)
    against = _benchmark(asked, base, daily)
    document = measured(daily, base, days, against)
    comparison = compared(daily, base, days, against) if against else None
    rows = _rows(days_of(daily, days.first - periods.DAY, days.last), comparison)
    drawn = _thinned(rows)
    by_period = periods_of(daily, months_in_full=False)
    name = _name(only)
    return render_page(
        request,
        "performance.html",
        around,
        everyone=everyone,
        asked=asked,
        refused=asked.refused,
        explained={
            "account": asked.account,
            "from": document.start,
            "to": document.end,
            "benchmark": asked.benchmark,
            "price_return": "1" if asked.is_price_return else "",
            "only": asked.only,
        },
        groups=_groups(only, name),
        only=only,
        only_name=name,
        base=base,
        document=document,
        twr=document.twr_before_tax if asked.is_before_tax else document.twr,
        named=[(NAMES[row.name], row) for row in by_period.periods],
        month_names=calendar.month_abbr[1:],
        years=_months_by_year(by_period.months, by_period.years),
        risk=risk_of(daily, days, against),
        comparison=comparison,
        attribution=attribution,
        heaviest=heaviest,
        steps=_bars(_steps(document)),
        month_ends=_month_ends(rows),
        value_plot=_value_plot(drawn, base, comparison),
        growth_plot=_growth_plot(drawn, comparison),
        fall_plot=_fall_plot(drawn),
    )


TABLES = ("days", "comparison", "bridge", "periods", "months", "holdings", "risk")


def _table(name: str, daily: DailyTotal, base: str, asked: Asked) -> Table:
    """One table of the page with all its rows."""
    days = asked.days(daily)
    against = _benchmark(asked, base, daily)
    match name:
        case "days":
            comparison = compared(daily, base, days, against) if against else None
            return Table(DayRow, _rows(days_of(daily, days.first - periods.DAY, days.last), comparison))
        case "comparison":
            beside = (compared(daily, base, days, against),) if against else ()
            return Table(ComparisonDocument, beside)
        case "bridge":
            return Table(BridgeStep, _steps(measured(daily, base, days)))
        case "holdings":
            return Table(HoldingReturn, attributed(daily, base, days).holdings)
        case "risk":
            return Table(RiskDocument, (risk_of(daily, days, against),))
        case "months":
            return Table(PeriodRow, periods_of(daily).months)
        case _:
            by_period = periods_of(daily)
            return Table(PeriodRow, (*by_period.periods, *by_period.years))


def _groups(only: Group | None, name: str) -> list[tuple[str, str]]:
    """The groups to choose from: asset classes, and the group that is looked at if it is another."""
    groups = [(f"asset_class={value}", position_class(value)) for value in AssetClass]
    if only is not None and only.field != "asset_class":
        groups.append((f"{only.field}={only.value}", name))
    return groups


def _name(only: Group | None) -> str:
    """What is looked at alone, as a reader knows it."""
    match only:
        case None:
            return ""
        case Group(field="instrument"):
            told = only.rows().values_list("symbol", "name")
            return ", ".join(dict.fromkeys(symbol or name for symbol, name in told))
        case Group(field="asset_class" | "country" | "currency" as field, value=value):
            return position_class(value) if field == "asset_class" else group_name(value, field)
        case _:
            return only.value.capitalize() if only.value == "unknown" else only.value


def _benchmark(asked: Asked, base: str, daily: DailyTotal) -> Benchmark | None:
    if not asked.benchmark:
        return None
    days, price_return = asked.days(daily), asked.is_price_return
    return Benchmark.named(asked.benchmark, base, daily, days, price_return=price_return)


def _rows(document: SeriesDocument, comparison: ComparisonDocument | None) -> list[DayRow]:
    """The days, counted from the first of them, with the benchmark's beside them."""
    days = from_begin(document)
    beside = {}
    if comparison is not None:
        pairs = zip(comparison.benchmark_index, comparison.benchmark_nav, strict=True)
        beside = dict(zip(comparison.dates, pairs, strict=True))
    rows = []
    for number, on in enumerate(days.dates):
        index, nav = beside.get(on, (None, None))
        rows.append(
            DayRow(
                on=on,
                nav=days.nav[number],
                net_contribution=document.net_contribution[number],
                contributed=days.contributed[number],
                twr_index=days.growth[number],
                drawdown=days.fall[number],
                benchmark_index=index,
                benchmark_nav=nav,
                source=document.sources[number],
            )
        )
    return rows


def _thinned(rows: list[DayRow]) -> list[DayRow]:
    """Every so manieth day, always with the last one."""
    step = -(-len(rows) // MOST_POINTS)
    return rows[:: -step or -1][::-1] if step > 1 else rows


def _steps(document: PerformanceDocument) -> list[BridgeStep]:
    bridge = document.bridge
    parts = [
        ("Net contribution", document.net_contribution),
        ("Market", bridge.market),
        ("Income", bridge.income),
        ("Fees", bridge.fees),
        ("Taxes", bridge.taxes),
        ("Currency", bridge.currency),
        ("Other" if bridge.market is not None else "Market, currency and other", bridge.other),
    ]
    if bridge.market is None and bridge.other is not None:
        # The broker's values alone do not tell the effects of prices and of exchange rates apart.
        parts = [part for part in parts if part[0] not in ("Market", "Currency")]
    value = document.begin_nav
    steps = [BridgeStep(name="Begin", amount=None, value=value)]
    for name, amount in parts:
        if value is not None and amount is not None:
            value = value + amount
        is_estimate = document.bridge_is_estimate and name in ("Market", "Currency")
        steps.append(BridgeStep(name=name, amount=amount, value=value, is_estimate=is_estimate))
    return [*steps, BridgeStep(name="End", amount=None, value=document.end_nav)]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the waterfall; places from 0 (top) to 100. `top` is None where nothing can be drawn."""

    step: BridgeStep
    left: int
    top: str | None
    height: str
    tone: str

    @property
    def name(self) -> str:
        return _LEVELS.get(self.step.name, self.step.name)

    @property
    def is_level(self) -> bool:
        """Whether it is a value and not a change of it."""
        return self.step.name in _LEVELS

    @property
    def part(self) -> str:
        """The field of the document that the bar shows."""
        names = {"Begin": "begin_nav", "End": "end_nav", "Market, currency and other": "other"}
        return names.get(self.step.name, self.step.name.lower().replace(" ", "_"))

    @property
    def figure(self) -> str:
        """The name of the bar's change, for its explanation."""
        inside = "" if self.part in ("begin_nav", "end_nav", "net_contribution") else "bridge."
        return f"performance.{inside}{self.part}"

    @property
    def level(self) -> str:
        """The name of the value after it."""
        return (
            f"performance.{self.part}"
            if self.part in ("begin_nav", "end_nav")
            else f"performance.after_{self.part}"
        )


_LEVELS = {"Begin": "Value at start", "End": "Value at end"}
# What was put in or taken out is neither gain nor loss.
_TONES = {**dict.fromkeys(_LEVELS, "level"), "Net contribution": "moved"}


def _bars(steps: list[BridgeStep]) -> list[Bar]:
    values = [step.value for step in steps if step.value is not None]
    low, high = min(values, default=Decimal(0)), max(values, default=Decimal(0))
    # Cut off below the lowest value, so that small changes of a large one can be seen.
    low = max(Decimal(0), low - (high - low) / 2) if low > 0 else low
    span = high - low
    bars = []
    before = Decimal(0)
    for place, step in enumerate(steps):
        is_level = step.name in _LEVELS
        start = max(low, Decimal(0)) if is_level else before
        left = place * 100
        if step.value is None or not span:
            bars.append(Bar(step, left, None, "0", "level"))
            continue
        top = (high - max(start, step.value)) / span * 100
        height = max(abs(step.value - start) / span * 100, Decimal("0.4"))
        tone = _TONES.get(step.name) or ("up" if step.value >= start else "down")
        bars.append(Bar(step, left, f"{top:.2f}", f"{height:.2f}", tone))
        before = step.value
    return bars


@dataclass(frozen=True, slots=True)
class Year:
    """The months of a year for the heatmap, January first; None for months that are not known."""

    year: str
    months: list[tuple[PeriodRow | None, str]]
    whole: PeriodRow | None


def _months_by_year(months: Sequence[PeriodRow], years: Sequence[PeriodRow]) -> list[Year]:
    by_name = {row.name: row for row in months}
    found = []
    for year in years:
        rows = [by_name.get(f"{year.name}-{month:02}") for month in range(1, 13)]
        found.append(Year(year.name, [(row, heat(row.twr) if row else "") for row in rows], year))
    return found


def heat(value: Decimal | None) -> str:
    """The class of a cell: how far a return is from nothing, and on which side."""
    if value is None:
        return ""
    shade = sum(abs(value) >= limit for limit in _HOT)
    return f"heat-{'p' if value >= 0 else 'n'}{shade}"


def _month_ends(rows: list[DayRow]) -> list[DayRow]:
    """The last day of each month, newest first."""
    last = {(row.on.year, row.on.month): row for row in rows}
    return list(reversed(last.values()))


def _value_plot(rows: list[DayRow], base: str, comparison: ComparisonDocument | None) -> dict[str, Any]:
    lines = [
        series("Value", "--so-1", [row.nav for row in rows], base),
        series("Net contribution", "--so-8", [row.contributed for row in rows], base),
    ]
    if comparison is not None:
        lines.append(series("Benchmark", "--so-3", [row.benchmark_nav for row in rows], base))
    return over_time("lines", base, [row.on.isoformat() for row in rows], lines)


def _growth_plot(rows: list[DayRow], comparison: ComparisonDocument | None) -> dict[str, Any]:
    lines = [_fractions("Portfolio", "--so-1", [_gain(row.twr_index) for row in rows])]
    if comparison is not None:
        lines.append(_fractions("Benchmark", "--so-3", [_gain(row.benchmark_index) for row in rows]))
    return _percents(rows, lines)


def _fall_plot(rows: list[DayRow]) -> dict[str, Any]:
    return _percents(rows, [_fractions("Drawdown", "--so-5", [row.drawdown for row in rows])])


def _gain(level: Decimal | None) -> Decimal | None:
    return None if level is None else level - 1


def _fractions(name: str, colour: str, values: Sequence[Decimal | None]) -> dict[str, Any]:
    return {
        "name": name,
        "colour": colour,
        "values": [None if value is None else f"{value:.5f}" for value in values],
        "line": False,
    }


def _percents(rows: list[DayRow], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """A plot whose values are fractions; empty without two values."""
    if len(rows) < 2 or all(value is None for value in lines[0]["values"]):
        return {}
    return {
        "kind": "lines",
        "unit": "percent",
        "currency": "",
        "keys": [row.on.isoformat() for row in rows],
        "series": lines,
    }
