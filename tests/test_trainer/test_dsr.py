"""Sharpe statistics against published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kurtosis, norm, skew

from signals.errors import InvariantBroken
from trainer.validation.significance.dsr import (
    deflated_sharpe_ratio,
    deflated_sharpe_ratio_2025,
    deflation_benchmark,
    expected_max,
    minimum_backtest_length,
    minimum_backtest_length_bound,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_moments,
    variance_of_max,
)

PAPER = {"trials": 100, "variance_of_trials": 0.5 / 250, "skewness": -3.0, "kurtosis": 10.0}


def test_psr_of_a_hedge_fund_s_two_years() -> None:
    found = probabilistic_sharpe_ratio(1.585 / np.sqrt(12), 24, skewness=-2.448, kurtosis=10.164)
    assert found == pytest.approx(0.9132343069, abs=1e-10)


def test_the_expected_maximum_of_a_hundred() -> None:
    assert expected_max(100) == pytest.approx(2.5306028932, abs=1e-10)
    assert expected_max(1) == 0.0


def test_dsr_of_the_paper_s_example() -> None:
    """Annual SR 2.5 over 1250 days, 100 trials of annual variance 1/2."""
    assert deflation_benchmark(100, 0.5 / 250, 1250) == pytest.approx(0.1131720, abs=1e-7)
    assert deflated_sharpe_ratio(2.5 / np.sqrt(250), 1250, **PAPER) == pytest.approx(0.9003968344, abs=1e-10)


def test_one_trial_is_psr_of_zero() -> None:
    plain = probabilistic_sharpe_ratio(0.1, 500, skewness=-1.0, kurtosis=6.0)
    assert deflated_sharpe_ratio(0.1, 500, trials=1, variance_of_trials=3.0, skewness=-1.0, kurtosis=6.0) == plain


def test_clones_do_not_weaken_the_bar() -> None:
    """A hundred identical trials have no variance; the floor 1/(T - 1) keeps the bar at that of independent ones."""
    assert deflation_benchmark(100, 0.0, 1001) == pytest.approx(expected_max(100) / np.sqrt(1000))


def test_the_variance_of_a_maximum() -> None:
    """Exactly 1 of one and 1 - 1/pi of two; simulated for a hundred."""
    assert variance_of_max(1) == pytest.approx(1.0, abs=1e-9)
    assert variance_of_max(2) == pytest.approx(1.0 - 1.0 / np.pi, abs=1e-9)
    drawn = np.random.default_rng(0).normal(size=(20_000, 100)).max(axis=1)
    assert variance_of_max(100) == pytest.approx(drawn.var(), rel=0.05)


def test_the_form_of_2025_takes_the_null_s_variance() -> None:
    """By hand from SR0 = 0.113172: variance factor 1 + 3 SR0 + 9/4 SR0^2, times Var[max_100], over 1250."""
    sr0 = 0.11317200
    variance = variance_of_max(100) * (1 + 3 * sr0 + 2.25 * sr0**2) / 1250
    z = (2.5 / np.sqrt(250) - sr0) / np.sqrt(variance)
    assert deflated_sharpe_ratio_2025(2.5 / np.sqrt(250), 1250, **PAPER) == pytest.approx(norm.cdf(z), abs=1e-6)


def test_the_minimum_track_record_makes_psr_reach_its_level() -> None:
    needed = minimum_track_record_length(0.12, skewness=-0.8, kurtosis=7.0, benchmark=0.02, alpha=0.05)
    reached = probabilistic_sharpe_ratio(0.12, needed, skewness=-0.8, kurtosis=7.0, benchmark=0.02)  # type: ignore[arg-type]
    assert reached == pytest.approx(0.95, abs=1e-12)
    assert minimum_track_record_length(0.02, benchmark=0.02) == float("inf")


def test_the_minimum_backtest_length_of_45_trials() -> None:
    assert minimum_backtest_length(45, 1.0) == pytest.approx(4.9980870, abs=1e-7)
    assert minimum_backtest_length_bound(45, 1.0) == pytest.approx(2 * np.log(45))
    assert minimum_backtest_length(45, 1.0) < minimum_backtest_length_bound(45, 1.0)


def test_moments_are_scipy_s_with_a_ddof_of_one_in_the_ratio() -> None:
    returns = np.random.default_rng(1).standard_t(5, 400) * 0.01 + 0.0005
    found = sharpe_moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skewness == pytest.approx(skew(returns))
    assert found.kurtosis == pytest.approx(kurtosis(returns, fisher=False))


@pytest.mark.parametrize("returns", [[0.1], [0.1, np.nan], [0.1, 0.1]])
def test_a_series_without_a_sharpe_ratio_is_refused(returns: list[float]) -> None:
    with pytest.raises(InvariantBroken):
        sharpe_moments(np.array(returns))
    with pytest.raises(InvariantBroken):
        expected_max(0)
