"""Risk figures against arithmetic done by hand."""

import math

import numpy as np
import pytest

from stonks_overwatch.engine import risk

# Ten days of +1 % and ten of -1 %: mean 0, sample variance 20 x 0.0001 / 19.
SWING = np.array([0.01, -0.01] * 10)


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


def test_a_series_that_does_not_move_has_no_sharpe() -> None:
    assert math.isnan(risk.sharpe(np.zeros(30)))
