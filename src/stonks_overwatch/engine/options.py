"""Option values and greeks by Black, Scholes and Merton: numbers in, numbers out. Unknown is NaN.

Options on futures are the same with a carry of zero (Black, 1976): give the rate as the dividend yield.
American options are valued as European ones; the greeks are then an approximation.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Greeks:
    """Per unit of the underlying: value, delta, gamma; vega and rho for 1.00 (not 1 %), theta for a year."""

    value: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


def greeks(
    *,
    call: bool,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    dividends: float = 0.0,
) -> Greeks:
    """Value and greeks of a European option.

    Args:
        call: True for a call, False for a put.
        spot, strike: prices in one currency, above 0.
        years: time to expiry; rate, dividends: continuous yearly yields; volatility: per year, as a fraction.

    Raises: ValueError where a price, the time or the volatility is not above 0.
    Source: Hull, Options, Futures, and Other Derivatives, chapters 15, 17 and 19.
    """
    if min(spot, strike, years, volatility) <= 0.0:
        raise ValueError("prices, time and volatility must be above 0")
    deviation = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate - dividends + volatility**2 / 2.0) * years) / deviation
    d2 = d1 - deviation
    carried = math.exp(-dividends * years)
    discount = math.exp(-rate * years)
    sign = 1.0 if call else -1.0
    value = sign * (spot * carried * _normal(sign * d1) - strike * discount * _normal(sign * d2))
    decay = -spot * carried * _density(d1) * volatility / (2.0 * math.sqrt(years))
    return Greeks(
        value=value,
        delta=sign * carried * _normal(sign * d1),
        gamma=carried * _density(d1) / (spot * deviation),
        vega=spot * carried * _density(d1) * math.sqrt(years),
        theta=decay
        + sign * dividends * spot * carried * _normal(sign * d1)
        - sign * rate * strike * discount * _normal(sign * d2),
        rho=sign * strike * years * discount * _normal(sign * d2),
    )


def implied_volatility(
    value: float, *, call: bool, spot: float, strike: float, years: float, rate: float, dividends: float = 0.0
) -> float:
    """The volatility at which the option is worth `value`; NaN where none between 0.01 % and 1000 % does."""

    def missing(volatility: float) -> float:
        return (
            greeks(
                call=call,
                spot=spot,
                strike=strike,
                years=years,
                rate=rate,
                volatility=volatility,
                dividends=dividends,
            ).value
            - value
        )

    low, high = 1e-4, 10.0
    if missing(low) > 0.0 or missing(high) < 0.0:
        return float("nan")
    while high - low > 1e-12:  # the value grows with the volatility, so halving finds the only root
        middle = (low + high) / 2.0
        if middle in {low, high}:
            break
        low, high = (low, middle) if missing(middle) > 0.0 else (middle, high)
    return (low + high) / 2.0


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2.0)) / 2.0


def _density(x: float) -> float:
    return math.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi)
