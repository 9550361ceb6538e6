"""The daily series of several accounts together, and the figures of a period of it.

Days are proleptic ordinals, everything is in one currency, unknown is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonks_overwatch.engine import returns, risk
from stonks_overwatch.engine.rates import CARRIED_DAYS, Block, carry, window
from stonks_overwatch.engine.valuation import Daily

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# Where the value of a day comes from; several accounts add theirs.
OWN, BROKER, CARRIED = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one account.

    Args:
        first: the first day of `daily`.
        daily: our own valuation.
        is_valued: whether the values of `daily` are known, and not its flows alone.
        known_from, known_until: the days between whose ends every flow is known; our own valuation holds
            from the end of the first on. None where no day is.
        empty_until: the account was worth nothing up to this day; None if that is not known.
        point_days, points: the broker's value of the account at the ends of some days.
        points_first: the broker's value counts before our own, because it has parts that we cannot know.
    """

    first: int
    daily: Daily
    is_valued: bool
    known_from: int | None
    known_until: int
    empty_until: int | None
    point_days: Sequence[int]
    points: Sequence[float]
    points_first: bool


@dataclass(frozen=True, slots=True)
class Total:
    """The accounts together, shape (days,) each; day 0 is `first`. For the names see Daily.

    `own_nav` is our own valuation alone, also on days for which the broker's value counts.
    `source` says where a value comes from (OWN, BROKER, CARRIED or their sum), 0 where it is unknown.
    """

    first: int
    nav: Floats
    contribution: Floats
    income: Floats
    fees: Floats
    taxes: Floats
    currency: Floats
    other: Floats
    own_nav: Floats
    source: Whole

    @property
    def last(self) -> int:
        return self.first + self.nav.size - 1


def total(accounts: Sequence[Account], first: int, last: int) -> Total:
    """Add up the accounts; a day on which a part is unknown is unknown."""
    days = np.arange(first, last + 1)
    sums = {name: np.zeros(days.size) for name in ("nav", "own_nav", *_FLOWS)}
    source = np.zeros(days.size, dtype=np.int64)
    for account in accounts:
        own = {
            name: window(Block(account.first, getattr(account.daily, name)), first, last) for name in _FLOWS
        }
        empty = days <= account.empty_until if account.empty_until is not None else np.zeros(days.size, bool)
        known = np.zeros(days.size, bool)
        if account.known_from is not None:
            known = (days > account.known_from) & (days <= account.known_until)
        for name in _FLOWS:
            flows = np.where(known, own[name], np.nan)
            flows[empty] = 0.0
            sums[name] += flows
        nav, valued, told = _value(
            account, first, last, np.where(np.isnan(own["contribution"]), 0.0, own["contribution"])
        )
        nav[empty], valued[empty], told[empty] = 0.0, 0.0, 0
        sums["nav"] += nav
        sums["own_nav"] += valued
        source |= told
    source[np.isnan(sums["nav"])] = 0
    return Total(first, **sums, source=source)


_FLOWS = ("contribution", "income", "fees", "taxes", "currency", "other")


def _value(account: Account, first: int, last: int, flows: Floats) -> tuple[Floats, Floats, Whole]:
    """One account's value of each day, our own valuation of it, and where the value comes from."""
    days = np.arange(first, last + 1)
    own = window(Block(account.first, account.daily.nav), first, last)
    if account.known_from is None or not account.is_valued:
        own[:] = np.nan
    else:
        own[(days < account.known_from) | (days > account.known_until)] = np.nan
    carried = window(Block(account.first, account.daily.carried), first, last) > 0
    told = np.full(days.size, np.nan)
    point_days = np.array(account.point_days, dtype=np.int64)
    inside = (point_days >= first) & (point_days <= last)
    told[point_days[inside] - first] = np.array(account.points, dtype=np.float64)[inside]
    points, ages = carry(told)
    # What came in on a day without a value of the broker's is in the account nevertheless.
    put_in = np.cumsum(flows)
    since = days - first - np.minimum(ages, days - first)
    points = np.where(ages > 0, points + put_in - put_in[since], points)
    from_own = np.where(np.isnan(own), 0, OWN + CARRIED * carried)
    from_points = np.where(np.isnan(points), 0, BROKER + CARRIED * (ages > 0))
    if account.points_first:
        told = np.isnan(points)
        return np.where(told, own, points), own, np.where(told, from_own, from_points)
    valued = ~np.isnan(own)
    return np.where(valued, own, points), own, np.where(valued, from_own, from_points)


