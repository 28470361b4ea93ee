"""Stability of risk budgets: their range under a block bootstrap, and their turnover from month to month."""

from __future__ import annotations

import numpy as np
import pytest

from portfolio.risk.hrp import budgets
from trainer.stacking.budgets import BudgetStability, budget_stability


def test_budgets_of_a_redrawn_history_are_as_far_apart_as_those_of_another_history() -> None:
    """Two like books: share v2 / (v1 + v2), whose deviation is 1/4 of that of ln v2 / v1, 2 / sqrt(T)."""
    rng, sessions = np.random.default_rng(4), 2520
    found = budget_stability({"a": rng.standard_normal(sessions), "b": rng.standard_normal(sessions)})
    others = [budgets({"a": x, "b": y})["a"] for x, y in rng.standard_normal((300, 2, sessions))]
    deviation = 0.5 / np.sqrt(sessions)
    assert np.std(others) == pytest.approx(deviation, rel=0.1)
    assert found.high["a"] - found.low["a"] == pytest.approx(2 * 1.2816 * deviation, rel=0.3)
    assert found.resampled == pytest.approx(np.sqrt(2 / np.pi) * deviation, rel=0.3)
    assert found.low["a"] + found.high["b"] == pytest.approx(1.0, abs=1e-5)


def test_turnover_is_what_moves_from_month_to_month() -> None:
    """Whole periods in every window: nothing moves. A book that goes from deviation 1 to 2 hands 0.5 to 0.2 of the risk over."""
    beat = {"a": np.tile([1.0, -1.0], 315), "b": np.tile([1.0, 1.0, -1.0, -1.0], 158)[:630]}
    still = budget_stability(beat)
    assert (still.turnover, still.months) == (0.0, (630 - 252) // 21)
    wild = np.r_[np.ones(315), np.full(315, 2.0)]
    moving = budget_stability({"a": beat["a"] * wild, "b": beat["b"]})
    assert moving.turnover is not None and moving.turnover * moving.months == pytest.approx(0.3, abs=0.01)
    assert budget_stability({"a": beat["a"][:200], "b": beat["b"][:200]}).turnover is None
    assert budget_stability({}) == BudgetStability()
    assert budget_stability({"a": np.zeros(300)}).turnover == 0.0, "a book that never moved has no share to move"
