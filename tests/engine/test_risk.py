"""Risk figures against published ones and arithmetic done by hand."""

import math

import numpy as np
import pytest

from stonks_overwatch.engine import risk

# Ten days of +1 % and ten of -1 %: mean 0, sample variance 20 x 0.0001 / 19.
SWING = np.array([0.01, -0.01] * 10)
# Monthly returns in percent of a portfolio and its benchmark: C. Bacon, "Practical Portfolio Performance
# Measurement and Attribution", 2nd edition (2008), chapter 4; figures of them, with the book's pages, in the
# documentation of the R package PerformanceAnalytics.
BACON = np.array([
    0.3, 2.6, 1.1, -1.0, 1.5, 2.5, 1.6, 6.7, -1.4, 4.0, -0.5, 8.1,
    4.0, -3.7, -6.1, 1.7, -4.9, -2.2, 7.0, 5.8, -6.5, 2.4, -0.5, -0.9,
]) / 100  # fmt: skip
BACONS_BENCHMARK = np.array([
    0.2, 2.5, 1.8, -1.1, 1.4, 1.8, 1.4, 6.5, -1.5, 4.2, -0.6, 8.3,
    3.9, -3.8, -6.2, 1.5, -4.8, 2.1, 6.0, 5.6, -6.7, 1.9, -0.3, 0.0,
]) / 100  # fmt: skip
A_DAY = 1 / math.sqrt(252)  # takes the year out of a deviation again


def test_the_risk_of_bacons_portfolio_is_the_published_one() -> None:
    # Fama's beta (page 78), the ratio of the two deviations, is 1.03.
    assert risk.volatility(BACON) / risk.volatility(BACONS_BENCHMARK) == pytest.approx(1.03, abs=0.005)
    # Downside risk below 0.5 % (page 98) is 2.55 % a month.
    assert risk.downside_deviation(BACON, 0.005) * A_DAY == pytest.approx(0.0255, abs=5e-5)
    # Jensen's alpha (page 72) is -0.014: yearly growth less beta times the benchmark's.
    growth, benchmark = (float(np.prod(1 + series)) ** 0.5 - 1 for series in (BACON, BACONS_BENCHMARK))
    beta = risk.beta(BACON, BACONS_BENCHMARK)
    assert growth - beta * benchmark == pytest.approx(-0.014, abs=0.0005)
    # Specific risk (page 75) is 3.29 % a year: the deviation, of all 24, of what beta leaves unexplained.
    left = risk.volatility(BACON - beta * BACONS_BENCHMARK) * A_DAY * math.sqrt(12 * 23 / 24)
    assert left == pytest.approx(0.0329, abs=5e-5)
    # Beta is the correlation times the ratio of the deviations.
    related = risk.correlation(BACON, BACONS_BENCHMARK)
    assert related == pytest.approx(beta * risk.volatility(BACONS_BENCHMARK) / risk.volatility(BACON))


def test_the_sortino_ratio_is_the_published_one() -> None:
    # T. Rollinger and S. Hoffman, "Sortino: A 'Sharper' Ratio": yearly returns with a mean of 10 % and a
    # target downside deviation of 2.26 % have a ratio of 4.417. Three times over, to be long enough.
    returns = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04] * 3)
    assert risk.downside_deviation(returns) * A_DAY == pytest.approx(0.0226, abs=5e-5)
    assert risk.sortino(returns) * A_DAY == pytest.approx(4.417, abs=5e-4)


def test_the_figures_of_the_guides_example_are_right() -> None:
    # docs/numbers.md: the portfolio is twice the benchmark and 0.1 % a day.
    returns, benchmark = SWING + 0.001, SWING / 2
    assert risk.volatility(returns) == pytest.approx(0.1629, abs=5e-5)
    assert risk.downside_deviation(returns) == pytest.approx(0.1010, abs=5e-5)
    assert risk.sharpe(returns) == pytest.approx(1.55, abs=5e-3)
    assert risk.sortino(returns) == pytest.approx(2.49, abs=5e-3)
    assert risk.value_at_risk(returns) == pytest.approx(0.009, abs=1e-12)
    assert risk.alpha(returns, benchmark) == pytest.approx(0.252, abs=1e-12)
    assert risk.tracking_error(returns, benchmark) == pytest.approx(0.0814, abs=5e-5)
    assert risk.information_ratio(returns, benchmark) == pytest.approx(3.09, abs=5e-3)
    assert risk.calmar(0.1, -0.25) == pytest.approx(0.4)


def test_volatility_is_the_sample_deviation_times_root_252() -> None:
    assert risk.volatility(SWING) == pytest.approx(math.sqrt(20 * 1e-4 / 19) * math.sqrt(252), abs=1e-12)


