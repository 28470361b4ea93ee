"""Weights by age and uniqueness: half as much one half-life ago, and nothing unless asked for."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.labelled import market
from trainer.labels.uniqueness import average_uniqueness
from trainer.labels.weights import WeightConfig, reweighted, time_decay, uniqueness_by_symbol


def test_a_row_one_half_life_older_weighs_half() -> None:
    assert time_decay(np.array([0, 63, 126]), 3.0).tolist() == [0.25, 0.5, 1.0]


def test_nothing_is_changed_unless_something_is_turned_on() -> None:
    weight = np.array([1.0, 2.0])
    ones = np.array([1, 1])
    assert reweighted(weight, ones - 1, ones, ones, WeightConfig()) is weight


def test_decay_keeps_the_mean_at_one_and_sessions_in_proportion() -> None:
    rows, _ = market(1, sessions=200)
    found = reweighted(rows.weight, rows.t0, rows.t1, rows.column, WeightConfig(half_life_months=1.0))
    assert found.mean() == pytest.approx(1.0)
    totals = np.bincount(rows.t0, weights=found)
    assert totals[150] / totals[129] == pytest.approx(2.0)


def test_uniqueness_is_that_of_each_symbol_apart() -> None:
    """Two names with interleaved rows: each as if it were alone; lives start after the features' session."""
    t0, t1 = np.array([0, 0, 2, 3, 5]), np.array([3, 2, 4, 6, 7])
    column = np.array([0, 1, 0, 1, 1])
    found = uniqueness_by_symbol(t0, t1, column)
    for name in (0, 1):
        own = column == name
        np.testing.assert_allclose(found[own], average_uniqueness(t0[own] + 1, t1[own]))
    assert found[0] == pytest.approx((1 + 1 + 0.5) / 3)  # sessions 1, 2, 3; the other label lives on 3 and 4


def test_both_multiply() -> None:
    t0, t1, column = np.array([0, 21]), np.array([2, 23]), np.array([0, 0])
    config = WeightConfig(half_life_months=1.0, uniqueness=True)
    np.testing.assert_allclose(reweighted(np.ones(2), t0, t1, column, config), [2 / 3, 4 / 3])