@dataclass(frozen=True, slots=True)
class Index:
    """Growth of one unit of currency, 1.0 at the end of day `since`, NaN before it and after `until`."""

    since: int
    until: int
    after_tax: Floats
    before_tax: Floats


def index(total: Total) -> Index | None:
    """The time-weighted index over the last days on which everything is known; None without two of them.

    It begins after the last gap: growth over a day whose value or flows are unknown is unknown.
    """
    growth = returns.daily_growth(total.nav, total.contribution)
    known = np.nonzero(~np.isnan(growth))[0]
    if not known.size:
        return None
    end = int(known[-1]) + 1
    gaps = np.nonzero(np.isnan(growth[:end]))[0]
    start = int(gaps[-1]) + 1 if gaps.size else 0
    part = slice(start, end + 1)
    series = []
    for added in (None, -total.taxes[part]):
        whole = np.full(total.nav.size, np.nan)
        whole[part] = returns.time_weighted(total.nav[part], total.contribution[part], added)
        series.append(whole)
    return Index(total.first + start, total.first + end, *series)


def is_valued(total: Total, begin: int, end: int) -> bool:
    """Whether our own valuation knows the end of every day from `begin` to before `end`."""
    return are_known(total.own_nav[begin - total.first : end - total.first])


def growth(grown: Index, first: int, begin: int, end: int, *, before_tax: bool = False) -> float:
    """Time-weighted return from the end of day `begin` to that of `end`; NaN where the index ends before.

    `first` is the day of the index's first number.
    """
    if not grown.since <= begin < end <= grown.until:
        return float("nan")
    level = grown.before_tax if before_tax else grown.after_tax
    return float(level[end - first] / level[begin - first] - 1.0)


def valued_days(total: Total) -> tuple[int, int]:
    """The first and the last day with a value; all days where none has one."""
    known = np.nonzero(~np.isnan(total.nav))[0]
    if known.size < 2:
        return total.first, total.last
    return total.first + int(known[0]), total.first + int(known[-1])


@dataclass(frozen=True, slots=True)
class Figures:
    """A period from the end of day `begin` to the end of day `end`; fractions are not annualised.

    `market` is what the value changed by besides flows, income, costs, exchange rates and accruals.
    """

    begin_nav: float
    end_nav: float
    contribution: float
    income: float
    fees: float
    taxes: float
    currency: float
    market: float
    twr: float
    twr_before_tax: float
    twr_annualized: float
    xirr: float
    modified_dietz: float
    simple: float


def figures(
    total: Total, grown: Index | None, begin: int, end: int, accrued: float = float("nan")
) -> Figures:
    """The period's sums and returns.

    Args:
        total, grown: the series.
        begin, end: the days at whose ends the period begins and ends.
        accrued: by what accruals changed the value; where that is unknown our own valuation, which holds
            none, tells the effect of prices.

    Raises: ValueError for a period without a day or outside of the series.
    """
    if not total.first <= begin < end <= total.last:
        raise ValueError("the period is not inside the series")
    first, last = begin - total.first, end - total.first
    within = slice(first + 1, last + 1)
    flows = total.contribution[within]
    paid = np.nonzero(flows)[0]
    days = paid + begin + 1
    begin_nav, end_nav = float(total.nav[first]), float(total.nav[last])
    contribution = float(flows.sum())
    twr = untaxed = float("nan")
    if grown is not None:
        twr = growth(grown, total.first, begin, end)
        untaxed = growth(grown, total.first, begin, end, before_tax=True)
    return Figures(
        begin_nav=begin_nav,
        end_nav=end_nav,
        contribution=contribution,
        income=float(total.income[within].sum()),
        fees=float(total.fees[within].sum()),
        taxes=float(total.taxes[within].sum()),
        currency=float(total.currency[within].sum()),
        market=(
            float(total.own_nav[last] - total.own_nav[first])
            if np.isnan(accrued)
            else end_nav - begin_nav - accrued
        )
        - sum(float(getattr(total, name)[within].sum()) for name in _FLOWS),
        twr=twr,
        twr_before_tax=untaxed,
        twr_annualized=returns.annualized(twr, end - begin),
        xirr=returns.xirr(
            np.concatenate(([begin], days, [end])), np.concatenate(([-begin_nav], -flows[paid], [end_nav]))
        ),
        modified_dietz=returns.modified_dietz(begin_nav, end_nav, flows[paid], days, begin, end),
        simple=returns.simple(begin_nav, end_nav, contribution),
    )


