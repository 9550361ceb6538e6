"""How figures of risk come about, and the growth of a benchmark."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine.rates import Floats
from stonks_overwatch.engine.risk import max_drawdown
from stonks_overwatch.reports.benchmark import Benchmark, asked_parts
from stonks_overwatch.reports.daily import DailyTotal
from stonks_overwatch.reports.explain.days import flow_days, on_day
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, Unit
from stonks_overwatch.reports.explain.told import (
    FLOATING,
    base,
    figure,
    floating,
    formula,
    fraction,
    plain,
    sum_of,
)
from stonks_overwatch.reports.performance import Risk
from stonks_overwatch.reports.periods import DAY, Days
from stonks_overwatch.reports.risk import BenchmarkPart, ComparisonDocument, RiskDocument, comparison, risk

REPORTS["risk"] = lambda a, _: risk(
    a.scope, a.start, a.end, a.benchmark, a.group, price_return=a.price_return
)
REPORTS["comparison"] = lambda a, _: comparison(
    a.scope, a.benchmark, a.start, a.end, price_return=a.price_return
)


class _Returns(NamedTuple):
    """The returns from one weekday to the next, and the days they end on."""

    on: list[date]
    own: list[float]
    benchmark: list[float]


def _benchmark(seen: Seen, daily: DailyTotal) -> Floats | None:
    named, told = seen.arguments.benchmark, seen.root
    if not named:
        return None
    days, price_return = Days(told.start, told.end), seen.arguments.price_return
    return Benchmark.named(named, seen.base, daily, days, price_return=price_return).grown


def _returns(seen: Seen) -> _Returns:
    daily, told = seen.reports.daily, seen.root
    if daily is None or daily.index is None or told.start is None or told.end is None:
        return _Returns([], [], [])
    days = engine.weekdays(told.start.toordinal() - 1, told.end.toordinal())
    against = _benchmark(seen, daily)
    own, other = (
        []
        if level is None
        else (level[days - daily.total.first][1:] / level[days - daily.total.first][:-1] - 1.0).tolist()
        for level in (daily.index.after_tax, against)
    )
    return _Returns([date.fromordinal(day) for day in days[1:].tolist()], own, other)


_VARIANCE = "(sum of squares − days × mean²) ÷ (days − 1)"
_OTHER_VARIANCE = _VARIANCE.replace("mean", "mean of the benchmark").replace(
    "squares", "the benchmark's squares"
)
_COVARIANCE = "(sum of products − days × mean × mean of the benchmark) ÷ (days − 1)"
_BETA = f"({_COVARIANCE}) ÷ ({_OTHER_VARIANCE})"
_APART = "(sum of squared differences − days × mean difference²) ÷ (days − 1)"


def _sums(told: _Returns) -> dict[str, float]:
    """What the formulas are made of, by name."""
    days = len(told.own)
    sums = {
        "days": float(days),
        "mean": sum(told.own) / days,
        "sum of squares": sum(one * one for one in told.own),
        "sum of squared losses": sum(one * one for one in told.own if one < 0),
    }
    if told.benchmark:
        pairs = list(zip(told.own, told.benchmark, strict=True))
        sums |= {
            "mean of the benchmark": sum(told.benchmark) / days,
            "sum of the benchmark's squares": sum(other * other for other in told.benchmark),
            "sum of products": sum(one * other for one, other in pairs),
            "mean difference": sum(one - other for one, other in pairs) / days,
            "sum of squared differences": sum((one - other) ** 2 for one, other in pairs),
        }
    return sums


def _of_returns(words: str) -> Callable[[Seen], Made]:
    """A formula of sums over the daily returns, which are listed below them."""
    against = "benchmark" in words or "difference" in words

    def made(seen: Seen) -> Made:
        told = _returns(seen)
        if not told.own or seen.value is None:
            return formula(words, note="Unknown without 20 weekdays on which everything is known.")
        named = [(name, value) for name, value in _sums(told).items() if name in words]
        inputs = [seen.input(name, floating(value), "") for name, value in named]
        inputs += _listed(seen, "daily return", told.on, told.own)
        if against:
            inputs += _listed(seen, "daily return of the benchmark", told.on, told.benchmark)
        note = f"The sums are of the daily returns below, on weekdays. {FLOATING}"
        return formula(words, inputs, note=note)

    return made


def _listed(seen: Seen, text: str, days: Sequence[date], returns: Sequence[float]) -> list[Input]:
    return [
        seen.input(text, floating(one), fraction, as_of=on) for on, one in zip(days, returns, strict=True)
    ]


def _fall(seen: Seen) -> Made:
    words = "growth at the lowest ÷ growth at the highest before it − 1"
    told, daily = seen.root, seen.reports.daily
    if daily is None or daily.index is None or told.start is None or told.end is None:
        return Made("change", words)
    begin = told.start.toordinal() - 1 - daily.total.first
    levels = daily.index.after_tax[begin : told.end.toordinal() - daily.total.first + 1].tolist()
    fall = max_drawdown(daily.index.after_tax[begin : begin + len(levels)])
    if fall is None:
        return Made("change", words)
    days = (told.start - DAY + fall.trough * DAY, told.start - DAY + fall.peak * DAY)
    names = ("growth at the lowest", "growth at the highest before it")
    inputs = [on_day(seen, "twr_index", name, "", on) for name, on in zip(names, days, strict=True)]
    return Made("change", words, inputs, note=FLOATING)


def _calmar(seen: Seen) -> Made:
    words = "((growth at the end ÷ growth at the begin) ^ (365 ÷ days) − 1) ÷ −maximum drawdown"
    told = seen.root
    if told.start is None or told.end is None:
        return formula(words)
    inputs = [
        on_day(seen, "twr_index", "growth at the end", "", told.end),
        on_day(seen, "twr_index", "growth at the begin", "", told.start - DAY),
        seen.input("days", Decimal((told.end - told.start).days + 1), ""),
        seen.input("maximum drawdown", told.max_drawdown, fraction, "risk.max_drawdown"),
    ]
    return formula(words, inputs, note=FLOATING)


def _value_at_risk(seen: Seen) -> Made:
    words = "−(return below + (return above − return below) × part of the way)"
    told = _returns(seen)
    if seen.value is None or not told.own:
        return formula(words)
    ordered = sorted(zip(told.own, told.on, strict=True))
    place, part = divmod(0.05 * (len(ordered) - 1), 1)
    below, above = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
    inputs = [
        seen.input("return below", floating(below[0]), fraction, as_of=below[1]),
        seen.input("return above", floating(above[0]), fraction, as_of=above[1]),
        seen.input("part of the way", floating(part), ""),
        *_listed(seen, "daily return", told.on, told.own),
    ]
    note = f"The two returns between which the worst twentieth of all {len(ordered)} ends. {FLOATING}"
    return formula(words, inputs, note=note)


_RISKS: tuple[tuple[str, str, Unit, Callable[[Seen], Made]], ...] = (
    ("volatility", "Volatility", fraction, _of_returns(f"√({_VARIANCE}) × √252")),
    (
        "downside_deviation",
        "Downside deviation",
        fraction,
        _of_returns("√(sum of squared losses ÷ days) × √252"),
    ),
    ("sharpe", "Sharpe ratio", plain, _of_returns(f"mean × 252 ÷ (√({_VARIANCE}) × √252)")),
    ("sortino", "Sortino ratio", plain, _of_returns("mean × 252 ÷ (√(sum of squared losses ÷ days) × √252)")),
    ("max_drawdown", "Maximum drawdown", fraction, _fall),
    ("calmar", "Calmar ratio", plain, _calmar),
    ("value_at_risk", "Value at risk", fraction, _value_at_risk),
    ("beta", "Beta", plain, _of_returns(_BETA)),
    ("alpha", "Alpha", fraction, _of_returns(f"(mean − {_BETA} × mean of the benchmark) × 252")),
    (
        "correlation",
        "Correlation",
        plain,
        _of_returns(f"({_COVARIANCE}) ÷ (√({_VARIANCE}) × √({_OTHER_VARIANCE}))"),
    ),
    ("tracking_error", "Tracking error", fraction, _of_returns(f"√({_APART}) × √252")),
    (
        "information_ratio",
        "Information ratio",
        plain,
        _of_returns(f"mean difference × 252 ÷ (√({_APART}) × √252)"),
    ),
)
_MEANINGS = {
    "max_drawdown": "From the highest growth since the begin, the begin being one.",
    "value_at_risk": "The loss of a day that was exceeded on one of twenty.",
    "sharpe": "Per year of 252 days; no return is taken as free of risk.",
}
for _name, _title, _unit, _made in _RISKS:
    for _model in (RiskDocument, Risk):
        if _name in _model.model_fields:
            figure(_model, _name, _title, _unit, _MEANINGS.get(_name, "Per year of 252 days."))(_made)


# Beside a benchmark


def _levels(seen: Seen, level: Floats | None, name: str, on: date) -> list[Input]:
    daily, told = seen.reports.daily, seen.root
    if daily is None or level is None or told.start is None:
        return []
    days = (("to the day", on), ("to the begin", told.start - DAY))
    return [
        seen.input(
            f"{name} {text}", floating(float(level[day.toordinal() - daily.total.first])), "", as_of=day
        )
        for text, day in days
    ]


def _grown(seen: Seen, *, is_benchmark: bool, on: date) -> list[Input]:
    daily = seen.reports.daily
    if daily is None or daily.index is None:
        return []
    if is_benchmark:
        return _levels(seen, _benchmark(seen, daily), "growth of the benchmark", on)
    return _levels(seen, daily.index.after_tax, "growth", on)


def _kind(told: ComparisonDocument) -> str:
    """What the return of the benchmark is one of."""
    if not told.dividends:
        return "A price return: no dividend is in it."
    kind = "A total return" if told.total_return else "A price return and the dividends that are known"
    return f"{kind}: {told.dividends} of those that your accounts received are reinvested, before tax."


def _change(*, is_benchmark: bool) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        end = seen.root.end
        inputs = _grown(seen, is_benchmark=is_benchmark, on=end) if seen.value is not None else []
        note = f"{_kind(seen.root)} {FLOATING}" if is_benchmark else FLOATING
        return Made("change", "growth to the end ÷ growth to the begin − 1", inputs, note=note)

    return made


def _ratio(*, is_benchmark: bool) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        on = date.fromisoformat(seen.key)
        inputs = _grown(seen, is_benchmark=is_benchmark, on=on)
        return Made("quotient", "growth to the day ÷ growth to the begin", inputs, note=FLOATING)

    return made


def _simulated(seen: Seen) -> Made:
    """Each amount grown like the benchmark from its day on."""
    words = "the begin value and each later contribution, grown like the benchmark since its day"
    daily, told = seen.reports.daily, seen.root
    if daily is None or told.start is None or told.end is None or seen.value is None:
        return sum_of([], words)
    level = _benchmark(seen, daily)
    on = date.fromisoformat(seen.key) if seen.key else told.end
    if level is None:
        return sum_of([], words)
    first = daily.total.first
    begin = told.start - DAY
    amounts = [("value at the begin", begin, float(daily.total.nav[begin.toordinal() - first]), begin)]
    amounts += [
        ("net contribution", day, float(flow), day - DAY) for day, flow in flow_days(daily, told.start, on)
    ]
    inputs = []
    for text, day, amount, since in amounts:
        growth = float(level[on.toordinal() - first] / level[since.toordinal() - first])
        source = f"{amount:,.2f} × {growth:.6f}"
        inputs.append(seen.input(text, floating(amount * growth), seen.base, as_of=day, source=source))
    return sum_of(inputs, words, note=FLOATING)


def _end_value(seen: Seen) -> Made:
    on = seen.root.end
    told = [on_day(seen, "nav", "value", seen.base, on)] if on is not None else []
    return sum_of(told, "the value of the last day")


@figure(BenchmarkPart, "weight", "Weight in the benchmark", fraction)
def _weight(seen: Seen) -> Made:
    weights = [weight for _, weight in asked_parts(seen.arguments.benchmark)]
    own = weights[seen.root.parts.index(seen.holder)]
    inputs = [
        seen.input("weight as it was asked", own, ""),
        *(seen.input("weight of a part", weight, "") for weight in weights),
    ]
    return formula("weight as it was asked ÷ Σ weight of a part", inputs)


_OF_PRICES = "A mix is brought back to its weights every day."
figure(ComparisonDocument, "twr", "Time-weighted return", fraction)(_change(is_benchmark=False))
figure(ComparisonDocument, "benchmark_return", "Return of the benchmark", fraction, _OF_PRICES)(
    _change(is_benchmark=True)
)
figure(ComparisonDocument, "end_nav", "Value at the end", base)(_end_value)
figure(ComparisonDocument, "index", "Growth", plain)(_ratio(is_benchmark=False))
figure(ComparisonDocument, "benchmark_index", "Growth of the benchmark", plain, _OF_PRICES)(
    _ratio(is_benchmark=True)
)
for _name in ("benchmark_end_nav", "benchmark_nav"):
    figure(ComparisonDocument, _name, "Value with the same contributions", base, _OF_PRICES)(_simulated)
