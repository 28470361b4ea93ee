from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import genpareto

from portfolio.risk.cvar import ParetoTail, fit_pareto_tail, historical_cvar, normal_cvar, normal_cvar_multiplier
from signals.errors import InvariantBroken, TooLittleHistory


def test_normal_multipliers() -> None:
    assert normal_cvar_multiplier(0.95) == pytest.approx(2.0627128, abs=5e-8)
    assert normal_cvar_multiplier(0.99) == pytest.approx(2.6652142, abs=5e-8)
    assert normal_cvar(0.001, 0.02, 0.95) == pytest.approx(0.02 * 2.0627128 - 0.001, abs=1e-8)


def test_historical_by_hand() -> None:
    """Losses 1 to 10: the worst 20 % are 10 and 9; the worst 25 % add half of 8; the worst 5 % are part of 10."""
    losses = np.array([3.0, 10, 1, 9, 2, 8, 4, 7, 5, 6])
    assert historical_cvar(losses, 0.8) == pytest.approx(9.5)
    assert historical_cvar(losses, 0.75) == pytest.approx((10 + 9 + 4) / 2.5)
    assert historical_cvar(losses, 0.95) == pytest.approx(10)
    assert historical_cvar(losses, 0.0) == pytest.approx(5.5)
    with pytest.raises(TooLittleHistory):
        historical_cvar(np.zeros(0), 0.95)


@pytest.mark.parametrize(("shape", "seed"), [(0.3, 0), (0.1, 1), (0.0, 2), (-0.2, 3), (0.6, 4)])
def test_the_tail_is_at_least_as_likely_as_scipys(shape: float, seed: int) -> None:
    losses = 1.0 + genpareto.rvs(shape, scale=2.0, size=500, random_state=seed)
    tail = fit_pareto_tail(losses, 1.0)
    excess = losses - 1.0
    theirs_shape, _, theirs_scale = genpareto.fit(excess, floc=0)
    ours = genpareto.logpdf(excess, tail.shape, scale=tail.scale).sum()
    assert ours >= genpareto.logpdf(excess, theirs_shape, scale=theirs_scale).sum() - 1e-6
    assert tail.shape == pytest.approx(theirs_shape, abs=2e-3)
    assert tail.scale == pytest.approx(theirs_scale, rel=2e-3)


def test_var_and_es_follow_the_formula_by_hand() -> None:
    """u 0.02, xi 0.25, beta 0.01, 100 of 2000 above: at 99 %, (20 x 0.01)^-0.25 = 1.4953488;
    VaR = 0.02 + 0.04 x 0.4953488 = 0.0398140; ES = (0.0398140 + 0.01 - 0.005) / 0.75 = 0.0597520."""
    tail = ParetoTail(0.02, 0.25, 0.01, 100, 2000)
    assert tail.var(0.99) == pytest.approx(0.0398140, abs=1e-7)
    assert tail.cvar(0.99) == pytest.approx(0.0597520, abs=1e-7)


@pytest.mark.parametrize("shape", [0.3, 0.0, -0.3])
def test_es_is_the_mean_of_var_beyond_the_level(shape: float) -> None:
    tail = ParetoTail(0.02, shape, 0.01, 100, 2000)
    mean = quad(tail.var, 0.99, 1 - 1e-13, limit=500)[0] / 0.01
    assert tail.cvar(0.99) == pytest.approx(mean, rel=1e-4)


def test_a_tail_without_a_mean_has_infinite_es() -> None:
    assert ParetoTail(0.02, 1.0, 0.01, 100, 2000).cvar(0.99) == math.inf


def test_a_level_inside_the_threshold_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="below the threshold"):
        ParetoTail(0.02, 0.25, 0.01, 100, 2000).var(0.90)


def test_nine_exceedances_are_no_tail() -> None:
    losses = np.arange(100.0)
    assert fit_pareto_tail(losses, 89.0).exceedances == 10
    with pytest.raises(TooLittleHistory, match="9 losses above 90"):
        fit_pareto_tail(losses, 90.0)
