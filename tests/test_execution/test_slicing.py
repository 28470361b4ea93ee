from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.planning.slicing import MarketImpact, almgren_chriss, frontier, remaining, twap, urgency, whole_shares
from signals.errors import InvariantBroken

PROPERTY = settings(max_examples=100)

# The paper's example: a $50 stock, 30 % a year over 250 days, 5 million shares a day, a spread of 1/8.
PAPER = MarketImpact(sigma=0.3 * 50 / math.sqrt(250), eta=2.5e-6, gamma=2.5e-7, epsilon=0.0625)


def test_the_papers_example() -> None:
    best = almgren_chriss(1e6, 5, 5, PAPER, 1e-6)
    assert urgency(1.0, PAPER, 1e-6) == pytest.approx(0.6063, abs=5e-5)
    np.testing.assert_allclose(best.holdings[1:], [542380.7, 290295.1, 148216.1, 62303.2, 0], atol=0.05)
    assert best.expected_cost == pytest.approx(910477.8, abs=0.05)
    assert best.variance == pytest.approx(3.63868e11, rel=2e-6)


def test_twap_by_hand() -> None:
    """E = gamma X^2 / 2 + epsilon X + (eta - gamma tau / 2) X^2 / (N tau) = 125,000 + 62,500 + 475,000;
    V = sigma^2 X^2 (0.64 + 0.36 + 0.16 + 0.04) = 0.9 x 1.2e12."""
    even = twap(1e6, 5, 5, PAPER)
    np.testing.assert_allclose(even.slices, 2e5)
    assert even.expected_cost == pytest.approx(662_500)
    assert even.variance == pytest.approx(1.08e12)


@PROPERTY
@given(st.floats(-1e7, 1e7), st.floats(0.05, 10), st.integers(1, 50))
def test_without_risk_aversion_it_is_twap_to_the_bit(shares: float, duration: float, intervals: int) -> None:
    best, even = almgren_chriss(shares, duration, intervals, PAPER, 0.0), twap(shares, duration, intervals, PAPER)
    assert best.holdings.tobytes() == even.holdings.tobytes()
    assert (best.expected_cost, best.variance) == (even.expected_cost, even.variance)


def test_a_vanishing_risk_aversion_tends_to_twap() -> None:
    even = twap(1e6, 5, 20, PAPER)
    for risk_aversion in (1e-9, 1e-12, 1e-15, 1e-18, 1e-24):
        best = almgren_chriss(1e6, 5, 20, PAPER, risk_aversion)
        np.testing.assert_allclose(best.holdings, even.holdings, atol=1e6 * max(1e-12, risk_aversion * 1e7))


@pytest.mark.parametrize("risk_aversion", [1e-3, 1.0, 1e6, 1e100, 1e300])
def test_a_large_urgency_does_not_overflow(risk_aversion: float) -> None:
    """Everything is traded in the first interval: E = 125,000 + 62,500 + eta~ X^2 / tau."""
    best = almgren_chriss(1e6, 5, 5, PAPER, risk_aversion)
    assert bool(np.all(np.isfinite(best.holdings)))
    assert best.holdings[0] == 1e6 and best.holdings[-1] == 0.0
    if risk_aversion >= 1e6:
        assert best.expected_cost == pytest.approx(187_500 + 2.375e-6 * 1e12)


def test_long_schedules_do_not_overflow() -> None:
    """kappa T of 1,200: the ratio is exp(-kappa t) to the last digits."""
    best = almgren_chriss(1e6, 2000, 2000, PAPER, 1e-6)
    np.testing.assert_allclose(best.holdings[:20], 1e6 * np.exp(-urgency(1.0, PAPER, 1e-6) * np.arange(20)), rtol=1e-12)


@PROPERTY
@given(st.floats(1, 1e7), st.floats(0.05, 5), st.integers(1, 40), st.floats(1e-9, 1e-4))
def test_holdings_fall_from_the_whole_to_nothing(shares: float, duration: float, intervals: int, lam: float) -> None:
    best = almgren_chriss(shares, duration, intervals, PAPER, lam)
    assert best.holdings[0] == pytest.approx(shares)
    assert best.holdings[-1] == 0
    assert bool(np.all(np.diff(best.holdings) <= 1e-9 * shares))
    mirrored = almgren_chriss(-shares, duration, intervals, PAPER, lam)
    np.testing.assert_array_equal(mirrored.holdings, -best.holdings)
    assert mirrored.expected_cost == best.expected_cost


@PROPERTY
@given(st.floats(1e-8, 1e-5), st.integers(2, 12), st.integers(0, 1000))
def test_no_neighbouring_schedule_has_a_better_objective(lam: float, intervals: int, seed: int) -> None:
    """E + lambda V, computed here from the definition, is least at the trajectory."""
    best = almgren_chriss(1e6, 5, intervals, PAPER, lam)
    tau = 5 / intervals

    def objective(holdings: np.ndarray) -> float:
        traded = -np.diff(holdings)
        temporary = (PAPER.eta - PAPER.gamma * tau / 2) / tau * (traded**2).sum()
        return float(temporary + lam * PAPER.sigma**2 * tau * (holdings[1:] ** 2).sum())

    nudge = np.random.default_rng(seed).normal(0, 1e3, intervals + 1)
    nudge[[0, -1]] = 0
    assert objective(best.holdings) <= objective(best.holdings + nudge) * (1 + 1e-12)


def test_the_frontier_trades_cost_for_variance() -> None:
    points = frontier(1e6, 5, 20, PAPER, np.array([0.0, 1e-7, 1e-6, 1e-5]))
    assert [p[0] for p in points] == [0.0, 1e-7, 1e-6, 1e-5]
    assert bool(np.all(np.diff([p[1] for p in points]) > 0))
    assert bool(np.all(np.diff([p[2] for p in points]) < 0))


@PROPERTY
@given(st.integers(-100_000, 100_000), st.integers(1, 60), st.floats(0, 1e-4))
def test_whole_shares_conserve_the_quantity(quantity: int, intervals: int, lam: float) -> None:
    best = almgren_chriss(float(quantity), 1.0, intervals, PAPER, lam)
    slices = whole_shares(best.slices, quantity)
    assert int(slices.sum()) == quantity
    assert bool(np.all(slices * np.sign(quantity) >= 0))
    assert np.abs(slices - best.slices).max() <= 1.0 + 1e-6


def test_slices_that_are_no_cut_of_the_order_are_refused() -> None:
    for slices, quantity in (([5.0, 4.0], 10), ([12.0, -2.0], 10), ([], 10)):
        with pytest.raises(InvariantBroken, match="no cut"):
            whole_shares(np.array(slices), quantity)


def test_inputs_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InvariantBroken, match="intervals"):
        twap(1e6, 5, 0, PAPER)
    with pytest.raises(InvariantBroken, match="risk aversion"):
        almgren_chriss(1e6, 5, 5, PAPER, -1e-6)
    with pytest.raises(InvariantBroken, match="too long"):
        twap(1e6, 125, 5, PAPER)


@pytest.mark.parametrize("kappa", [-0.1, math.nan, math.inf])
def test_an_urgency_that_is_none_is_refused(kappa: float) -> None:
    with pytest.raises(InvariantBroken, match="an urgency of"):
        remaining(kappa, 4)
