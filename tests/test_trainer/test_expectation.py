"""The promise that training makes: its fans hold the lives of the model they were drawn from."""

from __future__ import annotations

import numpy as np

from execution.yardstick import Lived, lived
from signals.market.bars import Opens
from signals.monitoring.expectation import read_expectation
from signals.text.documents import to_json
from tests.fakes.bars import all_filled
from trainer.tasks.rank_return import AFTER, LEVELS, MIN_SESSIONS, expectation, fans
from trainer.validation.ic import persistent_mean

NAMES, SESSIONS = 60, 500


def market(seed: int, skill: float, sessions: int = SESSIONS) -> tuple[np.ndarray, Opens]:
    """Scores that correlate with what follows by about `skill`."""
    rng = np.random.default_rng(seed)
    following = rng.normal(0, 0.02, (sessions, NAMES))
    return skill * following / 0.02 + rng.normal(size=(sessions, NAMES)), all_filled(following)


def calm(sessions: int = SESSIONS) -> tuple[np.ndarray, np.ndarray]:
    return np.full((sessions, NAMES), 0.02), np.full((sessions, NAMES), 1e8)


def test_nine_in_ten_lives_of_the_same_model_end_inside_the_fan_and_a_decayed_one_below() -> None:
    """Sixty sessions each, of other years of the same market: between 75 % and 99 % inside for every figure."""
    scores, following = market(1, 0.10)
    found = read_expectation({"expectation": to_json(expectation(scores, following, calm(), 5, seed=1))}, "evidence.json")
    assert found is not None
    inside: dict[str, list[bool]] = {"ic": [], "turnover": [], "drawdown": []}
    for seed in range(100, 160):
        seen = lived(*market(seed, 0.10, 65), 5)
        value = np.cumprod(1 + seen.net)
        fall = float((1 - value / np.maximum(np.maximum.accumulate(value), 1.0)).max())
        for name, live in (("ic", np.nanmean(seen.ic)), ("turnover", seen.turnover.mean()), ("drawdown", fall)):
            low, high = (found.band(name, len(seen.rows))[i] for i in (0, -1))
            inside[name].append(low <= live <= high)
    assert all(0.75 <= np.mean(held) <= 0.99 for held in inside.values()), {k: np.mean(v) for k, v in inside.items()}
    decayed = lived(*market(200, -0.02, 65), 5)
    assert np.nanmean(decayed.ic) < found.band("ic", 60)[0]


def test_what_is_promised_is_the_proof_s_mean_less_its_own_uncertainty() -> None:
    scores, following = market(2, 0.10)
    found = expectation(scores, following, calm(), 5, seed=1)
    assert found is not None
    seen = lived(scores, following, 5)
    bound = found.ic.bound
    assert np.mean(np.abs(seen.ic) <= bound) >= 0.99
    mean = persistent_mean(np.clip(seen.ic, -bound, bound), 10)
    assert found.ic.promised == mean.mean - 1.6448536269514722 * mean.standard_error
    assert 0.03 < found.ic.promised < found.ic.mean


def test_fans_of_a_constant_life_are_lines() -> None:
    """0.1 % a session for ever: no drawdown, and every quantile of the means is the constant."""
    same = np.full(100, 0.02)
    lived_through = Lived(np.arange(100), same, same / 2, np.full(100, 0.001), same / 4, np.zeros((100, 10)))
    found = fans(lived_through, 10, np.random.default_rng(0))
    for name, constant in (("ic", 0.02), ("turnover", 0.01), ("impact", 0.005), ("drawdown", 0.0)):
        assert np.shape(getattr(found, name)) == (len(AFTER), len(LEVELS))
        np.testing.assert_allclose(getattr(found, name), constant, atol=1e-12)


def test_the_same_seed_draws_the_same_lives_and_so_little_promises_nothing() -> None:
    scores, following = market(3, 0.05)
    once, again = (expectation(scores, following, calm(), 5, seed=4) for _ in range(2))
    assert once == again != expectation(scores, following, calm(), 5, seed=5)
    few = MIN_SESSIONS + 4
    short = tuple(panel[:few] for panel in calm())
    assert expectation(scores[:few], following.at(np.arange(len(scores))[:few], np.arange(NAMES)), short, 5, seed=4) is None


def test_a_name_without_volume_or_a_session_without_trades_costs_nothing_and_breaks_nothing() -> None:
    scores, following = market(3, 0.05)
    volatility, adv = calm()
    adv[:, 0], volatility[:, 1], adv[:, 2] = 0.0, np.nan, np.nan
    found = read_expectation({"expectation": expectation(scores, following, (volatility, adv), 5, 1)}, "e")
    assert found is not None and found.fans.impact[0][0] > 0
    still = np.tile(np.arange(float(NAMES)), (SESSIONS, 1))
    quiet = read_expectation({"expectation": expectation(still, following, calm(), 5, 1)}, "e")
    assert quiet is not None and quiet.fans.impact[-1][-1] < 1e-9
