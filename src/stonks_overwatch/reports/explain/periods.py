"""How returns of periods come about.

The engine computes them in floating point and a document shows ten decimals, so that the inputs give these
figures to about nine digits and not to the last one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from stonks_overwatch.reports.daily import DailyTotal
from stonks_overwatch.reports.explain.days import flow_days, flows_of, on_day
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, Unit
from stonks_overwatch.reports.explain.told import (
    FLOATING,
    base,
    figure,
    floating,
    formula,
    fraction,
    sum_of,
)
from stonks_overwatch.reports.performance import (
    PerformanceDocument,
    PeriodRow,
    performance,
    returns_by_period,
)
from stonks_overwatch.reports.periods import DAY

REPORTS["performance"] = lambda a, _: performance(
    a.scope, a.start, a.end, a.benchmark, a.group, price_return=a.price_return
)
REPORTS["periods"] = lambda a, _: returns_by_period(a.scope, a.group)

_DAYS_OF_YEAR = 365


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Days with a contribution only at the start, and before tax with a tax only at the end."""

    first: date
    last: date
    growth: float


def _stretches(daily: DailyTotal, first: date, last: date, *, before_tax: bool) -> list[_Stretch]:
    if daily.index is None:
        return []
    start = daily.total.first
    begins = {first, *(on for on, _ in flow_days(daily, first, last))}
    if before_tax:
        taxes = daily.total.taxes.tolist()
        ends = (day for day in range(first.toordinal(), last.toordinal()) if taxes[day - start])
        begins |= {date.fromordinal(day + 1) for day in ends}
    level = daily.index.before_tax if before_tax else daily.index.after_tax
    found = []
    days = sorted(begins)
    for day, following in zip(days, [*days[1:], last + DAY], strict=True):
        end = following - DAY
        ratio = level[end.toordinal() - start] / level[day.toordinal() - 1 - start]
        found.append(_Stretch(day, end, float(ratio)))
    return found


def _linked(name: str, *, before_tax: bool = False) -> Callable[[Seen], Made]:
    """The returns of the stretches between contributions; of one stretch alone its values."""

    def made(seen: Seen) -> Made:
        daily = seen.reports.daily
        first, last = seen.holder.start, seen.holder.end
        if daily is None or seen.value is None:
            return Made("linked", "not everything is known on all days of the period")
        found = _stretches(daily, first, last, before_tax=before_tax)
        if len(found) == 1:
            return _of_values(seen, daily, found[0], before_tax=before_tax)
        inputs = [
            seen.input(
                f"{one.first.isoformat()} to {one.last.isoformat()}",
                floating(one.growth - 1.0),
                fraction,
                f"performance.{name}",
                as_of=one.last,
                asked={"start": one.first, "end": one.last},
            )
            for one in found
        ]
        words = "(1 + return) × (1 + return) × … − 1, of the days between contributions"
        if before_tax:
            words = f"{words} and taxes"
        return Made("linked", words, inputs, note=FLOATING)

    return made


def _of_values(seen: Seen, daily: DailyTotal, one: _Stretch, *, before_tax: bool) -> Made:
    end = on_day(seen, "nav", "value at the end", seen.base, one.last)
    before = on_day(seen, "nav", "value before", seen.base, one.first - DAY)
    flow = on_day(seen, "net_contribution", "net contribution", seen.base, one.first)
    if one.growth == 1.0 and not before.value:
        return sum_of([], "nothing was invested")
    words = "value at the end ÷ (value before + net contribution) − 1"
    inputs = [end, before, flow]
    if before_tax:
        taken = -float(daily.total.taxes[one.last.toordinal() - daily.total.first])
        inputs.append(seen.input("taxes", floating(taken), seen.base, as_of=one.last))
        words = "(value at the end + taxes) ÷ (value before + net contribution) − 1"
    left, came, there = (float(one.value or 0) for one in (end, flow, before))
    if came < 0.0 < there and abs(left) <= (there - came) / 1e9:  # the day ends with nothing
        words = f"({'taxes' if before_tax else 'value at the end'} − net contribution) ÷ value before − 1"
    return formula(words, inputs, note=f"Contributions count at the start of their day. {FLOATING}")


