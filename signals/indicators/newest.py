"""Windows that end at the newest rows of series none of which is missing: all widths merged in one, so that a new bar costs few calls.

The merges are those of `signals.features.folding`, on the same operands: results are equal to the bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.features.folding import Base, Fold, Merge, Step, runs
from signals.features.windows import Moments, Observations
from signals.market.bars import Floats


def four_weights(q: Floats) -> tuple[Floats, ...]:
    """P = 1 - q, p^2, q^2, p^2 - p q + q^2 and p - q, for the merge of four moments."""
    p = 1.0 - q
    return p, p * p, q * q, p * p - p * q + q * q, p - q


@dataclass(frozen=True, eq=False)
class MergePlan:
    """How windows of several widths that end at the last rows are merged, the longest run of each first.

    Attributes
    ----------
    levels : tuple of (slice, slice, Step)
        Rows of the older and of the newer run that make each of twice their size, from 2 on, and the two sizes.
    place : dict of width to its place
        Widths of many runs come first, so that those that have another run to merge are the first ones.
    widths : float64, shape (W, R, K C)
    first : int64, shape (W, R)
        Where each width's newest run is, among the rows of all levels one after the other.
    rest : tuple of (int64, shape (V, R), Step)
        Where the next run of the first V widths is, and the sizes that are merged: V newer and V older ones.
    """

    levels: tuple[tuple[slice, slice, Step], ...]
    place: Mapping[int, int]
    widths: Floats
    first: NDArray[np.int64]
    rest: tuple[tuple[NDArray[np.int64], Step], ...]

    def weights(self, step: Step) -> tuple[Floats, Floats]:
        """(n_b / n, n_a n_b / n) of the merge `step`, of the shape of what is merged or of none: numpy is quickest so."""
        return _plan_weights(step, self.widths.shape[1:])

    def four_weights(self, step: Step) -> tuple[Floats, ...]:
        """What the merge of four moments makes of the first."""
        return _plan_four_weights(step, self.widths.shape[1:])


@lru_cache(maxsize=256)
def plan_of(rows: int, widths: tuple[int, ...], wide: int) -> MergePlan:
    """MergePlan of windows of the last `rows` of `rows` + longest - 1 rows of `wide` numbers."""
    longest = max(widths)
    height, ends = rows + longest - 1, np.arange(longest - 1, rows + longest - 1)
    ordered = sorted(widths, key=lambda width: -width.bit_count())
    bits = [runs(width) for width in ordered]
    rest = []
    for turn in range(1, max(len(one) for one in bits)):
        some = [one for one in bits if len(one) > turn]
        spans = [sum(1 << bit for bit in one[:turn]) for one in some]
        at = np.array([one[turn] * height - span for one, span in zip(some, spans, strict=True)])[:, None] + ends
        rest.append((at, (*spans, *(1 << one[turn] for one in some))))
    first = np.array([one[0] * height for one in bits])[:, None] + ends
    full = np.repeat(np.array(ordered, np.float64), rows * wide).reshape(-1, rows, wide)
    sizes = [1 << level for level in range(longest.bit_length() - 1)]
    levels = tuple((slice(size - 1, height - size), slice(2 * size - 1, height), (size, size)) for size in sizes)
    return MergePlan(levels, {width: number for number, width in enumerate(ordered)}, full, first, tuple(rest))


@lru_cache(maxsize=1024)
def _plan_weights(step: Step, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    if len(step) == 2:
        newer, older = np.asarray(float(step[0])), np.asarray(float(step[1]))
    else:
        newer, older = np.repeat(np.array(step, np.float64), shape[0] * shape[1]).reshape(2, -1, *shape)
    share = newer / (newer + older)
    return np.asarray(share), np.asarray(older * share)


@lru_cache(maxsize=64)
def _plan_four_weights(step: Step, shape: tuple[int, int]) -> tuple[Floats, ...]:
    return four_weights(_plan_weights(step, shape)[0])


class LastRows(Fold[np.float64]):
    """Windows that end at the last rows, where no observation is missing: the merges of `Fold`, of all widths in one.

    A state is one array, its parts along the first axis: what a new bar costs is the number of calls.
    """

    def __init__(self, leaf: Moments, merge: Merge[np.float64], plan: MergePlan) -> None:
        super().__init__(leaf, merge, newest_only=True)
        self._plan = plan

    def windows(self) -> Floats:
        """State of every width, shape (parts, W, R, K C)."""
        leaf, plan = self.leaf, self._plan
        levels = np.empty((len(leaf), len(plan.levels) + 1, len(leaf[0]), plan.widths.shape[2]))
        for place, part in enumerate(leaf):
            levels[place, 0].reshape(leaf[0].shape)[...] = part
        merge: Any = self._merge  # of arrays whose first axis is the tuple
        run = levels[:, 0]
        for level, (older, newer, step) in enumerate(plan.levels, start=1):
            twice = levels[:, level]
            merge(step, run[:, older], run[:, newer], twice[:, newer])
            run = twice
        every = levels.reshape(len(leaf), -1, plan.widths.shape[2])
        state = every.take(plan.first, axis=1)
        for at, step in plan.rest:
            some = state[:, : len(at)]
            merge(step, every.take(at, axis=1), some, some)
        return state


class WholeObservations(Observations):
    """Observations none of which is missing, for windows that end at the last rows: counts and weights are those of the plan."""

    def __init__(self, valid: NDArray[np.bool_], plan: MergePlan) -> None:
        super().__init__(valid)
        self.plan = plan

    def filled(self, x: Floats, missing: float = 0.0) -> Floats:
        """`x` itself."""
        return x

    def weights(self, step: Step) -> tuple[Floats, Floats]:
        """(n_b / n, n_a n_b / n) of the merge `step`."""
        return self.plan.weights(step)

    def fold(self, leaf: Moments, merge: Merge[np.float64], *_: Base) -> LastRows:
        """Windows of all widths."""
        return LastRows(leaf, merge, self.plan)

    def weighted(self, leaf: Moments, merge: Merge[np.float64], *_: Base) -> LastRows:
        """Windows of all widths."""
        return LastRows(leaf, merge, self.plan)
