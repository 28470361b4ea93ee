"""Rank IC and its uncertainty, against scipy, by hand, and on real momentum."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from tests.fakes.bars import synthetic_bars, yf_bars
from trainer.labels.horizon import horizon_labels
from trainer.validation.deciles import (
    Trading,
    book_weights,
    capacity,
    decile_curve,
    decile_of,
    spread_series,
    trading,
    trading_conditions,
    turnover,
)
from trainer.validation.ic import Mean, by_offset, overlapping_mean, persistent_mean, rank_ic, traded_mean


def test_each_session_s_ic_is_scipy_s_spearman_of_the_names_present_in_both() -> None:
    rng = np.random.default_rng(0)
    scores, labels = np.round(rng.normal(size=(2, 30, 40)), 1)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    labels[rng.random(labels.shape) < 0.1] = np.nan
    expected = []
    for a, b in zip(scores, labels, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        expected.append(spearmanr(a[both], b[both]).statistic)
    np.testing.assert_allclose(rank_ic(scores, labels), expected, atol=1e-14)


def test_constant_scores_and_thin_sessions_have_no_ic() -> None:
    labels = np.arange(24.0).reshape(2, 12)
    scores = labels.copy()
    scores[0] = 1.0
    scores[1, :3] = np.nan
    assert np.isnan(rank_ic(scores, labels)).all()
    assert rank_ic(labels, labels).tolist() == pytest.approx([1.0, 1.0])


def test_the_error_of_overlapping_labels_by_hand() -> None:
    """1, 2, 3, 6 with k = 2: deviations -2 -1 0 3, g0 = 14, g1 = 2 + 0 + 0 = 2, in full: 14 + 2 * 2 = 18.

    Pairs: 4 + 2 * 3 = 10 of 16, so SE^2 = 18 / (1 - 10/16) / 16 = 3 and t = 3 / sqrt 3.
    """
    found = overlapping_mean(np.array([1.0, 2.0, 3.0, 6.0]), 2)
    expected = (3.0, np.sqrt(3.0), np.sqrt(3.0), 4)
    assert (found.mean, found.standard_error, found.t, found.sessions) == pytest.approx(expected)
    assert norm.sf(found.t) == pytest.approx(0.0416323, abs=1e-7)


def test_sessions_without_a_figure_keep_the_others_apart() -> None:
    """1, -, 2, 3, 6: only 2 to 3 and 3 to 6 are neighbours. g0 = 14, g1 = 0 + 0; pairs 4 + 2 * 2 = 8 of 16."""
    found = overlapping_mean(np.array([1.0, np.nan, 2.0, 3.0, 6.0]), 2)
    assert (found.mean, found.standard_error, found.sessions) == pytest.approx((3.0, np.sqrt(14 / 0.5) / 4, 4))


def test_labels_that_share_nothing_have_the_plain_standard_error_with_ddof_one() -> None:
    series = np.random.default_rng(1).normal(size=200)
    assert overlapping_mean(series, 1).standard_error == pytest.approx(series.std(ddof=1) / np.sqrt(200))


def test_the_error_of_a_persistent_series_by_hand() -> None:
    """1, 2, 3, 6 at lag 1: 14 + 2 * 1/2 * 2 = 16; b = 2/4, critical value 1.96 + 1.4847 + 0.104 - 0.06655 = 3.48215."""
    found = persistent_mean(np.array([1.0, 2.0, 3.0, 6.0]), 1)
    assert found.standard_error == pytest.approx(np.sqrt(16) / 4 * 3.48215 / 1.96)
    assert found.t == pytest.approx(3.0 / found.standard_error)


def test_the_error_of_trades_by_hand() -> None:
    """Trades that live for one session of ten: lag 3, over the root of 1 - 3/10; those that end with theirs have the least lag alone."""
    series = np.random.default_rng(1).normal(size=10)
    plain, traded = persistent_mean(series, 3), traded_mean(series, 1, 2)
    assert traded.standard_error == pytest.approx(plain.standard_error / np.sqrt(0.7)) and traded.mean == plain.mean
    assert traded.t == pytest.approx(traded.mean / traded.standard_error)
    assert traded_mean(series, 0, 2) == persistent_mean(series, 2)
    assert np.isnan(traded_mean(series, 4, 2).t) and np.isnan(traded_mean(series[:0], 1, 2).t)


def test_a_sum_that_is_not_positive_falls_back_to_weights_that_are() -> None:
    """+1, -1, +1, ... with k = 2: 8 + 2 * (-7) is below zero; Bartlett weights never are."""
    series = np.tile([1.0, -1.0], 4)
    assert overlapping_mean(series, 2) == persistent_mean(series, 10)
    assert overlapping_mean(series, 2).standard_error > 0.0
    two = overlapping_mean(np.array([0.1, 0.3]), 5)
    assert two == persistent_mean(np.array([0.1, 0.3]), 25) and np.isfinite(two.standard_error)
    for nothing in (overlapping_mean(np.array([0.1, np.nan]), 5), overlapping_mean(np.array([0.2, 0.2]), 1)):
        assert np.isnan(nothing.t)


@pytest.mark.parametrize(("sessions", "least", "most"), [(2_500, 0.021, 0.029), (1_050, 0.021, 0.029), (252, 0.021, 0.032)])
def test_noise_with_5_session_labels_is_called_skill_as_often_as_the_p_value_says(sessions: int, least: float, most: float) -> None:
    """10,000 histories of noise, both tails: how often p is below 2.5 % one-sided."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(10_000):
        summed = np.cumsum(np.concatenate([[0.0], rng.normal(size=sessions + 4)]))
        p = norm.sf(overlapping_mean(summed[5:] - summed[:-5], 5).t)
        found.append(min(p, 1.0 - p))
    rate = float(np.mean(np.array(found) < 0.025)) / 2.0
    print(f"{sessions} sessions: {rate:.2%} one-sided at nominal 2.5 %")
    assert least <= rate <= most


