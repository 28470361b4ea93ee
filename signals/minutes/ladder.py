"""The ladder of timeframes: the bars of a coarser or finer timeframe that are known at a moment.

At a decision whose bar ENDs e minutes after the open a rung shows its last bar that has closed,

    searchsorted(ends, e, side="right") - 1

never the one that contains e. Before the session's own first bar that is the last one of the session before.
"""

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from signals.minutes.bars import Counts
from signals.minutes.stretch import Stretch

RUNGS = (1, 5, 10, 15, 20, 25, 30, 45, 60)


def as_of(rung: Stretch, ends: Counts) -> Counts:
    """Row of `rung` that is the last closed bar at each of `ends`, int64 (n, S): minutes from the open; rows (n, S).

    Raises
    ------
    InvariantBroken
        `ends` has other sessions than the rung, or the rung has no warm-up to show before its first bar closes.
    """
    if ends.ndim != 2 or ends.shape[1] != len(rung.sessions):
        raise InvariantBroken(f"moments of shape {ends.shape} for {len(rung.sessions)} sessions")
    if rung.warm_up < 1:
        raise InvariantBroken("a rung without a warm-up has nothing to show at the open")
    rows = np.empty(ends.shape, dtype=np.int64)
    for column in range(ends.shape[1]):
        rows[:, column] = np.searchsorted(rung.ends[:, column], ends[:, column], side="right") - 1
    return rows


def shown(values: Floats, rows: Counts) -> Floats:
    """Values of a rung, float64 (W + B, S), at the rows that `as_of` found, (n, S)."""
    return np.take_along_axis(values, rows, axis=0)