def test_downside_deviation_counts_shortfalls_over_all_days() -> None:
    # Ten shortfalls of 1 % over twenty days.
    assert risk.downside_deviation(SWING) == pytest.approx(math.sqrt(10 * 1e-4 / 20 * 252), abs=1e-12)


def test_sharpe_and_sortino_divide_the_yearly_mean() -> None:
    returns = SWING + 0.001
    assert risk.sharpe(returns) == pytest.approx(0.001 * 252 / risk.volatility(SWING), rel=1e-12)
    # Shortfalls are now 0.9 %.
    assert risk.sortino(returns) == pytest.approx(0.252 / math.sqrt(10 * 0.009**2 / 20 * 252), rel=1e-12)


def test_max_drawdown_has_its_days_and_its_recovery() -> None:
    fall = risk.max_drawdown(np.array([1.0, 1.2, 0.9, 0.96, 1.2, 1.1]))
    assert fall is not None
    assert fall.depth == pytest.approx(-0.25)
    assert (fall.peak, fall.trough, fall.recovered) == (1, 2, 4)


def test_the_start_counts_as_a_peak_and_an_open_fall_has_no_recovery() -> None:
    fall = risk.max_drawdown(np.array([1.0, 0.8]))
    assert fall is not None
    assert fall.depth == pytest.approx(-0.2)
    assert (fall.peak, fall.trough, fall.recovered) == (0, 1, None)


def test_a_fall_is_made_good_at_the_very_level_it_began_at() -> None:
    # From 11 to 3 and back: linked in floats, the index ends a hair below 1.
    index = np.cumprod(np.array([1.0, 3 / 11, 11 / 3]))
    assert index[2] < 1.0
    fall = risk.max_drawdown(index)
    assert fall is not None
    assert (fall.peak, fall.trough, fall.recovered) == (0, 1, 2)


def test_the_fall_of_nothing_and_of_unknown_days_is_unknown() -> None:
    assert risk.max_drawdown(np.empty(0)) is None
    assert risk.max_drawdown(np.array([1.0, math.nan, 1.0])) is None


def test_what_floats_leave_of_nothing_is_no_fall() -> None:
    fall = risk.max_drawdown(np.array([1.0, 1.0 - 2e-16, 1.0]))
    assert fall is not None
    assert fall.depth == 0.0
    assert math.isnan(risk.calmar(0.02, fall.depth))


def test_a_portfolio_that_never_fell_has_a_drawdown_of_zero() -> None:
    fall = risk.max_drawdown(np.array([1.0, 1.1]))
    assert fall is not None
    assert fall.depth == 0.0


def test_beta_and_alpha_of_a_doubled_benchmark() -> None:
    benchmark = SWING
    returns = 2 * benchmark + 0.0005
    assert risk.beta(returns, benchmark) == pytest.approx(2.0, rel=1e-12)
    assert risk.alpha(returns, benchmark) == pytest.approx(0.0005 * 252, rel=1e-9)
    assert risk.correlation(returns, benchmark) == pytest.approx(1.0, rel=1e-12)


def test_tracking_error_of_a_constant_difference_is_zero() -> None:
    assert risk.tracking_error(SWING + 0.001, SWING) == pytest.approx(0.0, abs=1e-12)


def test_value_at_risk_is_a_loss_that_history_exceeded_rarely() -> None:
    # 101 days from -50 % to +50 % in steps of 1 %: the 5 % quantile is -45 %.
    assert risk.value_at_risk(np.linspace(-0.5, 0.5, 101)) == pytest.approx(0.45, abs=1e-12)


@pytest.mark.parametrize("figure", [risk.volatility, risk.sharpe, risk.sortino, risk.value_at_risk])
def test_too_short_a_series_is_unknown(figure: object) -> None:
    assert callable(figure)
    assert math.isnan(figure(SWING[:19]))


def test_a_series_that_does_not_move_has_no_ratios() -> None:
    # Returns of 0, and of what floats leave of 0.
    for still in (np.zeros(30), 1e-16 * np.resize([1.0, -1.0, 2.0], 30)):
        assert risk.volatility(still) == risk.downside_deviation(still) == 0.0
        assert math.isnan(risk.sharpe(still))
        assert math.isnan(risk.sortino(still))
        assert math.isnan(risk.beta(np.resize(SWING, 30), still))
        assert math.isnan(risk.correlation(np.resize(SWING, 30), still))
        assert math.isnan(risk.correlation(still, np.resize(SWING, 30)))


def test_a_portfolio_of_the_benchmark_alone_has_no_information_ratio() -> None:
    # Two hundred units of it: the growth of their value and that of the price differ by rounding alone.
    price = 33.3 * np.cumprod(1 + np.resize(BACON, 60))
    own, other = ((level[1:] / level[:-1] - 1) for level in (price * 200 * 0.87, price))
    assert risk.tracking_error(own, other) == 0.0
    assert math.isnan(risk.information_ratio(own, other))
