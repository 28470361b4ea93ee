"""Figures of what was tried: how many trials count, what they deflate, and when overfitting can be measured at all."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.search.counting import Counted
from trainer.search.judgement import ENOUGH_CLUSTERS, SearchEvidence, aligned, clusters, hurdles, judge, variance_of_sharpes
from trainer.search.trial_log import Series, packed, packed_days, sharpe_of, unpacked, unpacked_days
from trainer.validation.significance.dsr import (
    deflated_sharpe_ratio,
    expected_max,
    probabilistic_sharpe_ratio,
    sessions_needed,
    sharpe_moments,
)
from trainer.validation.significance.pbo import probability_of_overfitting

SESSIONS = 504
DAYS = np.busday_offset(np.datetime64("2020-01-01"), np.arange(SESSIONS), roll="forward")


def noise(seed: int, count: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, (SESSIONS, count))


def on_days(returns: np.ndarray) -> tuple[Series, ...]:
    return tuple(Series(DAYS, column) for column in returns.T)


def case(returns: np.ndarray, blind: int = 0, baselines: dict[str, np.ndarray] | None = None) -> SearchEvidence:
    best = returns[:, int(np.argmax([sharpe_of(column) for column in returns.T]))]
    rules = {name: Series(DAYS, net) for name, net in (baselines or {}).items()}
    return SearchEvidence(Series(DAYS, best), Counted(on_days(returns), blind, rules))


def test_one_try_is_not_deflated() -> None:
    net = noise(1, 1, 0.001)[:, 0]
    found, moments = judge(SearchEvidence(Series(DAYS, net), Counted(()))), sharpe_moments(net)
    plain = probabilistic_sharpe_ratio(moments.sharpe, SESSIONS, skewness=moments.skewness, kurtosis=moments.kurtosis)
    assert found.n_trials == 1
    assert found.dsr == found.psr == pytest.approx(plain) and found.benchmark_sharpe == 0.0
    assert found.sharpe.annual == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))


def test_more_tries_raise_the_bar_by_the_expected_maximum() -> None:
    few, many = judge(case(noise(2, 12))), judge(case(noise(2, 12), blind=988))
    assert many.benchmark_sharpe / few.benchmark_sharpe == pytest.approx(expected_max(1000) / expected_max(12))
    assert many.dsr < few.dsr and many.dsr_2025 < few.dsr_2025
    assert many.n_trials == 1000


def test_a_hundred_clones_do_not_make_the_bar_weaker() -> None:
    """Their Sharpe ratios have no variance; the floor of 1 / (T - 1) is in its place."""
    found = judge(case(np.repeat(noise(3, 1), 100, axis=1)))
    assert found.variance_of_sharpes == pytest.approx(1.0 / (SESSIONS - 1))
    assert found.benchmark_sharpe == pytest.approx(expected_max(100) / np.sqrt(SESSIONS - 1))
    assert found.pbo.clusters == 1 and not found.pbo.applicable


def test_clones_beside_trials_that_differ_do_not_hide_how_far_they_lie_apart() -> None:
    """Ninety-seven copies of one trial and three others: the clusters' Sharpe ratios vary more, and their hurdle rules.

    Raw: 100 trials of variance v. Effective: 4 clusters; E[max_4] = 1.05 against E[max_100] = 2.53, but a variance
    8.4 times as large.
    """
    means = np.array([0.0] * 97 + [0.004, -0.004, 0.004])
    base = noise(4, 1)
    others = noise(5, 3)
    returns = np.hstack([np.repeat(base, 97, axis=1), others])
    returns = returns - returns.mean(axis=0) + means
    found, (raw, effective) = judge(case(returns)), hurdles(Counted(on_days(returns)))
    assert (raw.trials, effective.trials) == (100, 4) and effective.variance / raw.variance > 8.0
    bars = [np.sqrt(h.variance) * expected_max(h.trials) for h in (raw, effective)]
    assert bars[1] > bars[0] and found.benchmark_sharpe == pytest.approx(bars[1])
    assert found.known_hurdles == (raw, effective)


def test_a_trial_without_returns_counts_and_a_shorter_one_varies_the_sharpes() -> None:
    returns = noise(4, 3)
    short = Series(DAYS[:50], returns[:50, 0] - 0.05)
    counted = Counted((*on_days(returns), short), blind=1)
    ratios = [sharpe_of(column) for column in returns.T] + [sharpe_of(short.net)]
    assert variance_of_sharpes([s.net for s in counted.series]) == pytest.approx(np.var(ratios, ddof=1))
    found = judge(SearchEvidence(Series(DAYS, returns[:, 0]), counted))
    assert found.n_trials == 5 and found.pbo.complete_trials == 3 and found.blind == 1


def test_the_deflated_ratio_is_that_of_its_own_module() -> None:
    returns = noise(5, 20)
    found, one = judge(case(returns)), sharpe_moments(case(returns).chosen.net)
    expected = deflated_sharpe_ratio(
        one.sharpe,
        SESSIONS,
        trials=20,
        variance_of_trials=float(np.var([sharpe_of(c) for c in returns.T], ddof=1)),
        skewness=one.skewness,
        kurtosis=one.kurtosis,
    )
    assert found.dsr == pytest.approx(expected, abs=1e-12)


def test_overfitting_is_measured_over_clusters_and_baselines() -> None:
    """Twelve independent trials, each three times with a little noise, are twelve clusters."""
    base = noise(6, 12)
    copies = np.repeat(base, 3, axis=1) + 1e-4 * np.random.default_rng(0).normal(size=(SESSIONS, 36))
    baseline = noise(7, 1)[:, 0]
    found = judge(case(copies, baselines={"ridge": baseline})).pbo
    means = np.column_stack([*(copies[:, 3 * i : 3 * i + 3].mean(axis=1) for i in range(12)), baseline])
    assert found.applicable and found.clusters == 12
    assert found.value == probability_of_overfitting(means).pbo


def test_under_ten_clusters_it_is_not_applicable_and_the_loss_out_of_sample_stands_in() -> None:
    found = judge(case(noise(8, ENOUGH_CLUSTERS - 1, mean=0.005))).pbo
    assert found.value is None and "not applicable: 9 clusters" in found.reason
    assert found.probability_of_loss <= 0.05
    assert judge(case(noise(8, 5, mean=-0.005))).pbo.probability_of_loss == 1.0


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
    found = judge(SearchEvidence(Series(DAYS[:100], np.zeros(100)), Counted((), blind=7)))
    assert found.n_trials == 7 and found.sharpe is None and found.dsr is None


def test_a_loss_has_no_minimum_lengths() -> None:
    found = judge(case(noise(9, 3, mean=-0.01)))
    assert found.min_trl_sessions is None and found.min_btl_years is None


def test_the_record_that_is_needed_clears_the_bar_and_one_session_less_does_not() -> None:
    """The same moments over so many sessions: DSR reaches 0.95 there by the published formula, and not before."""
    found = case(noise(11, 20, mean=0.0004), blind=3)
    moments, bars = sharpe_moments(found.chosen.net), hurdles(found.counted)
    needed = int(np.ceil(sessions_needed(moments, bars, 0.95)))

    def deflated(sessions: int) -> float:
        return min(
            deflated_sharpe_ratio(
                moments.sharpe,
                sessions,
                trials=h.trials,
                variance_of_trials=h.variance,
                skewness=moments.skewness,
                kurtosis=moments.kurtosis,
            )
            for h in bars
        )

    assert SESSIONS < needed < 10**6
    assert deflated(needed) >= 0.95 > deflated(needed - 1)


def test_trials_of_other_sessions_are_compared_where_they_meet() -> None:
    """Two halves of one series never meet and are two trials; a copy of one of them is one with it."""
    net = noise(12, 1)[:, 0]
    parts = (Series(DAYS[:300], net[:300]), Series(DAYS[300:], net[300:]), Series(DAYS[:400], net[:400]))
    assert list(clusters(aligned(parts)[1])) == [0, 0, 0]  # the third one meets both
    assert len(set(clusters(aligned(parts[:2])[1]))) == 2


def test_returns_survive_as_text_to_the_bit() -> None:
    np.testing.assert_array_equal(unpacked_days(packed_days(DAYS)), DAYS)
    for spoiled in ("x", packed(np.array([np.nan]))):
        with pytest.raises(ValueError, match=r"base64|padding|finite"):
            unpacked(spoiled)
    net = noise(10, 1)[:, 0]
    np.testing.assert_array_equal(unpacked(packed(net)), net)
    assert len(unpacked(packed(np.zeros(0)))) == 0