def test_offsets_take_every_kth_session_and_use_ddof_one() -> None:
    means = by_offset(np.array([1.0, 10.0, 2.0, 20.0, 6.0]), 2)
    assert [m.mean for m in means] == [3.0, 15.0]
    assert means[0].standard_error == pytest.approx(np.sqrt(7.0 / 3.0))
    assert [m.sessions for m in means] == [3, 2]


def test_overlapping_labels_make_the_naive_error_too_small() -> None:
    """A 5-session moving sum of noise: the true error of the mean is sqrt(5) times the naive one."""
    noise = np.random.default_rng(2).normal(size=20_000)
    overlapping = np.convolve(noise, np.ones(5), mode="valid")
    naive, honest = overlapping_mean(overlapping, 1), overlapping_mean(overlapping, 5)
    assert honest.standard_error / naive.standard_error == pytest.approx(np.sqrt(5), rel=0.05)
    assert persistent_mean(overlapping, 80).standard_error == pytest.approx(honest.standard_error, rel=0.1)


@pytest.mark.slow
def test_momentum_on_the_real_file_is_not_significant_once_overlap_is_counted() -> None:
    """12-1 momentum against 5-session labels, 2013-2021: naive t 2.45, honest 1.12, every fifth session 1.03."""
    bars = yf_bars(symbols=10_000, first=date(2013, 1, 1), last=date(2021, 12, 31), min_history=253)
    growth = np.log1p(bars.total_return)
    momentum = np.full(growth.shape, np.nan)
    summed = np.nancumsum(growth, axis=0)
    momentum[252:] = summed[231:-21] - summed[:-252]
    momentum[~bars.eligible] = np.nan
    labels = horizon_labels(bars, 5)
    series = rank_ic(momentum, labels.values)
    naive, honest = overlapping_mean(series, 1), overlapping_mean(series, 5)
    apart = np.mean([m.t for m in by_offset(series, 5)])
    assert (naive.t, honest.t, apart) == pytest.approx((2.45, 1.12, 1.03), abs=0.1)


