"""Returns against published examples and the laws they must keep."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.engine import returns


def ordinals(*days: str) -> returns.Days:
    epoch = date(1970, 1, 1).toordinal()
    return np.array([date.fromisoformat(day).toordinal() - epoch for day in days], dtype=np.int64)


def test_twr_of_a_deposit_in_mid_year_is_the_published_one() -> None:
    # Investopedia, "Time-Weighted Rate of Return", scenario 1: 1,000,000 grows to 1,162,484; 100,000 is paid
    # in; the year ends at 1,192,328: 1.162484 x (1192328 / 1262484) - 1 = 9.79 %.
    index = returns.time_weighted(
        np.array([1_000_000.0, 1_162_484.0, 1_192_328.0]), np.array([0.0, 0.0, 100_000.0])
    )
    assert index[-1] - 1 == pytest.approx(0.0979, abs=5e-5)


def test_days_with_nothing_invested_do_not_move_the_index() -> None:
    # 100 doubles, all is taken out, two idle days, 50 comes in and gains 10 %: 2 x 1.1.
    index = returns.time_weighted(
        np.array([100.0, 200.0, 0.0, 0.0, 55.0]), np.array([0.0, 0.0, -200.0, 0.0, 50.0])
    )
    assert index.tolist() == pytest.approx([1.0, 2.0, 2.0, 2.0, 2.2], abs=1e-12)


def test_an_unknown_value_makes_every_later_index_unknown() -> None:
    index = returns.time_weighted(np.array([1.0, math.nan, 1.0]), np.zeros(3))
    assert index[0] == 1.0
    assert np.isnan(index[1:]).all()


def test_a_gain_on_nothing_has_no_ratio() -> None:
    assert math.isnan(returns.time_weighted(np.array([0.0, 5.0]), np.zeros(2))[1])


@given(
    st.lists(st.floats(0.5, 1.5), min_size=1, max_size=20),
    st.lists(st.floats(0, 1000), min_size=20, max_size=20),
)
def test_a_contribution_does_not_move_the_twr(growth: list[float], paid: list[float]) -> None:
    values, flows = [100.0], [0.0]
    for factor, flow in zip(growth, paid, strict=False):
        values.append((values[-1] + flow) * factor)
        flows.append(flow)
    index = returns.time_weighted(np.array(values), np.array(flows))
    assert index[-1] == pytest.approx(math.prod(growth), rel=1e-9)


def test_modified_dietz_is_the_published_one() -> None:
    # Wikipedia, "Modified Dietz method": 100 at the start, 50 paid in after one of two years, 300 at the end:
    # gain 150 on an average capital of 100 + 50 / 2 = 125 is 120 %.
    got = returns.modified_dietz(100.0, 300.0, np.array([50.0]), np.array([365]), 0, 730)
    assert got == pytest.approx(1.2, abs=1e-12)


@pytest.mark.parametrize("day", [0, 6])
def test_modified_dietz_refuses_a_flow_outside_its_period(day: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        returns.modified_dietz(1.0, 1.0, np.array([1.0]), np.array([day]), 0, 5)


def test_a_flow_counts_for_what_is_left_of_the_period_after_its_day() -> None:
    # 100 for 4 days; 40 paid in on day 1 are there for three quarters, 20 on the last day for nothing of it:
    # gain 174 - 100 - 60 = 14 on 100 + 30 = 130.
    got = returns.modified_dietz(100.0, 174.0, np.array([40.0, 20.0]), np.array([11, 14]), 10, 14)
    assert got == pytest.approx(14 / 130, abs=1e-12)


def test_a_return_on_less_than_nothing_is_unknown() -> None:
    # docs/numbers.md: 100, 50 paid in, 165 at the end: 15 on 150.
    assert returns.simple(100.0, 165.0, 50.0) == pytest.approx(0.1, abs=1e-12)
    assert math.isnan(returns.simple(100.0, 3.0, -100.0))
    assert math.isnan(returns.simple(100.0, 3.0, -150.0))
    for taken in (-200.0, -300.0):  # half of the period it was gone: an average capital of 0, of -50
        assert math.isnan(returns.modified_dietz(100.0, 3.0, np.array([taken]), np.array([1]), 0, 2))


def test_xirr_is_the_spreadsheets() -> None:
    # The example of Microsoft's documentation of XIRR: 37.34 % (0.373362535).
    days = ordinals("2008-01-01", "2008-03-01", "2008-10-30", "2009-02-15", "2009-04-01")
    got = returns.xirr(days, np.array([-10000.0, 2750.0, 4250.0, 3250.0, 2750.0]))
    assert got == pytest.approx(0.373362535, abs=1e-8)


def test_xirr_of_two_rates_is_the_one_nearer_to_zero() -> None:
    # -1000 now, 2300 in a year, -1320 in two: (1 + r) is a root of -1000x² + 2300x - 1320, so 1.1 and 1.2.
    got = returns.xirr(np.array([0, 365, 730]), np.array([-1000.0, 2300.0, -1320.0]))
    assert got == pytest.approx(0.1, abs=1e-9)


def test_xirr_without_a_rate_is_unknown() -> None:
    # -1000x² + 2000x - 1100 has no real root: its discriminant is 4e6 - 4.4e6.
    assert math.isnan(returns.xirr(np.array([0, 365, 730]), np.array([-1000.0, 2000.0, -1100.0])))


@pytest.mark.parametrize(
    ("days", "amounts"),
    [([0, 0], [-1.0, 2.0]), ([0, 9], [1.0, 2.0]), ([0], [1.0]), ([0, 9], [-1.0, math.nan]), ([], [])],
)
def test_xirr_of_too_little_is_unknown(days: list[int], amounts: list[float]) -> None:
    assert math.isnan(returns.xirr(np.array(days, dtype=np.int64), np.array(amounts)))


def test_xirr_is_not_clamped() -> None:
    # 100 becomes 1000 in 73 days, a fifth of a year: 10 to the fifth, less one.
    assert returns.xirr(np.array([0, 73]), np.array([-100.0, 1000.0])) == pytest.approx(99_999.0, rel=1e-9)
    # 100 becomes 1 in a year.
    assert returns.xirr(np.array([0, 365]), np.array([-100.0, 1.0])) == pytest.approx(-0.99, abs=1e-9)


@given(st.lists(st.floats(-1000, 1000), min_size=2, max_size=12), st.floats(0.01, 1e6))
def test_scaling_all_flows_does_not_move_xirr(amounts: list[float], factor: float) -> None:
    days = np.arange(len(amounts), dtype=np.int64) * 91
    flows = np.round(np.array(amounts), 2)
    one, scaled = returns.xirr(days, flows), returns.xirr(days, flows * factor)
    if math.isnan(one) or math.isnan(scaled):
        assert math.isnan(one) == math.isnan(scaled)
    else:
        assert scaled == pytest.approx(one, rel=1e-6, abs=1e-6)


def test_a_year_or_less_is_not_annualised() -> None:
    assert math.isnan(returns.annualized(0.1, 365))
    # 21 % in 730 days is 10 % a year.
    assert returns.annualized(0.21, 730) == pytest.approx(0.1, abs=1e-12)
    # 366 days are more than a year; who lost all has no yearly rate.
    assert returns.annualized(0.1, 366) == pytest.approx(1.1 ** (365 / 366) - 1, abs=1e-12)
    assert math.isnan(returns.annualized(-1.0, 730))
