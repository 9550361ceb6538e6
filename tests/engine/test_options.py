"""Option values and greeks against a textbook's figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.engine.options import greeks, implied_volatility


@pytest.mark.parametrize(("call", "value"), [(True, 4.76), (False, 0.81)])
def test_values_are_those_of_hull(call: bool, value: float) -> None:
    # Hull, chapter 15, example 15.6: stock 42, strike 40, rate 10 %, volatility 20 %, six months.
    got = greeks(call=call, spot=42, strike=40, years=0.5, rate=0.1, volatility=0.2)
    assert got.value == pytest.approx(value, abs=0.005)


def test_greeks_are_those_of_hull() -> None:
    # Hull, chapter 19: stock 49, strike 50, rate 5 %, volatility 20 %, 20 weeks (0.3846 years), call.
    got = greeks(call=True, spot=49, strike=50, years=0.3846, rate=0.05, volatility=0.2)
    assert got.delta == pytest.approx(0.522, abs=5e-4)
    assert got.gamma == pytest.approx(0.066, abs=5e-4)
    assert got.theta == pytest.approx(-4.31, abs=5e-3)
    assert got.vega == pytest.approx(12.1, abs=0.05)
    assert got.rho == pytest.approx(8.91, abs=5e-3)


def test_a_put_on_a_future_is_that_of_hull() -> None:
    # Hull, chapter 18, Black's model: future 20, strike 20, rate 9 %, volatility 25 %, four months: 1.12.
    got = greeks(call=False, spot=20, strike=20, years=4 / 12, rate=0.09, volatility=0.25, dividends=0.09)
    assert got.value == pytest.approx(1.12, abs=0.005)


def test_greeks_with_a_dividend_yield_are_the_published_ones() -> None:
    # Hull, chapter 17: a call on an index of 930 that yields 3 %, strike 900, rate 8 %, two months: 51.83.
    got = greeks(call=True, spot=930, strike=900, years=2 / 12, rate=0.08, volatility=0.2, dividends=0.03)
    assert got.value == pytest.approx(51.83, abs=5e-3)
    # E. Haug, The Complete Guide to Option Pricing Formulas, chapter 2. Options on a future, of carry 0:
    for call, delta in ((True, 0.5946), (False, -0.3566)):
        future = greeks(call=call, spot=105, strike=100, years=0.5, rate=0.1, volatility=0.36, dividends=0.1)
        assert future.delta == pytest.approx(delta, abs=5e-5)
    # A carry of 6.95 % at a rate of 10.5 %:
    got = greeks(call=True, spot=55, strike=60, years=0.75, rate=0.105, volatility=0.3, dividends=0.0355)
    assert got.vega == pytest.approx(18.5027, abs=5e-5)
    got = greeks(call=False, spot=430, strike=405, years=1 / 12, rate=0.07, volatility=0.2, dividends=0.05)
    assert got.theta == pytest.approx(-31.1924, abs=5e-5)


@given(
    spot=st.floats(10, 500),
    strike=st.floats(10, 500),
    years=st.floats(0.02, 3),
    rate=st.floats(-0.02, 0.1),
    volatility=st.floats(0.05, 2),
    dividends=st.floats(0, 0.1),
)
def test_put_and_call_differ_by_the_forward(
    spot: float, strike: float, years: float, rate: float, volatility: float, dividends: float
) -> None:
    call, put = (
        greeks(
            call=side,
            spot=spot,
            strike=strike,
            years=years,
            rate=rate,
            volatility=volatility,
            dividends=dividends,
        ).value
        for side in (True, False)
    )
    forward = spot * math.exp(-dividends * years) - strike * math.exp(-rate * years)
    assert call - put == pytest.approx(forward, abs=1e-9 * max(spot, strike))


def test_the_implied_volatility_gives_the_price_back() -> None:
    value = greeks(call=True, spot=49, strike=50, years=0.4, rate=0.05, volatility=0.37).value
    got = implied_volatility(value, call=True, spot=49, strike=50, years=0.4, rate=0.05)
    assert got == pytest.approx(0.37, abs=1e-9)


def test_a_price_below_its_floor_has_no_volatility() -> None:
    assert math.isnan(implied_volatility(1.0, call=True, spot=100, strike=50, years=0.1, rate=0.0))


def test_an_expired_option_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        greeks(call=True, spot=49, strike=50, years=0.0, rate=0.05, volatility=0.2)
