from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import betas, deviations, estimate, ledoit_wolf, market_return
from signals.errors import InvariantBroken, TooLittleHistory
from tests.test_portfolio.books import bars_of

sklearn_covariance = pytest.importorskip("sklearn.covariance", reason="the oracle is not part of a device")

IC = SizingCoefficient(0.02, 3.0, 20.0)


def market(sessions: int = 252, n: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factor = rng.normal(0, 0.01, (sessions, 1))
    return factor * rng.uniform(0.5, 1.5, n) + rng.normal(0, 0.015, (sessions, n))


@pytest.mark.parametrize(("sessions", "n"), [(252, 30), (252, 400), (60, 5)])
def test_ledoit_wolf_equals_scikit_learn(sessions: int, n: int) -> None:
    returns = market(sessions, n)
    theirs = sklearn_covariance.LedoitWolf().fit(returns)
    ours, intensity = ledoit_wolf(returns - returns.mean(axis=0))
    np.testing.assert_allclose(ours, theirs.covariance_, rtol=1e-10, atol=1e-16)
    assert intensity == pytest.approx(theirs.shrinkage_, rel=1e-9)


def test_a_covariance_that_is_a_multiple_of_the_identity_needs_no_shrinking() -> None:
    covariance, intensity = ledoit_wolf(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    np.testing.assert_allclose(covariance, np.eye(2) / 2)
    assert intensity == 0.0


def test_the_model_scales_variances_with_the_horizon_and_reads_the_last_252_sessions() -> None:
    returns = market(300)
    risk = estimate(bars_of(returns), 5, IC)
    theirs = sklearn_covariance.LedoitWolf().fit(returns[-252:])
    np.testing.assert_allclose(risk.covariance, 5 * theirs.covariance_, rtol=1e-9)
    changed = returns.copy()
    changed[:48] *= 7.0
    again = estimate(bars_of(changed), 5, IC)
    np.testing.assert_array_equal(risk.covariance, again.covariance)
    np.testing.assert_array_equal(risk.beta, again.beta)


def test_missing_returns_do_not_look_like_calm() -> None:
    """Half the returns gone at random: the variance is that of the ones left; the matrix stays semi-definite."""
    returns = market()
    gappy = returns.copy()
    gappy[np.random.default_rng(5).random(252) < 0.5, 0] = np.nan
    seen = np.isfinite(gappy)
    centred = deviations(gappy, seen)
    sample = centred.T @ centred / 252
    assert sample[0, 0] == pytest.approx(np.nanvar(gappy[:, 0]))
    assert sample[1, 1] == pytest.approx(np.var(returns[:, 1]))
    assert np.linalg.eigvalsh(sample).min() >= -1e-15


def test_one_impossible_return_does_not_rule_the_matrix() -> None:
    """A return of +25,733 % counts as +50 %: to the model the two are the same bars."""
    returns, bounded = market(), market()
    returns[100, 4], returns[101, 5] = 257.33, -0.9
    bounded[100, 4], bounded[101, 5] = 0.5, -0.5
    risk, same = (estimate(bars_of(r), 5, IC) for r in (returns, bounded))
    np.testing.assert_array_equal(risk.covariance, same.covariance)
    np.testing.assert_array_equal(risk.beta, same.beta)
    assert (risk.limited_returns, same.limited_returns) == (2, 0)


def test_a_name_needs_four_fifths_of_its_returns() -> None:
    """202 of 252 sessions is 80.2 %, 201 is 79.8 %."""
    returns = market()
    returns[:50, 3] = np.nan
    returns[:51, 4] = np.nan
    risk = estimate(bars_of(returns), 5, IC)
    assert "S0003" in risk.symbols
    assert risk.left_out == ("S0004",)


def test_a_name_whose_price_never_moves_cannot_be_judged() -> None:
    returns = market()
    returns[:, 7] = 0.0
    assert estimate(bars_of(returns), 5, IC).left_out == ("S0007",)


def test_a_name_outside_the_universe_at_asof_is_in_neither_list() -> None:
    returns = market()
    eligible = np.isfinite(returns)
    eligible[-1, 2] = False
    risk = estimate(bars_of(returns, eligible), 5, IC)
    assert "S0002" not in risk.symbols and "S0002" not in risk.left_out


def test_too_little_history_is_refused() -> None:
    with pytest.raises(TooLittleHistory, match="251 sessions"):
        estimate(bars_of(market(251)), 5, IC)
    returns = market()
    returns[:60] = np.nan
    with pytest.raises(TooLittleHistory, match="no eligible name"):
        estimate(bars_of(returns), 5, IC)


def test_the_market_is_the_mean_of_the_eligible_names_seen() -> None:
    returns = np.array([[0.01, 0.03, np.nan], [np.nan, np.nan, 0.02]])
    eligible = np.array([[True, True, True], [True, True, False]])
    np.testing.assert_allclose(market_return(returns, eligible), [0.02, np.nan])


def test_raw_betas_are_least_squares_and_shrink_towards_their_mean() -> None:
    returns = market(252, 40)
    index = returns.mean(axis=1)
    beta, residual = betas(returns, np.isfinite(returns), index)
    fits = [np.polyfit(index, returns[:, i], 1, full=True) for i in range(40)]
    raw = np.array([fit[0][0] for fit in fits])
    np.testing.assert_allclose(residual, [np.sqrt(fit[1][0] / 250) for fit in fits], rtol=1e-9)
    assert bool(np.all((beta - raw) * (raw - raw.mean()) <= 1e-12)), "every beta moves towards the mean"
    assert bool(np.all((beta - raw.mean()) * (raw - raw.mean()) >= 0)), "and none beyond it"
    error = residual**2 / ((index - index.mean()) ** 2).sum()
    spread = raw.var(ddof=1) - error.mean()
    np.testing.assert_allclose(beta, raw.mean() + (raw - raw.mean()) * spread / (spread + error), rtol=1e-9)


def test_betas_of_a_common_beta_shrink_nearly_all_the_way() -> None:
    """Names that differ by noise alone have no spread of their own to keep."""
    rng = np.random.default_rng(2)
    returns = rng.normal(0, 0.01, (252, 1)) + rng.normal(0, 0.02, (252, 60))
    index = returns.mean(axis=1)
    beta, _ = betas(returns, np.isfinite(returns), index)
    raw = np.array([np.polyfit(index, returns[:, i], 1)[0] for i in range(60)])
    assert beta.std() < 0.5 * raw.std()


def test_a_risk_model_that_would_lie_cannot_be_made() -> None:
    risk = estimate(bars_of(market()), 5, IC)
    for changes in (
        {"beta": risk.beta[:-1].copy()},
        {"residual_volatility": np.zeros(30)},
        {"covariance": np.full((30, 30), np.nan)},
        {"symbols": risk.symbols[::-1]},
        {"horizon_sessions": 0},
        {"sectors": ("tech",)},
    ):
        with pytest.raises(InvariantBroken):
            replace(risk, **changes)
