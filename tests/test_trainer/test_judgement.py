"""Figures of a search: how many tries count, what they deflate, and when overfitting can be measured at all."""

from __future__ import annotations

import numpy as np
import pytest

from signals.errors import InvariantBroken
from trainer.search.judgement import ENOUGH_CLUSTERS, Evidence, clusters, judge, variance_of_sharpes
from trainer.search.trial import State, Trial, packed, sharpe_of, unpacked
from trainer.validation.dsr import deflated_sharpe_ratio, expected_max, probabilistic_sharpe_ratio, sharpe_moments
from trainer.validation.pbo import probability_of_overfitting

SESSIONS = 504


def noise(seed: int, count: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, (SESSIONS, count))


def trials(returns: np.ndarray, state: State = State.COMPLETED) -> tuple[Trial, ...]:
    return tuple(Trial(number, state, {}, column) for number, column in enumerate(returns.T))


def case(returns: np.ndarray, tries: int = 0, baselines: dict[str, np.ndarray] | None = None) -> Evidence:
    best = returns[:, int(np.argmax([sharpe_of(column) for column in returns.T]))]
    return Evidence(best, trials(returns), baselines or {}, tries or returns.shape[1])


def test_one_try_is_not_deflated() -> None:
    net = noise(1, 1, 0.001)[:, 0]
    found, moments = judge(Evidence(net, (), {}, 1)), sharpe_moments(net)
    plain = probabilistic_sharpe_ratio(
        moments.sharpe, SESSIONS, skewness=moments.skewness, kurtosis=moments.kurtosis
    )  # fmt: skip
    assert found["dsr"] == found["psr"] == pytest.approx(plain) and found["benchmark_sharpe"] == 0.0
    assert found["sharpe"]["annual"] == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))


def test_more_tries_raise_the_bar_by_the_expected_maximum() -> None:
    few, many = judge(case(noise(2, 12))), judge(case(noise(2, 12), tries=1000))
    assert many["benchmark_sharpe"] / few["benchmark_sharpe"] == pytest.approx(expected_max(1000) / expected_max(12))
    assert many["dsr"] < few["dsr"] and many["dsr_2025"] < few["dsr_2025"]
    assert many["n_trials"] == 1000


def test_tries_can_not_be_fewer_than_the_trials_that_there_are() -> None:
    with pytest.raises(InvariantBroken, match="cannot be fewer"):
        judge(case(noise(2, 12), tries=11))


def test_a_hundred_clones_do_not_make_the_bar_weaker() -> None:
    """Their Sharpe ratios have no variance; the floor of 1 / (T - 1) stands in its place."""
    found = judge(case(np.repeat(noise(3, 1), 100, axis=1)))
    assert found["variance_of_sharpes"] == pytest.approx(1.0 / (SESSIONS - 1))
    assert found["benchmark_sharpe"] == pytest.approx(expected_max(100) / np.sqrt(SESSIONS - 1))
    assert found["pbo"]["clusters"] == 1 and not found["pbo"]["applicable"]


def test_pruned_and_failed_trials_count_and_pruned_ones_vary_the_sharpes() -> None:
    returns = noise(4, 3)
    pruned = Trial(3, State.PRUNED, {}, returns[:50, 0] - 0.05)
    failed = Trial(4, State.FAILED, {}, np.zeros(0), "no")
    everyone = (*trials(returns), pruned, failed)
    ratios = [sharpe_of(column) for column in returns.T] + [sharpe_of(pruned.net)]
    assert variance_of_sharpes(everyone) == pytest.approx(np.var(ratios, ddof=1))
    found = judge(Evidence(returns[:, 0], everyone, {}, 5))
    assert found["n_trials"] == 5 and found["pbo"]["complete_trials"] == 3
    assert found["states"] == {"completed": 3, "pruned": 1, "failed": 1, "interrupted": 0}


def test_the_deflated_ratio_is_that_of_its_own_module() -> None:
    returns = noise(5, 20)
    found, one = judge(case(returns)), sharpe_moments(case(returns).chosen)
    expected = deflated_sharpe_ratio(
        one.sharpe, SESSIONS, trials=20, variance_of_trials=float(np.var([sharpe_of(c) for c in returns.T], ddof=1)),
        skewness=one.skewness, kurtosis=one.kurtosis,
    )  # fmt: skip
    assert found["dsr"] == pytest.approx(expected, abs=1e-12)


def test_overfitting_is_measured_over_clusters_and_baselines() -> None:
    """Twelve independent trials, each three times with a little noise, are twelve clusters."""
    base = noise(6, 12)
    copies = np.repeat(base, 3, axis=1) + 1e-4 * np.random.default_rng(0).normal(size=(SESSIONS, 36))
    baseline = noise(7, 1)[:, 0]
    found = judge(case(copies, baselines={"ridge": baseline}))["pbo"]
    means = np.column_stack([*(copies[:, 3 * i : 3 * i + 3].mean(axis=1) for i in range(12)), baseline])
    assert found["applicable"] and found["clusters"] == 12
    assert found["value"] == probability_of_overfitting(means).pbo


def test_under_ten_clusters_it_is_not_applicable_and_the_loss_out_of_sample_stands_in() -> None:
    found = judge(case(noise(8, ENOUGH_CLUSTERS - 1, mean=0.005)))["pbo"]
    assert found["value"] is None and "not applicable: 9 clusters" in found["reason"]
    assert found["probability_of_loss"] <= 0.05
    assert judge(case(noise(8, 5, mean=-0.005)))["pbo"]["probability_of_loss"] == 1.0


def test_a_chain_of_likenesses_is_one_cluster_and_a_flat_series_its_own() -> None:
    """a ~ b and b ~ c beyond 0.9, a ~ c below: one cluster."""
    rng = np.random.default_rng(0)
    a, d = rng.normal(size=(2, 100_000))
    columns = np.column_stack([a, a + 0.45 * d, a + 0.95 * d, np.zeros_like(a), d])
    correlation = np.corrcoef(columns[:, :3].T)
    assert correlation[0, 1] > 0.9 and correlation[1, 2] > 0.9 and correlation[0, 2] < 0.9
    member = clusters(columns)
    assert len(set(member[:3])) == 1 and len(set(member)) == 3


def test_a_book_that_never_moved_has_no_figures_but_its_tries_count() -> None:
    found = judge(Evidence(np.zeros(100), (), {}, 7))
    assert found["n_trials"] == 7 and found["sharpe"] is None and found["dsr"] is None


def test_a_loss_has_no_minimum_lengths() -> None:
    found = judge(case(noise(9, 3, mean=-0.01)))
    assert found["min_trl_sessions"] is None and found["min_btl_years"] is None


def test_returns_survive_as_text_to_the_bit() -> None:
    net = noise(10, 1)[:, 0]
    np.testing.assert_array_equal(unpacked(packed(net)), net)
    assert len(unpacked(packed(np.zeros(0)))) == 0
