"""The sequential test: never more false alarms than it claims, whenever one looks; and it sees a decay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import InvariantBroken
from signals.monitoring.sequential import ALPHA, CONSTANT_SHARES, WINDOWS_SESSIONS, judge, wealth

LIVES, SESSIONS = 1_000, 400
PROMISED, BOUND = 0.02, 0.35


def alarmed(observed: np.ndarray, bound: float = BOUND) -> float:
    """Share of lives in which the evidence ever reached 1 / alpha: the test was looked at after every session."""
    held = wealth(observed, np.full(observed.shape[-1], PROMISED), np.full(observed.shape[-1], bound))
    return float((held.max(axis=-1) >= 1 / ALPHA).mean())


def dependent(rng: np.random.Generator) -> np.ndarray:
    """Means that are exactly as promised given the past, while the spread follows the last surprise."""
    observed, spread = np.empty((LIVES, SESSIONS)), np.full(LIVES, 0.1)
    for t in range(SESSIONS):
        surprise = spread * rng.choice([-1.0, 1.0], LIVES)
        observed[:, t] = PROMISED + surprise
        spread = np.where(surprise < 0, 0.28, 0.04)
    return observed


NULLS = {
    "normal": lambda rng: np.clip(rng.normal(PROMISED, 0.1, (LIVES, SESSIONS)), -0.31, 0.35),
    "rare windfalls": lambda rng: np.where(rng.random((LIVES, SESSIONS)) < 0.9, PROMISED - 0.03, PROMISED + 0.27),
    "rare disasters": lambda rng: np.where(rng.random((LIVES, SESSIONS)) < 0.9, PROMISED + 0.03, PROMISED - 0.27),
    "two values at the bounds": lambda rng: np.where(rng.random((LIVES, SESSIONS)) < 0.37 / 0.7, 0.35, -0.35),
    "spread that follows the past": dependent,
}


@pytest.mark.parametrize("law", NULLS)
def test_a_model_that_keeps_its_promise_is_accused_in_at_most_alpha_of_all_lives(law: str) -> None:
    """Optional stopping at its worst: the highest evidence of a whole life counts. Three standard errors of leeway."""
    observed = NULLS[law](np.random.default_rng(11))
    assert abs(observed.mean() - PROMISED) < 0.003
    leeway = 3 * np.sqrt(ALPHA * (1 - ALPHA) / LIVES)
    assert alarmed(observed) <= ALPHA + leeway


def test_a_better_model_is_hardly_ever_accused() -> None:
    better = np.random.default_rng(2).normal(PROMISED + 0.02, 0.1, (LIVES, SESSIONS))
    assert alarmed(better) <= 0.01


@pytest.mark.parametrize(("begins", "within", "power"), [(0, 150, 0.9), (150, 250, 0.9)])
def test_a_planted_decay_is_found(begins: int, within: int, power: float) -> None:
    """A mean IC of 0.035 becomes -0.02: found within so many sessions, also after a long good life."""
    rng = np.random.default_rng(5)
    observed = rng.normal(0.035, 0.1, (LIVES, SESSIONS))
    observed[:, begins:] -= 0.055
    held = wealth(observed, np.full(SESSIONS, PROMISED), np.full(SESSIONS, BOUND))
    assert float((held[:, : begins + within].max(axis=1) >= 1 / ALPHA).mean()) >= power
    assert begins == 0 or float((held[:, :begins].max(axis=1) >= 1 / ALPHA).mean()) <= 0.01


def test_the_first_bets_by_hand() -> None:
    """Nobody has a past yet: four constant bettors stake 0.05, 0.15, 0.35, 0.7 of 1 / (0.5 - 0.1) = 2.5 on -0.1 - 0.1.

    Each gains 0.2 x 2.5 = 0.5 of its share; three others keep 1. K = (1.025 + 1.075 + 1.175 + 1.35 + 3) / 7.
    """
    found = wealth(np.array([-0.1]), np.array([0.1]), np.array([0.5]))
    assert found[0] == pytest.approx(7.625 / 7)
    assert len(CONSTANT_SHARES) + len(WINDOWS_SESSIONS) == 7


@settings(max_examples=60)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_no_bet_looks_ahead_and_evidence_is_never_negative(values: list[float], seed: int) -> None:
    """Whatever comes later, the evidence so far stands; a gap changes nothing."""
    observed = np.array(values)
    mean, bound = np.full(len(values), 0.05), np.full(len(values), 0.4)
    held = wealth(observed, mean, bound)
    assert (held > 0).all()
    cut = 1 + seed % len(values)
    other = observed.copy()
    other[cut:] = np.random.default_rng(seed).uniform(-1, 1, len(values) - cut)
    np.testing.assert_array_equal(wealth(other, mean, bound)[:cut], held[:cut])
    gap = np.append(observed, np.nan)
    assert wealth(gap, np.append(mean, 0.05), np.append(bound, 0.4))[-1] == held[-1]


def test_under_the_null_each_bet_is_fair() -> None:
    """Two equally likely values around the promise: the two possible next evidences average to the present one."""
    past = np.random.default_rng(3).choice([-0.18, 0.22], 80)
    mean, bound = np.full(81, 0.02), np.full(81, 0.3)
    now = wealth(past, mean[:80], bound[:80])[-1]
    then = [wealth(np.append(past, value), mean, bound)[-1] for value in (-0.18, 0.22)]
    assert np.mean(then) == pytest.approx(now, rel=1e-12)


def test_a_life_is_judged_by_its_highest_evidence() -> None:
    fallen = np.concatenate([np.full(40, -0.3), np.full(60, 0.3)])
    found = judge(fallen, np.full(100, 0.02), np.full(100, 0.35))
    assert found.alarm is not None and found.alarm < 40
    assert found.highest >= 1 / ALPHA and found.p_value == 1 / found.highest
    assert judge(fallen[:5], np.full(5, 0.02), np.full(5, 0.35)).alarm is None
    assert judge(np.empty(0), np.empty(0), np.empty(0)).p_value == 1.0


def test_a_promise_outside_its_bound_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="outside its bound"):
        wealth(np.zeros(2), np.array([0.1, 0.4]), np.array([0.4, 0.4]))
