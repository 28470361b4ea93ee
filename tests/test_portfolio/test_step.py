from __future__ import annotations

import numpy as np
import pytest

from portfolio.config import BookSides, PortfolioConfig
from portfolio.policy.step import Step, Way, check_step, step
from signals.errors import InvariantBroken

FREE = PortfolioConfig(round_trip_cost_bps=0)


def way(
    current: list[float],
    target: list[float],
    *,
    mu: list[float] | None = None,
    beta: list[float] | None = None,
    fraction: float = 0.2,
    band: float = 0.001,
) -> Way:
    n = len(current)
    return Way(np.array(current), np.array(target), np.array(mu or np.sign(target) * 0.01), np.array(beta or [1.0] * n), fraction, band)


def test_each_name_moves_a_fifth_of_its_gap() -> None:
    taken = step(way([0.01, -0.01], [0.03, -0.03]), FREE)
    np.testing.assert_allclose(taken.weights, [0.014, -0.014])
    assert taken.turnover == pytest.approx(0.004)


def test_a_slice_below_the_band_is_the_band_and_a_gap_below_it_is_not_traded() -> None:
    """Gap 0.004: a fifth is 0.0008, the band 0.001 is traded. Gap 0.0009: nothing."""
    taken = step(way([0.010, 0.010], [0.014, 0.0109]), FREE)
    np.testing.assert_allclose(taken.weights, [0.011, 0.010])
    assert taken.below_band == 1


def test_a_name_without_a_target_is_closed_when_the_rest_would_be_below_the_band() -> None:
    """0.0015 would leave 0.0005: closed at once; 0.0005 likewise; 0.0025 leaves 0.0015 and waits."""
    taken = step(way([0.0015, -0.0005, 0.0025], [0.0, 0.0, 0.0]), FREE)
    np.testing.assert_allclose(taken.weights, [0.0, 0.0, 0.0015])


def test_an_addition_that_does_not_pay_for_itself_is_skipped_a_reduction_never() -> None:
    """Cost 5 bp: an expected 4 bp does not pay, 6 bp does; on the short side the sign of mu turns."""
    config = PortfolioConfig(round_trip_cost_bps=5.0)
    taken = step(way([0.0, 0.0, 0.0, 0.0, 0.02], [0.02, 0.02, -0.02, -0.02, 0.0], mu=[4e-4, 6e-4, -4e-4, -6e-4, 0.0]), config)
    np.testing.assert_allclose(taken.weights, [0.0, 0.004, 0.0, -0.004, 0.016])
    assert taken.below_cost == 2


def test_a_drifted_name_beyond_the_stepped_limit_comes_back_to_it_at_once() -> None:
    """0.08 a fifth of the way to 0.045 is 0.073; the limit between targets is 0.055."""
    taken = step(way([0.08, -0.045], [0.045, -0.045]), FREE)
    np.testing.assert_allclose(taken.weights, [0.055, -0.045])


def test_skipped_trades_that_unbalance_the_book_are_partly_taken_back() -> None:
    """All long additions pay and no short one does: left alone, net would reach 20 x 0.005 = 0.10 in one session.

    The even move is neutral, so slices are added on the short side until net is within 3 %.
    """
    n = 20
    current, target = [0.0] * 2 * n, [0.025] * n + [-0.025] * n
    config = PortfolioConfig(round_trip_cost_bps=5.0)
    taken = step(way(current, target, mu=[1e-2] * n + [-1e-4] * n), config)
    assert taken.below_cost == n
    assert abs(taken.weights.sum()) <= 0.03 + 1e-9
    assert taken.rebalanced == 14
    assert taken.weights[:n].sum() == pytest.approx(0.10)
    assert taken.weights.sum() == pytest.approx(0.03)


def test_a_book_that_starts_outside_its_limits_is_led_back_evenly_not_thrown_back() -> None:
    """Net 0.5 held, target neutral: a fifth of the way is net 0.4, above the limit and below where it was."""
    current, target = [0.05] * 10, [0.0] * 10
    taken = step(way(current, target), FREE)
    assert taken.weights.sum() == pytest.approx(0.4)
    assert taken.rebalanced == 0


def test_long_only_books_have_no_net_limit() -> None:
    config = PortfolioConfig(mode=BookSides.LONG_ONLY, round_trip_cost_bps=0)
    taken = step(way([0.0] * 20, [0.045] * 20), config)
    assert taken.weights.sum() == pytest.approx(0.18)
    assert taken.rebalanced == 0


def test_turnover_is_limited_by_scaling_all_trades() -> None:
    """A flip of gross 1 at once is a turnover of 1; at a limit of 0.35 every trade keeps 35 %."""
    target = [0.05] * 10 + [-0.05] * 10
    config = PortfolioConfig(round_trip_cost_bps=0, turnover_limit=0.35, name_cap=0.05)
    taken = step(way([-w for w in target], target, fraction=1.0), config)
    np.testing.assert_allclose(taken.weights, np.array(target) * -0.3)
    assert taken.turnover == 0.35


def test_nothing_held_and_nothing_wanted_is_a_step_of_nothing() -> None:
    empty = Way(*(np.zeros(0) for _ in range(4)), fraction=0.2, band=0.001)
    assert step(empty, FREE).turnover == 0.0


@pytest.mark.parametrize(
    ("weights", "turnover", "what"),
    [([0.031, -0.02], 0.01, "overshoots"), ([0.009, -0.02], 0.01, "moves away"), ([0.02, -0.02], 0.36, "turns over")],
)
def test_a_step_that_breaks_an_invariant_cannot_be_taken(weights: list[float], turnover: float, what: str) -> None:
    between = way([0.01, -0.01], [0.03, -0.03])
    with pytest.raises(InvariantBroken, match=what):
        check_step(Step(np.array(weights), 0, 0, 0, turnover), between, FREE)


def test_an_unbalanced_step_cannot_be_taken() -> None:
    between = way([0.0, 0.0], [0.04, -0.04])
    with pytest.raises(InvariantBroken, match=r"net is 0\.040000, above 0\.030000"):
        check_step(Step(np.array([0.04, 0.0]), 0, 0, 0, 0.02), between, FREE)