def ten_by(labels_of_decile: list[float], sessions: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Twenty names, two per decile, with the given label per decile, for `sessions` identical sessions."""
    scores = np.tile(np.arange(20.0), (sessions, 1))
    labels = np.tile(np.repeat(labels_of_decile, 2), (sessions, 1))
    return scores, labels


def test_deciles_hold_a_tenth_each_and_the_curve_is_in_excess_of_the_session() -> None:
    scores, labels = ten_by([d / 100 for d in range(10)])
    deciles = decile_of(scores)
    assert np.bincount(deciles[0].astype(int)).tolist() == [2] * 10
    assert decile_curve(deciles, labels) == pytest.approx([d / 100 - 0.045 for d in range(10)])
    assert spread_series(deciles, labels) == pytest.approx([0.09] * 6)


def test_a_label_beyond_100_percent_counts_in_full_in_the_decile_figures() -> None:
    """Twenty names, two a decile; one of the top two gains 28,233 %: the top decile's mean is half of that."""
    scores, labels = ten_by([0.0] * 10)
    labels[0, np.argmax(scores[0])] = 282.33
    assert spread_series(decile_of(scores), labels)[0] == pytest.approx(282.33 / 2.0)


def test_an_unchanging_ranking_turns_nothing_over() -> None:
    scores, _ = ten_by([0.0] * 10)
    weights = book_weights(decile_of(scores), 3)
    assert weights.shape == (4, 20)
    assert weights[0].tolist() == [-0.25, -0.25, *[0.0] * 16, 0.25, 0.25]
    assert turnover(weights).per_session == 0.0


def test_a_ranking_that_flips_once_turns_one_cohort_of_k_over() -> None:
    """k = 2: after the flip half of the gross-1 book is reversed, twice: |dw| sums to 1 each, one-way 1/2 each."""
    scores, _ = ten_by([0.0] * 10, sessions=6)
    scores[3:] *= -1.0
    weights = book_weights(decile_of(scores), 2)
    one_way = 0.5 * np.abs(np.diff(weights, axis=0)).sum(axis=1)
    assert one_way.tolist() == [0.0, 0.5, 0.5, 0.0]
    assert turnover(weights).per_session == pytest.approx(0.25)


def test_capacity_is_where_impact_halves_what_the_spread_left() -> None:
    """Two names swap once: |dw| = 1 each over one change; spread 2 % per session (k = 1): gain 1 %.

    Half-spread 2.5 bps of 2 traded = 5 bps; net 0.95 %. Impact(E) = 2 * 0.02 * sqrt(E / 1e8); half the net at
    E = (0.0095 / 2 / 0.04)^2 * 1e8 = 1,410,156.25.
    """
    weights = np.array([[0.5, -0.5], [-0.5, 0.5]])
    costs = trading(weights, np.full((2, 2), 0.02), np.full((2, 2), 1e8))
    assert (costs.traded, costs.impact) == pytest.approx((2.0, 4e-6))
    worth = capacity(Mean(0.02, 0.005, 4.0, 2), costs, 1)
    assert worth.net_of_spread_annual == pytest.approx(0.0095 * 252)
    assert worth.break_even_spread_bps == pytest.approx(100.0)
    assert worth.equity_usd == pytest.approx(1_410_156.25)
    low, high = (0.02 - 1.96 * 0.005) / 2 - 0.0005, (0.02 + 1.96 * 0.005) / 2 - 0.0005
    assert worth.equity_low_usd == pytest.approx((low / 2 / 4e-6) ** 2)
    assert worth.equity_high_usd == pytest.approx((high / 2 / 4e-6) ** 2)


def test_the_capacity_of_two_paths_is_that_of_their_mean_and_not_the_mean_of_theirs() -> None:
    """One path lucky, one not: spreads of 4 % and 0. The mean of their capacities is more than twice the honest one."""
    costs = Trading(2.0, 4e-6)
    honest, lucky, none = (capacity(Mean(spread, 0.0, np.nan, 2), costs, 1) for spread in (0.02, 0.04, 0.0))
    assert none.equity_usd == 0.0
    assert (lucky.equity_usd + none.equity_usd) / 2 > 2 * honest.equity_usd > 0


def test_a_ranking_that_loses_has_no_capacity() -> None:
    worth = capacity(Mean(-0.005, 0.01, -0.5, 2), Trading(2.0, 4e-6), 1)
    assert worth.equity_usd == worth.equity_low_usd == 0.0 < worth.equity_high_usd


def test_trading_conditions_are_trailing_and_use_ddof_one() -> None:
    bars = synthetic_bars(5, sessions=60, symbols=4, missing=0.0)
    volatility, adv_usd = trading_conditions(bars)
    window = slice(20, 40)
    assert volatility[39, 2] == pytest.approx(bars.total_return[window, 2].std(ddof=1))
    assert adv_usd[39, 2] == pytest.approx((bars.close * bars.volume)[window, 2].mean())
    assert np.isnan(volatility[18]).all()
