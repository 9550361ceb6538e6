"""Risk figures of a series of daily returns: arrays in, numbers out. Unknown is NaN.

Yearly figures use 252 trading days; a series too short for a figure gives NaN, never 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRADING_DAYS = 252.0
LEAST_DAYS = 20  # below a month of trading the estimates say nothing
_NOISE = 1e-12  # a daily deviation or a fall below this is what floats leave of nothing


def volatility(returns: Floats) -> float:
    """Sample standard deviation of daily returns, per year (times √252)."""
    if returns.size < LEAST_DAYS:
        return float("nan")
    return float(_deviation(returns) * np.sqrt(TRADING_DAYS))


def _deviation(returns: Floats) -> float:
    return _or_nothing(float(np.std(returns, ddof=1)))


def _or_nothing(deviation: float) -> float:
    return deviation if deviation > _NOISE else 0.0


def downside_deviation(returns: Floats, target: float = 0.0) -> float:
    """Root mean square of the shortfalls below a daily target, over all days, per year (Sortino, 1994)."""
    if returns.size < LEAST_DAYS:
        return float("nan")
    shortfall = np.minimum(returns - target, 0.0)
    return float(_or_nothing(float(np.sqrt(np.mean(shortfall**2)))) * np.sqrt(TRADING_DAYS))


def sharpe(returns: Floats, risk_free: float = 0.0) -> float:
    """Mean daily excess return over its sample deviation, per year (Sharpe, 1994); `risk_free` a day."""
    excess = returns - risk_free
    deviation = volatility(excess)
    return float(np.mean(excess) * TRADING_DAYS / deviation) if deviation > 0.0 else float("nan")


def sortino(returns: Floats, target: float = 0.0) -> float:
    """Mean daily return above the target over the downside deviation, per year; `target` is per day."""
    deviation = downside_deviation(returns, target)
    return float(np.mean(returns - target) * TRADING_DAYS / deviation) if deviation > 0.0 else float("nan")


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall from a peak: `depth` is a fraction, 0 or below; the others count days."""

    depth: float
    peak: int
    trough: int
    recovered: int | None


def drawdowns(index: Floats) -> Floats:
    """Shape (days,): fall of each day from the highest value so far, as a fraction; the start is a peak."""
    highest = np.maximum.accumulate(index)
    fall = index / highest - 1.0
    return np.where(fall > -_NOISE, 0.0, fall)


def max_drawdown(index: Floats) -> Drawdown | None:
    """The deepest fall of a growth index; None when it is empty or has unknown days."""
    if index.size == 0 or np.isnan(index).any():
        return None
    falls = drawdowns(index)
    trough = int(np.argmin(falls))
    peak = int(np.argmax(index[: trough + 1]))
    back = np.nonzero(falls[trough:] == 0.0)[0]
    return Drawdown(
        depth=float(falls[trough]),
        peak=peak,
        trough=trough,
        recovered=trough + int(back[0]) if back.size else None,
    )


def calmar(annual_return: float, depth: float) -> float:
    """Yearly return over the depth of the deepest fall (Young, 1991)."""
    return annual_return / -depth if depth < 0.0 else float("nan")


def beta(returns: Floats, benchmark: Floats) -> float:
    """Slope of the portfolio's returns on the benchmark's; covariance over variance."""
    if returns.size < LEAST_DAYS:
        return float("nan")
    variance = _deviation(benchmark) ** 2
    return float(np.cov(returns, benchmark, ddof=1)[0, 1] / variance) if variance > 0.0 else float("nan")


def alpha(returns: Floats, benchmark: Floats, risk_free: float = 0.0) -> float:
    """Jensen's alpha per year: mean excess return minus beta times the benchmark's (Jensen, 1968)."""
    slope = beta(returns, benchmark)
    return float((np.mean(returns - risk_free) - slope * np.mean(benchmark - risk_free)) * TRADING_DAYS)


def correlation(returns: Floats, benchmark: Floats) -> float:
    """Pearson's correlation of two series of daily returns."""
    if returns.size < LEAST_DAYS or _deviation(returns) == 0.0 or _deviation(benchmark) == 0.0:
        return float("nan")
    return float(np.corrcoef(returns, benchmark)[0, 1])


def tracking_error(returns: Floats, benchmark: Floats) -> float:
    """Sample deviation of the difference of two series, per year."""
    return volatility(returns - benchmark)


def information_ratio(returns: Floats, benchmark: Floats) -> float:
    """Mean difference to the benchmark over the tracking error, per year (Goodwin, 1998)."""
    return sharpe(returns - benchmark)


def value_at_risk(returns: Floats, confidence: float = 0.95) -> float:
    """Loss of one day that history exceeded on a share of 1 - confidence of its days; a fraction, positive.

    Historical simulation with linear interpolation between the two nearest days.
    """
    if returns.size < LEAST_DAYS:
        return float("nan")
    return float(-np.quantile(returns, 1.0 - confidence))
