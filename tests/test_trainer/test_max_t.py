"""The best of many trials, however these correlate: known critical values, clones, blind trials and planted overfit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from signals.errors import InvariantBroken
from trainer.search.counting import Counted
from trainer.search.judgement import SearchEvidence, judge
from trainer.search.trial_log import Series, sharpe_of
from trainer.validation.significance.max_t import max_t

SESSIONS, TRIALS = 756, 40
DAYS = np.busday_offset(np.datetime64("2020-01-01"), np.arange(SESSIONS), roll="forward")


def family(seed: int, *, correlation: float, skill: float = 0.0, trials: int = TRIALS) -> np.ndarray:
    """Returns of trials that share a factor; `skill` is the annual Sharpe ratio of the factor."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((SESSIONS, 1)) + skill / np.sqrt(252.0)
    return 0.01 * (np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * rng.standard_normal((SESSIONS, trials)))


def best(returns: np.ndarray) -> np.ndarray:
    return returns[:, int(np.argmax([sharpe_of(column) for column in returns.T]))]


def alone(seed: int, t: float) -> np.ndarray:
    net = np.random.default_rng(seed).standard_normal(SESSIONS)
    return (net - net.mean()) / net.std() + t / np.sqrt(SESSIONS)


def test_one_trial_alone_has_the_p_value_of_its_t() -> None:
    for t in (0.5, 1.645, 2.5):
        found = max_t(alone(3, t), np.zeros((SESSIONS, 0)))
        assert found.t == pytest.approx(t, rel=0.12) and found.p == pytest.approx(norm.sf(found.t), abs=0.015)


def test_copies_of_one_trial_add_nothing() -> None:
    net = alone(4, 2.0)
    one, many = max_t(net, np.zeros((SESSIONS, 0))), max_t(net, np.repeat(3.0 * net[:, None], 50, axis=1))
    assert many.p == one.p and many.critical == pytest.approx(one.critical)


def test_independent_trials_and_blind_ones_ask_for_the_largest_of_so_many_normals() -> None:
    """The 5 % critical value of the largest of 41 is z(0.95 ^ (1/41)) = 3.02."""
    expected = norm.ppf(0.95 ** (1 / 41))
    returns = family(5, correlation=0.0)
    assert max_t(alone(4, 2.0), returns).critical == pytest.approx(expected, abs=0.15)
    assert max_t(alone(4, 2.0), np.zeros((SESSIONS, 0)), blind=40).critical == pytest.approx(expected, abs=0.15)


def test_correlated_trials_ask_for_less_than_independent_ones_and_for_more_than_one() -> None:
    critical = [max_t(alone(4, 2.0), family(6, correlation=rho)).critical for rho in (0.0, 0.9, 0.999)]
    assert critical[0] > critical[1] > critical[2] > 1.5


def test_sessions_that_a_trial_does_not_have_say_nothing() -> None:
    returns = family(7, correlation=0.5)
    gaps = returns.copy()
    gaps[:400, ::2] = np.nan
    found = max_t(alone(4, 2.5), gaps)
    assert 0.0 < found.p < 0.2 and np.isfinite(found.critical)
    with pytest.raises(InvariantBroken, match="never vary"):
        max_t(np.zeros(SESSIONS), returns)


@pytest.mark.parametrize("correlation", [0.5, 0.95])
def test_the_best_of_correlated_noise_is_refused_where_pbo_has_too_few_clusters(correlation: float) -> None:
    """Planted overfit: the best of 40 trials without skill. At 0.95 they are one cluster, and PBO does not apply.

    The best of most families (at 0.5) or of some (at 0.95: 12 %) has a t above 1.645, for which one trial alone would
    be believed; the bar lets through 5 % of families by construction, here no more than half of those.
    """
    lucky, passed = 0, 0
    for seed in range(30 if correlation < 0.9 else 120):
        returns = family(100 + seed, correlation=correlation)
        chosen = best(returns)
        if sharpe_of(chosen) * np.sqrt(SESSIONS) > 1.645:
            lucky += 1
            passed += max_t(chosen, returns, draws=500).p <= 0.05
    assert lucky >= (12 if correlation < 0.9 else 8) and passed <= lucky // 2


def test_skill_passes_whatever_the_correlation() -> None:
    for correlation in (0.5, 0.95):
        returns = family(9, correlation=correlation, skill=4.0)
        counted = Counted(tuple(Series(DAYS, column) for column in returns.T))
        found = judge(SearchEvidence(Series(DAYS, best(returns)), counted))
        assert found.max_t.p <= 0.05 and found.max_t.trials == TRIALS
        assert found.pbo.applicable is (correlation < 0.9)
