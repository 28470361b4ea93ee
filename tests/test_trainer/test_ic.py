"""Rank IC and its uncertainty, against scipy, by hand, and on real momentum."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.fakes.bars import synthetic_bars, yf_bars
from trainer.labels.horizon import horizon_labels
from trainer.validation.deciles import (
    book_weights,
    capacity,
    capped,
    decile_curve,
    decile_of,
    spread_series,
    trading_conditions,
    turnover,
)
from trainer.validation.ic import by_offset, newey_west, rank_ic


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


def test_newey_west_of_four_numbers_by_hand() -> None:
    """1, 2, 3, 6: mean 3, deviations -2 -1 0 3, g0 = 14/4, g1 = (2 + 0 + 0)/4 = 1/2; lag 1 weighs it 1/2.

    S = 3.5 + 2 * 0.5 * 0.5 = 4, SE = sqrt(4 / 4) = 1.
    """
    found = newey_west(np.array([1.0, np.nan, 2.0, 3.0, 6.0]), 1)
    assert (found.mean, found.standard_error, found.t, found.sessions) == pytest.approx((3.0, 1.0, 3.0, 4))


def test_lag_zero_is_the_plain_standard_error_with_ddof_zero() -> None:
    series = np.random.default_rng(1).normal(size=200)
    assert newey_west(series, 0).standard_error == pytest.approx(series.std() / np.sqrt(200))


def test_offsets_take_every_kth_session_and_use_ddof_one() -> None:
    means = by_offset(np.array([1.0, 10.0, 2.0, 20.0, 6.0]), 2)
    assert [m.mean for m in means] == [3.0, 15.0]
    assert means[0].standard_error == pytest.approx(np.sqrt(7.0 / 3.0))
    assert [m.sessions for m in means] == [3, 2]


def test_overlapping_labels_make_the_naive_error_too_small() -> None:
    """A 5-session moving sum of noise: the true error of the mean is about sqrt(5) times the naive one."""
    noise = np.random.default_rng(2).normal(size=20_000)
    overlapping = np.convolve(noise, np.ones(5), mode="valid")
    ratio = newey_west(overlapping, 8).standard_error / newey_west(overlapping, 0).standard_error
    assert ratio == pytest.approx(np.sqrt(5) * np.sqrt(0.75), rel=0.12)  # Bartlett at lag 8 keeps about 3/4 of it
    assert newey_west(overlapping, 80).standard_error == pytest.approx(np.sqrt(5) * np.sqrt(5 / 20_000), rel=0.15)


def test_momentum_on_the_real_file_is_not_significant_once_overlap_is_counted() -> None:
    """12-1 momentum against 5-session labels, 2013-2021: naive t 2.45, Newey-West 1.21, every fifth session 1.03."""
    bars = yf_bars(symbols=10_000, first=date(2013, 1, 1), last=date(2021, 12, 31), min_history=253)
    growth = np.log1p(bars.total_return)
    momentum = np.full(growth.shape, np.nan)
    summed = np.nancumsum(growth, axis=0)
    momentum[252:] = summed[231:-21] - summed[:-252]
    momentum[~bars.eligible] = np.nan
    labels = horizon_labels(bars, 5)
    series = rank_ic(momentum, labels.values)
    naive, honest = newey_west(series, 0), newey_west(series, 8)
    apart = np.mean([m.t for m in by_offset(series, 5)])
    assert (naive.t, honest.t, apart) == pytest.approx((2.45, 1.21, 1.03), abs=0.15)


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


def test_a_stitched_series_cannot_be_the_whole_decile_figure() -> None:
    """+28,233 % in five sessions, as one real vendor's file holds, counts as +100 % and is reported."""
    held, beyond = capped(np.array([[282.33, -0.5, np.nan, 1.0]]))
    assert held[0].tolist() == pytest.approx([1.0, -0.5, np.nan, 1.0], nan_ok=True)
    assert beyond == 1


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
    worth = capacity(np.array([0.02, 0.02]), weights, np.full((2, 2), 0.02), np.full((2, 2), 1e8), 1)
    assert worth.net_of_spread_annual == pytest.approx(0.0095 * 252)
    assert worth.break_even_spread_bps == pytest.approx(100.0)
    assert worth.equity_usd == pytest.approx(1_410_156.25)


def test_a_ranking_that_loses_has_no_capacity() -> None:
    weights = np.array([[0.5, -0.5], [-0.5, 0.5]])
    assert capacity(np.array([-0.02, 0.01]), weights, np.full((2, 2), 0.02), np.full((2, 2), 1e8), 1).equity_usd == 0.0


def test_trading_conditions_are_trailing_and_use_ddof_one() -> None:
    bars = synthetic_bars(5, sessions=60, symbols=4, missing=0.0)
    volatility, adv_usd = trading_conditions(bars)
    window = slice(20, 40)
    assert volatility[39, 2] == pytest.approx(bars.total_return[window, 2].std(ddof=1))
    assert adv_usd[39, 2] == pytest.approx((bars.close * bars.volume)[window, 2].mean())
    assert np.isnan(volatility[18]).all()