def _value_at(text: str, on: Callable[[Seen], date]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        told = on_day(seen, "nav", f"value at the {text}", seen.base, on(seen))
        return sum_of([told], "the value of that day")

    return made


def _contribution(seen: Seen) -> Made:
    return flows_of(seen, seen.holder.start, seen.holder.end, "period")


def _annualized(seen: Seen) -> Made:
    days = (seen.holder.end - seen.holder.start).days + 1
    inputs = [seen.beside("twr", "return", fraction), seen.input("days", Decimal(days), "")]
    note = f"Not for 365 days or less. {FLOATING}"
    return formula(f"(1 + return) ^ ({_DAYS_OF_YEAR} ÷ days) − 1", inputs, note=note)


def _flows(seen: Seen) -> list[tuple[date, Decimal]]:
    daily = seen.reports.daily
    return [] if daily is None else flow_days(daily, seen.holder.start, seen.holder.end)


def _flow(seen: Seen, text: str, value: Decimal, on: date, **more: str) -> Input:
    asked = {"start": None, "end": None}
    name = "series.net_contribution"
    return seen.input(text, value, seen.base, name, on.isoformat(), as_of=on, asked=asked, **more)


def _xirr(seen: Seen) -> Made:
    row = seen.holder
    begin, end = row.begin_nav, row.end_nav
    inputs = [
        seen.input(
            "value at the begin, paid in", None if begin is None else -begin, seen.base, as_of=row.start - DAY
        ),
        *(_flow(seen, "paid in" if flow > 0 else "taken out", -flow, on) for on, flow in _flows(seen)),
        seen.input("value at the end", end, seen.base, as_of=row.end),
    ]
    note = "From the investor's side: what is paid in is negative."
    if seen.value is not None and seen.value > -1 and begin is not None and end is not None:
        left = present_value(seen.value, [(one.as_of, one.value) for one in inputs])
        note = f"{note} At this rate they sum to {left:.6f} {seen.base}."
    return Made(
        "root", "the rate at which Σ input ÷ (1 + rate) ^ (days since the begin ÷ 365) = 0", inputs, note=note
    )


def present_value(rate: Decimal, flows: list[tuple[object, Decimal | None]]) -> float:
    """What dated flows are worth together on the first one's day at a yearly rate."""
    dated = [(on, float(flow)) for on, flow in flows if isinstance(on, date) and flow is not None]
    first = dated[0][0]
    return sum(
        (flow / float((1 + float(rate)) ** ((on - first).days / _DAYS_OF_YEAR)) for on, flow in dated), 0.0
    )


def _dietz(seen: Seen) -> Made:
    length = (seen.holder.end - seen.holder.start).days + 1
    weighted = []
    for on, flow in _flows(seen):
        left = (seen.holder.end - on).days
        source = f"{flow:.2f} × {left} ÷ {length}"
        weighted.append(_flow(seen, "weighted flow", flow * left / length, on, source=source))
    inputs = [*_three(seen), *weighted]
    capital = "value at the begin + Σ weighted flow" if weighted else "value at the begin"
    words = f"(value at the end − value at the begin − net contribution) ÷ ({capital})"
    note = f"A flow counts for the part of the period after its day. {FLOATING}"
    return formula(words, inputs, note=note)


def _simple(seen: Seen) -> Made:
    words = (
        "(value at the end − value at the begin − net contribution) ÷ (value at the begin + net contribution)"
    )
    return formula(words, _three(seen), note=FLOATING)


def _three(seen: Seen) -> list[Input]:
    return [
        seen.beside("begin_nav", "value at the begin", seen.base),
        seen.beside("end_nav", "value at the end", seen.base),
        seen.beside("net_contribution", "net contribution", seen.base),
    ]


_BEFORE_TAX = "With the taxes of each day given back before it is linked."
_OF_PERIODS: tuple[tuple[str, str, Unit, str, Callable[[Seen], Made]], ...] = (
    (
        "begin_nav",
        "Value at the begin",
        base,
        "At the end of the day before the first.",
        _value_at("begin", lambda seen: seen.holder.start - DAY),
    ),
    (
        "end_nav",
        "Value at the end",
        base,
        "At the end of the last day.",
        _value_at("end", lambda seen: seen.holder.end),
    ),
    ("net_contribution", "Net contribution", base, "Put in less taken out.", _contribution),
    (
        "twr",
        "Time-weighted return",
        fraction,
        "What the portfolio did, contributions taken out.",
        _linked("twr"),
    ),
    (
        "twr_before_tax",
        "Time-weighted return before tax",
        fraction,
        _BEFORE_TAX,
        _linked("twr_before_tax", before_tax=True),
    ),
    ("twr_annualized", "Time-weighted return a year", fraction, "", _annualized),
    (
        "xirr",
        "Money-weighted return a year",
        fraction,
        "What the investor earned, contributions at their days.",
        _xirr,
    ),
    (
        "modified_dietz",
        "Modified Dietz return",
        fraction,
        "Of the period, as IBKR reports its money-weighted return.",
        _dietz,
    ),
    ("simple", "Simple return", fraction, "Gain over what was put in.", _simple),
)


def _within_days(making: Callable[[Seen], Made]) -> Callable[[Seen], Made]:
    """Unknown without days: a period that is not inside of what is known has none."""

    def made(seen: Seen) -> Made:
        if seen.holder.start is None or seen.holder.end is None:
            return Made("reported", "no day of the period is known")
        return making(seen)

    return made


for _model in (PerformanceDocument, PeriodRow):
    for _name, _title, _unit, _meaning, _made in _OF_PERIODS:
        figure(_model, _name, _title, _unit, _meaning)(_within_days(_made))
