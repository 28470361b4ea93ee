"""A learner over rests: it finds volumes that can be foretold, earns nothing of those that cannot, and reads none before it is there."""

from __future__ import annotations

import numpy as np
import pytest

from execution.planning.slicing import remaining
from execution.planning.urgency import ScheduledOrder
from signals.market.bars import Floats
from tests.campaigns.rests import RestPolicy, saved, usual_shares
from trainer.off_policy.estimators import OffPolicyEstimate
from trainer.off_policy.urgency import ALMGREN_CHRISS

STEPS, ORDERS = 4, 400
MINUTES = np.linspace(15.0, 355.0, STEPS)


def orders(count: int = ORDERS) -> list[ScheduledOrder]:
    return [ScheduledOrder(0.01, 0.02, 3e-4, MINUTES, np.full(STEPS, 1 / STEPS))] * count


def volumes(rng: np.random.Generator, strength: float) -> Floats:
    """Shocks of which those of the last half answer the first step's: high after low, or by chance where `strength` is 0."""
    met = np.exp(0.2 * rng.standard_normal((ORDERS, STEPS)))
    first = rng.choice([-1.0, 1.0], ORDERS)
    met[:, 0] *= np.exp(0.5 * first)
    met[:, STEPS // 2 :] *= np.exp(-strength * first)[:, None]
    return met


def against_blind(strength: float, seed: int) -> OffPolicyEstimate:
    rng = np.random.default_rng(seed)
    learned, then = volumes(rng, strength), volumes(rng, strength)
    sees, blind = (RestPolicy(orders(), learned, seed=1, blind=blind).left(orders(), then) for blind in (False, True))
    return saved(orders(), then, np.arange(ORDERS) // 4, sees, blind)


def test_volumes_that_the_first_step_foretells_are_worth_looking_at_and_chance_is_not() -> None:
    assert against_blind(1.5, 3).lower() > 0.3
    assert sum(against_blind(0.0, seed).lower() > 0 for seed in range(20)) <= 1


def test_no_step_reads_a_volume_before_it_is_known() -> None:
    rng = np.random.default_rng(7)
    met = volumes(rng, 1.5)
    policy, later = RestPolicy(orders(), met, seed=1), met.copy()
    later[:, 2:] *= 7.0
    left, changed = policy.left(orders(), met), policy.left(orders(), later)
    np.testing.assert_array_equal(left[:, :4], changed[:, :4])  # what is left after step 2 was decided before its own volume
    assert (np.diff(left, axis=1) < 0).all() and (left[:, 0] == 1.0).all() and (left[:, -1] == 0.0).all()


def test_the_usual_shares_are_those_of_the_schedule_and_a_saving_is_of_the_cheaper() -> None:
    left = remaining(ALMGREN_CHRISS, STEPS)
    np.testing.assert_allclose(np.append(1.0, np.cumprod(1.0 - usual_shares(STEPS))), left, atol=1e-12)
    even, front = np.array([[1.0, 0.75, 0.5, 0.25, 0.0]]), np.array([[1.0, 0.0, 0.0, 0.0, 0.0]])
    found = saved(orders(1) * 2, np.ones((2, STEPS)), np.arange(2), np.repeat(even, 2, axis=0), np.repeat(front, 2, axis=0))
    # At once 200 bp of sigma times the root of 1 %: 20 bp. In quarters, of which 7.3 % are still felt a step later: 10 bp times 1.0282, the
    # mean of the roots of 1, 1.0729, 1.0782 and 1.0786.
    assert found.value == pytest.approx(20.0 - 10.282, abs=1e-3)
