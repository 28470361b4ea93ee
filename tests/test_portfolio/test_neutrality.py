from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from portfolio.policy import neutrality
from portfolio.policy.neutrality import INWARD, exposures, nearest_within, neutralise
from portfolio.policy.selection import top_and_bottom
from signals.errors import NoFeasibleBook


def test_a_book_inside_its_limits_is_left_alone() -> None:
    book = np.array([0.25, 0.25, -0.25, -0.25])
    weights, passes = neutralise(book, 0.3, exposures(np.ones(4), (), 0.02, 0.05, None))
    assert passes == 1
    np.testing.assert_array_equal(weights, book)


def test_beta_is_taken_out_by_hand() -> None:
    """Longs of beta 1.11, shorts of beta 1: beta'w = 0.055 must come to 0.99 x 0.05.

    lambda = 0.0055 / (0.25 (2 x 1.11^2 + 2)) = 0.0049281; a name moves by lambda |w| beta, net by -0.0052.
    """
    beta = np.array([1.11, 1.11, 1.0, 1.0])
    weights, passes = neutralise(np.array([0.25, 0.25, -0.25, -0.25]), 0.5, exposures(beta, (), 0.02, 0.05, None))
    multiplier = 0.0055 / (0.25 * (2 * 1.11**2 + 2))
    long, short = 0.25 * (1 - 1.11 * multiplier), -0.25 * (1 + multiplier)
    np.testing.assert_allclose(weights, np.array([long, long, short, short]), atol=1e-12)
    assert passes == 2


@pytest.mark.parametrize("seed", range(6))
def test_the_book_found_is_as_near_as_a_general_solvers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    beta = np.clip(rng.normal(1, 0.8, 12), -0.5, 3)
    book = top_and_bottom(rng.normal(size=12), np.zeros(12), 4)
    moved = np.abs(book) > 0
    limited = exposures(beta, tuple("xyz"[i % 3] for i in range(12)), 0.02, 0.05, 0.04)
    ours = nearest_within(book, np.sign(book), 0.2, limited)
    rows, goals, v = limited.rows[:, moved], INWARD * limited.limits, book[moved]
    side = np.sign(v)

    def distance(w: np.ndarray) -> float:
        return float(((w - v) ** 2 / np.abs(v)).sum())

    solved = minimize(
        distance,
        np.zeros(v.size),
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
        bounds=[(min(0.2 * s, 0), max(0.2 * s, 0)) for s in side],
        constraints=[{"type": "ineq", "fun": lambda w: np.concatenate([goals - rows @ w, goals + rows @ w])}],
    )
    assert solved.success
    assert limited.hold(ours)
    # Ours stops at the first book whose rows hold, so it is near the nearest and not always it.
    assert distance(ours[moved]) <= solved.fun * 1.02 + 1e-6


@settings(max_examples=150)
@given(st.integers(2, 120), st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([None, 0.01, 0.05]))
def test_caps_and_neutrality_meet(n: int, names: int, seed: int, sector_limit: float | None) -> None:
    """Whatever the betas, negative ones included: limits hold, no name joins or changes side, gross stays <= 1."""
    rng = np.random.default_rng(seed)
    beta = rng.normal(1, 1, n)
    book = top_and_bottom(rng.normal(size=n), np.zeros(n), names)
    sectors = tuple(rng.choice(["a", "b", ""], n).tolist())
    limited = exposures(beta, sectors, 0.02, 0.05, sector_limit)
    weights, passes = neutralise(book, 0.045, limited)
    assert passes <= 50
    assert np.abs(weights).max(initial=0) <= 0.045 + 1e-12
    assert limited.hold(weights)
    assert np.abs(weights).sum() <= 1 + 1e-12
    assert bool(np.all(weights * book >= 0)) and not weights[book == 0].any()


def test_limits_that_cannot_be_met_in_fifty_passes_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the neutrality step no number of passes helps; the error names the figures that are out."""
    monkeypatch.setattr(neutrality, "nearest_within", lambda weights, side, cap, limited: weights)
    with pytest.raises(NoFeasibleBook, match=r"50 passes \(net \+0\.2000, beta \+0\.2000\)"):
        neutralise(np.array([0.3, -0.1]), 0.5, exposures(np.ones(2), (), 0.02, 0.05, None))
