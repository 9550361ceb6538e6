"""Returns over daily values and flows: arrays in, arrays out.

A flow is positive into the portfolio. Unknown is NaN. Days are integers (proleptic ordinals), so that
nothing here needs a calendar.
"""

import numpy as np
import pyxirr
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Days = NDArray[np.int64]

DAYS_PER_YEAR = 365.0
_NOISE = 1e-12


def time_weighted(values: Floats, flows: Floats, added: Floats | None = None) -> Floats:
    """Growth of one unit of currency with the effect of contributions taken out (TWR).

    Args:
        values: shape (days,), value at the end of each day, reporting currency; NaN is unknown.
        flows: shape (days,), net contribution of each day, counted at the day's start. The first day's
            is already in its value.
        added: shape (days,), see daily_growth.

    Returns: shape (days,), 1.0 on the first day. A day that starts with nothing invested and ends with
        nothing has growth 1; the index is NaN from the first day on whose growth is unknown: a value
        missing, or a gain on nothing (no ratio exists).
    Raises: ValueError if the shapes differ.
    Source: GIPS 2020, true time-weighted return with daily valuation, flows at the start of the day.
    """
    if values.shape != flows.shape or values.ndim != 1:
        raise ValueError(f"want two vectors of one length, got {values.shape} and {flows.shape}")
    if values.size == 0:
        return np.empty(0)
    return np.concatenate(([1.0], np.cumprod(daily_growth(values, flows, added))))


def daily_growth(values: Floats, flows: Floats, added: Floats | None = None) -> Floats:
    """Growth of each day after the first, shape (days - 1,): end value over value and flow at its start.

    Args:
        values, flows: as for time_weighted.
        added: shape (days,), what is added to each day's end value before growth is taken: taxes, for a
            return before them.

    A day that ends with nothing has its flow at its end: what was taken out that day is what there was.
    """
    start = values[:-1] + flows[1:]
    end = values[1:] if added is None else values[1:] + added[1:]
    # What floats leave of nothing is nothing.
    noise = _NOISE * (np.abs(values[:-1]) + np.abs(flows[1:]))
    emptied = (np.abs(values[1:]) <= noise) & (flows[1:] < 0.0) & (values[:-1] > noise)
    start, end = np.where(emptied, values[:-1], start), np.where(emptied, end - flows[1:], end)
    start = np.where(np.abs(start) <= noise, 0.0, start)
    end = np.where(np.abs(end) <= noise, 0.0, end)
    idle = (start == 0.0) & (end == 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth: Floats = end / start
    growth[idle] = 1.0
    growth[(start == 0.0) & ~idle] = np.nan
    return growth


def annualized(total: float, days: int) -> float:
    """Yearly return of a return over more than 365 days; NaN for 365 days or less, or when all was lost.

    Source: GIPS 2020: returns of periods of a year or less are not annualised.
    """
    if days <= DAYS_PER_YEAR or not total > -1.0:
        return float("nan")
    return float((1.0 + total) ** (DAYS_PER_YEAR / days) - 1.0)


def simple(begin: float, end: float, contribution: float) -> float:
    """Gain over what was put in, (end - begin - contribution) / (begin + contribution); NaN on none."""
    base = begin + contribution
    return (end - begin - contribution) / base if base > 0.0 else float("nan")


def modified_dietz(begin: float, end: float, flows: Floats, days: Days, first: int, last: int) -> float:
    """Money-weighted return of a period by day-weighted flows, unannualised.

    Args:
        begin, end: value at the end of day `first`, and of day `last`.
        flows, days: shape (flows,); each flow at the end of its day, first < day <= last.

    Returns: a fraction; NaN when the average capital is not positive (the ratio then means nothing).
    Raises: ValueError for an empty period or a flow outside it.
    Source: Dietz (1966), modified; weight of a flow is (last - day) / (last - first).
    """
    if last <= first:
        raise ValueError("the period has no day")
    if flows.size and (days.min() <= first or days.max() > last):
        raise ValueError("a flow lies outside the period")
    weights = (last - days) / float(last - first)
    capital = begin + float(np.dot(weights, flows))
    gain = end - begin - float(flows.sum())
    return gain / capital if capital > 0.0 else float("nan")


def xirr(days: Days, amounts: Floats) -> float:
    """The yearly rate at which the amounts are worth zero together (money-weighted return), Actual/365.

    Args:
        days, amounts: shape (flows,), from the investor's side: paid in is negative, the end value positive.

    Returns: a fraction, not clamped; NaN under two different dates, without a change of sign, with an unknown
        amount, or where no rate fits. With several rates that fit, the one nearest to zero.
    Raises: ValueError if the shapes differ.
    """
    if days.shape != amounts.shape:
        raise ValueError(f"want one amount a day, got {days.shape} and {amounts.shape}")
    kept = amounts != 0.0
    days, amounts = days[kept], amounts[kept]
    if days.size < 2 or days.min() == days.max() or np.isnan(amounts).any():
        return float("nan")
    if not ((amounts > 0).any() and (amounts < 0).any()):
        return float("nan")
    amounts = amounts / np.abs(amounts).max()  # the solver's tolerance is absolute
    order = np.argsort(days, kind="stable")
    if pyxirr.is_conventional_cash_flow(amounts[order]):
        root = pyxirr.xirr(days.astype("datetime64[D]"), amounts, silent=True)
        if root is not None:
            return float(root)
    found = [_between(days, amounts, low, high) for low, high in _brackets(days, amounts)]
    return min(found, key=abs, default=float("nan"))


# Logarithms of 1 + rate between which a root is looked for: close together where portfolios live.
_LOGS = np.concatenate(
    (np.linspace(-36.0, -1.0, 141)[:-1], np.linspace(-1.0, 1.0, 161), np.linspace(1.0, 36.0, 141)[1:])
)


def _present_values(days: Days, amounts: Floats, logs: Floats) -> Floats:
    """Shape (logs,): present value at each log rate, scaled to keep clear of overflow; only signs matter."""
    powers = -logs[:, None] * ((days - days.min()) / DAYS_PER_YEAR)[None, :]
    values: Floats = (np.exp(powers - powers.max(axis=1, keepdims=True)) * amounts).sum(axis=1)
    return values


def _brackets(days: Days, amounts: Floats) -> list[tuple[float, float]]:
    """Neighbouring log rates between which the present value changes its sign."""
    signs = np.sign(_present_values(days, amounts, _LOGS))
    return [(float(_LOGS[i]), float(_LOGS[i + 1])) for i in np.nonzero(signs[:-1] * signs[1:] <= 0)[0]]


def _between(days: Days, amounts: Floats, low: float, high: float) -> float:
    """The rate in a bracket of log rates, by cutting it into 64 pieces until floats have no more digits."""
    for _ in range(10):
        logs = np.linspace(low, high, 65)
        signs = np.sign(_present_values(days, amounts, logs))
        at = np.nonzero(signs[:-1] * signs[1:] <= 0)[0]
        if not at.size:
            break
        low, high = float(logs[at[0]]), float(logs[at[0] + 1])
    return float(np.expm1((low + high) / 2.0))
