"""Risk of a period, alone and against a benchmark into which the same money would have gone."""

from datetime import date

from pydantic import Field

from stonks_overwatch.engine import series as engine
from stonks_overwatch.reports.benchmark import Benchmark
from stonks_overwatch.reports.daily import DailyTotal, Group, daily_total
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.performance import asked_days, risks_of
from stonks_overwatch.reports.periods import Days
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import decimal, decimals


class RiskDocument(Document):
    """Of the daily time-weighted returns on the period's weekdays; `days` is their number.

    Deviations, ratios, alpha and the tracking error are per year of 252 days and null below 20 days. No
    return is taken as free of risk. `max_drawdown` counts from the highest value so far, the start being
    one; `recovered_on` is null while it lasts. `value_at_risk` is the loss of a day that was exceeded on one
    of twenty. The last five need a benchmark.
    """

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    days: int
    volatility: Computed | None = None
    downside_deviation: Computed | None = None
    sharpe: Computed | None = None
    sortino: Computed | None = None
    max_drawdown: Computed | None = None
    peak_on: date | None = None
    trough_on: date | None = None
    recovered_on: date | None = None
    calmar: Computed | None = None
    value_at_risk: Computed | None = None
    beta: Computed | None = None
    alpha: Computed | None = None
    correlation: Computed | None = None
    tracking_error: Computed | None = None
    information_ratio: Computed | None = None


class BenchmarkPart(Document):
    name: str
    symbol: str
    weight: Computed


class ComparisonDocument(Document):
    """The portfolio beside a benchmark, day by day.

    `index` and `benchmark_index` are growths of one unit of currency from the begin of the period.
    `benchmark_nav` is what the value would be had the begin value and every later contribution gone into the
    benchmark on their days. `dividends` counts those of the benchmark that are reinvested in it, before tax:
    without any its return is one of prices. It is the `total_return` only if all there were are known, which
    is where the accounts looked at held it all the time. `why` says what is missing where the benchmark is
    not known.
    """

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    parts: tuple[BenchmarkPart, ...]
    total_return: bool
    dividends: int
    twr: Computed | None
    benchmark_return: Computed | None
    end_nav: Computed | None
    benchmark_end_nav: Computed | None
    dates: tuple[date, ...]
    index: tuple[Computed | None, ...]
    benchmark_index: tuple[Computed | None, ...]
    benchmark_nav: tuple[Computed | None, ...]
    why: str


def risk(
    scope: Scope,
    start: date | None = None,
    end: date | None = None,
    benchmark: str = "",
    only: Group | None = None,
    *,
    price_return: bool = False,
) -> RiskDocument:
    """The risk of a period; without days, of all that is known."""
    daily = daily_total(scope, only)
    if daily is None:
        return RiskDocument(start=start, end=end, days=0)
    days = asked_days(daily, start, end)
    against = None
    if benchmark:
        against = Benchmark.named(benchmark, scope.base_currency, daily, days, price_return=price_return)
    return risk_of(daily, days, against)


def risk_of(daily: DailyTotal, days: Days, against: Benchmark | None) -> RiskDocument:
    """The same, of a series that is there already."""
    found = risks_of(daily, days, against)
    if found is None:
        return RiskDocument(start=days.first, end=days.last, days=0)
    return RiskDocument(
        start=days.first,
        end=days.last,
        days=found.days,
        volatility=decimal(found.volatility),
        downside_deviation=decimal(found.downside_deviation),
        sharpe=decimal(found.sharpe),
        sortino=decimal(found.sortino),
        max_drawdown=decimal(found.max_drawdown),
        peak_on=_day(found.peak),
        trough_on=_day(found.trough),
        recovered_on=_day(found.recovered),
        calmar=decimal(found.calmar),
        value_at_risk=decimal(found.value_at_risk),
        beta=decimal(found.beta),
        alpha=decimal(found.alpha),
        correlation=decimal(found.correlation),
        tracking_error=decimal(found.tracking_error),
        information_ratio=decimal(found.information_ratio),
    )


def _day(ordinal: int | None) -> date | None:
    return None if ordinal is None else date.fromordinal(ordinal)


def comparison(
    scope: Scope,
    benchmark: str,
    start: date | None = None,
    end: date | None = None,
    *,
    price_return: bool = False,
) -> ComparisonDocument:
    """The portfolio beside the benchmark; without days, over all that is known.

    With `price_return` the benchmark's dividends are left out.

    Raises: UnknownInstrumentError.
    """
    daily = daily_total(scope)
    if daily is None:
        return _nothing(scope.base_currency, start, end, ())
    days = asked_days(daily, start, end)
    against = Benchmark.named(benchmark, scope.base_currency, daily, days, price_return=price_return)
    return compared(daily, scope.base_currency, days, against)


def compared(daily: DailyTotal, base: str, days: Days, against: Benchmark) -> ComparisonDocument:
    """The same, of a series that is there already."""
    parts = tuple(BenchmarkPart(name=p.name, symbol=p.symbol, weight=p.weight) for p in against.parts)
    begin, end = days.first.toordinal() - 1, days.last.toordinal()
    grown = daily.index
    if grown is None or not grown.since <= begin < end <= grown.until:
        return _nothing(base, days.first, days.last, parts)
    window = slice(begin - daily.total.first, end - daily.total.first + 1)
    own, other = grown.after_tax[window], against.grown[window]
    nav, flows = daily.total.nav[window], daily.total.contribution[window]
    simulated = engine.simulated(float(nav[0]), flows, other)
    return ComparisonDocument(
        start=days.first,
        end=days.last,
        base_currency=base,
        parts=parts,
        total_return=against.is_total(days),
        dividends=against.reinvested(days),
        twr=decimal(float(own[-1] / own[0] - 1.0)),
        benchmark_return=decimal(float(other[-1] / other[0] - 1.0)),
        end_nav=decimal(float(nav[-1])),
        benchmark_end_nav=decimal(float(simulated[-1])),
        dates=tuple(date.fromordinal(day) for day in range(begin, end + 1)),
        index=decimals(engine.numbers(own / own[0])),
        benchmark_index=decimals(engine.numbers(other / other[0])),
        benchmark_nav=decimals(engine.numbers(simulated)),
        why=against.why,
    )


def _nothing(
    base: str, start: date | None, end: date | None, parts: tuple[BenchmarkPart, ...]
) -> ComparisonDocument:
    return ComparisonDocument(
        start=start,
        end=end,
        base_currency=base,
        parts=parts,
        total_return=False,
        dividends=0,
        twr=None,
        benchmark_return=None,
        end_nav=None,
        benchmark_end_nav=None,
        dates=(),
        index=(),
        benchmark_index=(),
        benchmark_nav=(),
        why="Not everything is known on all of these days. Look at days since everything is known.",
    )
