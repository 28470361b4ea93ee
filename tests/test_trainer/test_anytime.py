"""An interval that holds at every time: against its definition, its error under peeking, and what it finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trainer.validation.significance.anytime import interval_at_all_times


def drawn(mean: float, count: int, seed: int, deviation: float = 0.1) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(mean, deviation, count), -1.0, 1.0)


def test_no_value_leaves_everything_and_one_rules_out_the_edge_alone() -> None:
    """A value of 1 multiplies the capital against m by 1 + (1 - m) / 2m: 2 / 0.05 where m = 1/79, a mean of -0.975."""
    none, one = (interval_at_all_times(np.array(values), 0.1) for values in ([], [1.0]))
    assert (none.low, none.high, none.values) == (-1.0, 1.0, 0)
    assert (one.low, one.high, one.values) == (pytest.approx(2 / 79 - 1, abs=5.1e-4), 1.0, 1)


def test_the_interval_only_narrows() -> None:
    values = drawn(0.02, 120, 1)
    ends = [interval_at_all_times(values[:count], 0.1) for count in range(0, 121, 20)]
    assert all(a.low <= b.low and b.high <= a.high for a, b in pairwise(ends))
    assert ends[-1].high - ends[-1].low < 0.4


def test_a_capital_by_hand() -> None:
    """x = 1 against m = 0.5: the stake is cut to c/m = 1, and the capital grows by half: 1.5^10 = 57.7 > 40."""
    nine, ten = (interval_at_all_times(np.ones(count), 0.1) for count in (9, 10))
    assert nine.low < 0.0 <= ten.low  # 1.5^9 = 38.4


@pytest.mark.parametrize("mean", [0.0, 0.0136])
def test_the_mean_is_missed_at_any_time_by_one_sequence_in_twenty_at_most(mean: float) -> None:
    """Forty sequences of 400 values with a deviation that was thought half as large, looked at after every one."""
    found = [interval_at_all_times(drawn(mean, 400, seed), 0.05) for seed in range(40)]
    assert sum(not one.low - 5e-4 <= mean <= one.high + 5e-4 for one in found) <= 4


def test_peeking_at_the_usual_test_finds_what_is_not_there() -> None:
    """Why not the usual one: looked at after every value from the tenth on, it is wrong far more often than 5 %."""
    wrong = 0
    for seed in range(40):
        values = drawn(0.0, 400, seed)
        count = np.arange(1, 401)
        mean, square = np.cumsum(values) / count, np.cumsum(values**2) / count
        t = mean / np.sqrt(np.maximum(square - mean**2, 1e-12) / count)
        wrong += bool((np.abs(t[10:]) > 1.96).any())
    assert wrong >= 8


def test_a_flipped_model_is_found_in_time() -> None:
    found = interval_at_all_times(drawn(-0.05, 300, 3), 0.1)
    assert found.high < 0.0


def test_values_that_share_no_mean_leave_no_candidate() -> None:
    values = np.concatenate([np.full(200, 0.9), np.full(400, -0.9)])
    found = interval_at_all_times(values, 0.1)
    assert np.isnan(found.low) and np.isnan(found.high)