@dataclass(frozen=True, slots=True)
class Risks:
    """Figures of the daily returns of a period, weekdays only; `days` is their number.

    `peak`, `trough` and `recovered` are the days of the deepest fall. NaN and None are unknown.
    """

    days: int
    volatility: float
    downside_deviation: float
    sharpe: float
    sortino: float
    max_drawdown: float
    peak: int | None
    trough: int | None
    recovered: int | None
    calmar: float
    value_at_risk: float
    beta: float
    alpha: float
    correlation: float
    tracking_error: float
    information_ratio: float


def weekdays(begin: int, end: int) -> Whole:
    """The day `begin` and, after it, the days from Monday to Friday: others have no prices of their own."""
    days = np.arange(begin, end + 1)
    kept: Whole = days[(days == begin) | ((days - 1) % 7 < 5)]  # day 1 of the calendar was a Monday
    return kept


def risks(first: int, grown: Floats, benchmark: Floats | None, begin: int, end: int) -> Risks:
    """Risk of an index from the end of day `begin` to that of `end`.

    Args:
        first: the day of the first number of `grown` and of `benchmark`.
        grown, benchmark: growth of one unit of currency.
    """
    days = weekdays(begin, end)
    own = _returns(grown[days - first])
    level = grown[begin - first : end - first + 1]
    fall = risk.max_drawdown(level)
    known = own.size > 0 and not np.isnan(own).any()
    own = own if known else np.empty(0)
    nothing = float("nan")
    against = dict.fromkeys(("beta", "alpha", "correlation", "tracking_error", "information_ratio"), nothing)
    if benchmark is not None and known:
        other = _returns(benchmark[days - first])
        if not np.isnan(other).any():
            against = {name: getattr(risk, name)(own, other) for name in against}
    yearly = returns.annualized(float(level[-1] / level[0] - 1.0), end - begin)
    return Risks(
        days=own.size,
        volatility=risk.volatility(own),
        downside_deviation=risk.downside_deviation(own),
        sharpe=risk.sharpe(own) if own.size >= risk.LEAST_DAYS else nothing,
        sortino=risk.sortino(own) if own.size >= risk.LEAST_DAYS else nothing,
        max_drawdown=fall.depth if fall else nothing,
        peak=begin + fall.peak if fall else None,
        trough=begin + fall.trough if fall else None,
        recovered=begin + fall.recovered if fall and fall.recovered is not None else None,
        calmar=risk.calmar(yearly, fall.depth) if fall else nothing,
        value_at_risk=risk.value_at_risk(own),
        **against,
    )


def _returns(level: Floats) -> Floats:
    return level[1:] / level[:-1] - 1.0


