"""Stability of the risk budgets between sleeves: their range under a block bootstrap, and their turnover from month to month.

A history is resampled in circular blocks of 21 sessions, the same for every book (Politis and Romano 1992), from a fixed seed. Month by
month the budgets are those of the 252 sessions before, as a device could have known them; half the sum of their changes is the turnover.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from portfolio.risk.hrp import budgets
from signals.market.bars import Floats
from trainer.validation.ic import BLOCK_SESSIONS

DRAWS, SEED, WINDOW = 200, 20260101, 252


@dataclass(frozen=True)
class BudgetStability:
    """Stability and turnover of risk budgets.

    Attributes
    ----------
    low, high : mapping of member to share
        Tenth and ninetieth percentile over resampled histories.
    resampled : float or None
        Share of all budgets that another history moves, half the sum of differences, in the mean; None without returns.
    turnover : float or None
        Share that moves from one month to the next, in the mean of `months`; None of a history of no two.
    """

    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    resampled: float | None = None
    turnover: float | None = None
    months: int = 0


def budget_stability(returns: Mapping[str, Floats]) -> BudgetStability:
    """Judge the budgets of books by their session returns, float64 (T,) on common sessions."""
    sessions = min(map(len, returns.values()), default=0)
    if not sessions:
        return BudgetStability()

    def shares(rows: slice | np.ndarray) -> Floats:
        return np.array(list(budgets({name: one[rows] for name, one in returns.items()}).values()))

    blocks = np.random.default_rng(SEED).integers(0, sessions, (DRAWS, -(-sessions // BLOCK_SESSIONS), 1))
    rows = ((blocks + np.arange(BLOCK_SESSIONS)) % sessions).reshape(DRAWS, -1)[:, :sessions]
    drawn = np.array([shares(one) for one in rows])
    months = np.array([shares(slice(end - WINDOW, end)) for end in range(WINDOW, sessions + 1, BLOCK_SESSIONS)]).reshape(-1, len(returns))
    moved = np.abs(np.diff(months, axis=0)).sum(axis=1) / 2.0
    low, high = (dict(zip(returns, np.quantile(drawn, share, axis=0).round(6).tolist(), strict=True)) for share in (0.1, 0.9))
    apart = np.abs(drawn - shares(slice(None))).sum(axis=1) / 2.0
    return BudgetStability(low, high, round(float(apart.mean()), 6), round(float(moved.mean()), 6) if len(moved) else None, len(moved))
