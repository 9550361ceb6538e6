"""Bond figures against arithmetic done by hand."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.engine import bonds


def test_a_bond_at_its_coupon_rate_costs_par_on_a_coupon_day() -> None:
    got = bonds.price(yield_=0.06, coupon=0.06, per_year=2, maturity=date(2030, 5, 15), on=date(2026, 5, 15))
    assert got == pytest.approx(100.0, abs=1e-12)


def test_the_price_is_the_sum_of_discounted_payments() -> None:
    # 10 % a year for five years at 12 %: 10 x (1 - 1.12^-5) / 0.12 + 100 x 1.12^-5 = 92.7904.
    got = bonds.price(yield_=0.12, coupon=0.10, per_year=1, maturity=date(2031, 3, 1), on=date(2026, 3, 1))
    assert got == pytest.approx(10 * (1 - 1.12**-5) / 0.12 + 100 * 1.12**-5, abs=1e-12)
    assert got == pytest.approx(92.7904, abs=5e-5)


def test_price_and_yield_between_coupons_are_the_spreadsheets() -> None:
    # The examples of Microsoft's documentation of PRICE and YIELD: 5.75 %, twice a year, 30/360, on 15
    # February 2008; until November 2017 at 6.5 % it costs 94.63436, until November 2016 at 95.04287 it
    # yields 6.5 %.
    on, basis = date(2008, 2, 15), "30/360"
    got = bonds.price(
        yield_=0.065, coupon=0.0575, per_year=2, maturity=date(2017, 11, 15), on=on, basis=basis
    )
    assert got == pytest.approx(94.63436162, abs=1e-8)
    got = bonds.yield_to_maturity(
        95.04287, coupon=0.0575, per_year=2, maturity=date(2016, 11, 15), on=on, basis=basis
    )
    assert got == pytest.approx(0.065, abs=1e-8)


def test_yields_are_looked_for_between_a_loss_of_half_and_tenfold_growth() -> None:
    # 100 in a year: 100 / 0.501 at -49.9 %, 100 / 10.9 at 990 %; -50 % and 1000 % are the ends.
    def earned(clean: float) -> float:
        return bonds.yield_to_maturity(
            clean, coupon=0.0, per_year=1, maturity=date(2027, 3, 1), on=date(2026, 3, 1)
        )

    for rate in (-0.499, 9.9):
        assert earned(100 / (1 + rate)) == pytest.approx(rate, abs=1e-9)
    for clean in (200.5, 9.05):
        assert math.isnan(earned(clean))


@pytest.mark.parametrize(
    ("basis", "days"),
    # 15 January to 31 March 2026: 75 actual days of 181; 76 of 180 where a 31st stays after a 15th; else 75.
    [("act/act", 75 / 181), ("30/360", 76 / 180), ("30e/360", 75 / 180)],
)
def test_accrued_interest_counts_days_by_its_basis(basis: str, days: float) -> None:
    got = bonds.accrued_interest(
        coupon=0.04, per_year=2, maturity=date(2029, 7, 15), on=date(2026, 3, 31), basis=basis
    )
    assert got == pytest.approx(2.0 * days, abs=1e-12)


@pytest.mark.parametrize(
    ("basis", "days", "of", "accrued"),
    [("act/act", 124, 184, 2.6957), ("30/360", 122, 180, 2.7111)],
)
def test_a_treasury_and_a_corporate_bond_accrue_as_in_the_textbook(
    basis: str, days: int, of: int, accrued: float
) -> None:
    # Hull, Options, Futures, and Other Derivatives, chapter 6: 8 %, 1 March and 1 September, on 3 July.
    previous, on, following = date(2018, 3, 1), date(2018, 7, 3), date(2018, 9, 1)
    assert bonds.counted(previous, on, following, basis) == (days, of)
    got = bonds.accrued_interest(coupon=0.08, per_year=2, maturity=date(2030, 9, 1), on=on, basis=basis)
    assert got == pytest.approx(accrued, abs=5e-5)


def test_months_that_end_a_period_have_thirty_days_in_february_too() -> None:
    # SIFMA's rule for bonds that pay at ends of months: 28 February to 31 August are 180 days, to 31 March 30
    period = date(2026, 2, 28), date(2026, 8, 31)
    assert bonds.counted(period[0], date(2026, 3, 31), period[1], "30/360") == (30, 180)
    assert bonds.counted(period[0], date(2026, 4, 30), period[1], "30/360") == (60, 180)
    # From one end of February to the next is a year; from 31 August to it are 178 days.
    assert bonds.counted(date(2023, 2, 28), date(2023, 8, 31), date(2024, 2, 29), "30/360") == (180, 360)
    assert bonds.counted(date(2025, 8, 31), date(2025, 12, 31), date(2026, 2, 28), "30/360") == (120, 178)
    # Of others a day is what it is: to 1 March are 3 days (Hull, Business Snapshot 6.1).
    assert bonds.counted(date(2013, 2, 28), date(2013, 3, 1), date(2013, 8, 28), "30/360") == (3, 180)


def test_coupons_of_the_31st_fall_on_the_last_day_of_short_months() -> None:
    got = bonds.coupon_dates(date(2027, 8, 31), 2, date(2026, 3, 10))
    assert got == [date(2026, 2, 28), date(2026, 8, 31), date(2027, 2, 28), date(2027, 8, 31)]


@given(
    rate=st.floats(-0.05, 0.5),
    coupon=st.floats(0.0, 0.15),
    per_year=st.sampled_from([1, 2, 4]),
    on=st.dates(date(2020, 1, 1), date(2029, 12, 31)),
)
def test_the_yield_gives_the_price_back(rate: float, coupon: float, per_year: int, on: date) -> None:
    maturity = date(2034, 6, 30)
    clean = bonds.price(yield_=rate, coupon=coupon, per_year=per_year, maturity=maturity, on=on)
    got = bonds.yield_to_maturity(clean, coupon=coupon, per_year=per_year, maturity=maturity, on=on)
    assert got == pytest.approx(rate, abs=1e-9)


def test_a_price_no_yield_reaches_is_unknown() -> None:
    assert math.isnan(
        bonds.yield_to_maturity(0.0, coupon=0.05, per_year=1, maturity=date(2030, 1, 1), on=date(2026, 1, 1))
    )


def test_a_matured_bond_and_odd_coupons_are_refused() -> None:
    with pytest.raises(ValueError, match="matured"):
        bonds.coupon_dates(date(2026, 1, 1), 2, date(2026, 1, 1))
    with pytest.raises(ValueError, match="times a year"):
        bonds.coupon_dates(date(2026, 1, 1), 5, date(2025, 1, 1))
    with pytest.raises(ValueError, match="times a year"):
        bonds.coupon_dates(date(2026, 1, 1), 0, date(2025, 1, 1))
    with pytest.raises(ValueError, match="act/365"):
        bonds.elapsed(date(2025, 1, 1), date(2025, 2, 1), date(2025, 7, 1), "act/365")