class Grown(NamedTuple):
    """One instrument of a mix.

    Args:
        prices, rates: its prices, and the rates of its currency, shape (days,).
        dividends: day, amount for a unit at a price of 1, and the rates of the amount's currency.
        splits: day, and new units for an old one.
        weight: its part of the mix.
    """

    prices: Block
    rates: Floats
    dividends: Sequence[tuple[int, float, Floats]]
    splits: Sequence[tuple[int, float]]
    weight: float

    def units(self, first: int, last: int) -> Floats:
        """Into how many units splits made one, by the end of each day; shape (days,)."""
        days = np.arange(first, last + 1)
        units = np.ones(days.size)
        for day, ratio in self.splits:
            units[days >= day] *= ratio
        return units

    def values(self, first: int, last: int) -> Floats:
        """What the unit that there was at first is worth on each day; a split changes no value."""
        since = first - CARRIED_DAYS
        values = window(self.prices, since, last) * self.units(since, last)
        return carry(values)[0][CARRIED_DAYS:] * self.rates

    def gap(self, first: int, last: int) -> tuple[int, int] | None:
        """The first days that it has no value on; None where it has one on every day."""
        unknown = np.isnan(self.values(first, last))
        if not unknown.any():
            return None
        start = int(unknown.argmax())
        length = int((~unknown[start:]).argmax()) or unknown.size - start
        return first + start, first + start + length - 1

    def paid(self, first: int, last: int) -> Floats:
        """The dividends of each day of what that unit has become."""
        paid = np.zeros(last - first + 1)
        for day, amount, rates in self.dividends:
            if first <= day <= last:
                paid[day - first] += amount * rates[day - first]
        return paid * self.units(first, last)


def blend(parts: Sequence[Grown], first: int, last: int) -> Floats:
    """Growth of one unit of currency in a mix of instruments, brought back to its weights every day.

    What an instrument pays is put into it again at the price of its day.

    Returns: shape (days,), 1.0 on the first day with all prices, NaN before it and from a gap on.
    """
    whole = sum(part.weight for part in parts)
    growth = np.zeros(last - first)
    for part in parts:
        value, paid = part.values(first, last), part.paid(first, last)
        growth += part.weight / whole * ((value[1:] + paid[1:]) / value[:-1])
    grown = np.full(last - first + 1, np.nan)
    known = np.nonzero(~np.isnan(growth))[0]
    if known.size:
        start = int(known[0])
        grown[start:] = np.concatenate(([1.0], np.cumprod(growth[start:])))
    return grown


def are_known(numbers: Floats) -> bool:
    return not np.isnan(numbers).any()


def from_funding(grown: Floats, nav: Floats) -> Floats:
    """The growth of something else, begun where the portfolio was: constant up to its first own day.

    A portfolio that begins with nothing is measured from its first funded day, whose price is the first that
    is needed.
    """
    known = np.nonzero(~np.isnan(grown))[0]
    funded = np.nonzero(nav != 0.0)[0]
    if not known.size or not funded.size or known[0] > funded[0]:
        return grown
    begun = grown.copy()
    begun[: known[0]] = grown[known[0]]
    return begun


def simulated(begin_nav: float, flows: Floats, grown: Floats) -> Floats:
    """The value of each day if the same money had gone into something else.

    Args:
        flows: shape (days,), at the start of their day; the first day's is in `begin_nav`.
        grown: shape (days,), growth of one unit of it.
    """
    values = np.full(flows.size, np.nan)
    value = begin_nav
    values[0] = value
    for day, growth in enumerate(grown[1:] / grown[:-1], start=1):
        value = (value + flows[day]) * growth
        values[day] = value
    return values


def linking_weights(total: Total, grown: Index, begin: int, end: int) -> Floats:
    """What a day's gain adds to the return of the period per unit of currency; shape (days,), begin's is 0.

    The growth up to the day's start over what was invested at its start: then the gains of all holdings
    and days, each times its weight, add up to the time-weighted return.
    """
    first, last = begin - total.first, end - total.first
    level = grown.after_tax[first : last + 1]
    start = total.nav[first:last] + total.contribution[first + 1 : last + 1]
    gain = total.nav[first + 1 : last + 1] - start
    growth = np.diff(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The growth as it was linked, also on days that end with nothing.
        weights = np.where(gain == 0.0, level[:-1] / start, growth / gain) / level[0]
    weights[~np.isfinite(weights)] = 0.0
    return np.concatenate(([0.0], weights))


def numbers(array: Floats) -> list[float | None]:
    """As Python's own numbers, None for unknown."""
    return [None if number != number else number for number in array.tolist()]  # noqa: PLR0124  # NaN alone differs
