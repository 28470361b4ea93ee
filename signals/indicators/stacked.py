"""Trailing windows of several series at once: one fold, one count and one merge serve K series as one array [T, K, C].

A new bar of one instrument costs the calls, not the arithmetic. A missing value is missing: windows are formed of the others
while they hold 80 % of them (`signals.features.windows`).

Windows that end at the newest rows of series none of which is missing are merged in one, all widths at once. The merges are those
of `signals.features.windows`, on the same operands: results are equal to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.features.windows import Base, Fold, Merge, Moments, Observations, State, Step, needed, runs
from signals.market.bars import Floats

if TYPE_CHECKING:
    from signals.indicators.columns import IndicatorBars


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
    """(n_b / n, n_a n_b / n) of the merge `step`, of the shape of what is merged or of none: numpy is quickest so."""
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
        return _plan_weights(step, self.plan.widths.shape[1:])

    def fold(self, leaf: Moments, merge: Merge[np.float64], *_: Base) -> LastRows:
        """Windows of all widths."""
        return LastRows(leaf, merge, self.plan)

    weighted = fold


Widths: TypeAlias = int | tuple[int, ...]
"""One width, or several: what is made of several has one more axis, the first."""


def size_of(n: Widths) -> float | Floats:
    """The width as a number, or the widths as a column of numbers."""
    return float(n) if isinstance(n, int) else np.array(n, np.float64)[:, None, None]


def mapped(table: Mapping[int, int], n: Widths) -> Widths:
    """What the table has for the width, or for each."""
    return table[n] if isinstance(n, int) else tuple(table[one] for one in n)


class together:  # a decorator
    """A formula (bars, n) that also takes several windows at once, and gives (W, T, C): of a new bar that is less to call."""

    def __init__(self, make: Callable[[IndicatorBars, Widths], Floats]) -> None:
        self._make, self.__doc__ = make, make.__doc__

    def __call__(self, bars: IndicatorBars, n: Widths) -> Floats:
        """Return the formula of one window or of several."""
        return self._make(bars, n)


class Runs:
    """Counts of windows over series that are valid in one run of rows each, which is nearly all: in closed form, without a fold.

    Parameters
    ----------
    start, end : int, shape (1, K, C), or with 1 in the place of K or C
        A series is valid at the rows start <= t < end, and at no other.
    """

    def __init__(self, rows: int, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        self.is_full = bool((start == 0).all() and (end == rows).all())
        self._row, self._start, self._end = np.arange(1, rows + 1)[:, None, None], start, end
        self._counts: dict[int, NDArray[np.uint16]] = {}
        self._divisors: dict[int, Floats] = {}
        self.weights: dict[Step, tuple[Floats, Floats]] = {}

    def window(self, width: int) -> tuple[NDArray[np.uint16]]:
        """Valid observations of the trailing window at each row."""
        if width not in self._counts:
            seen = np.minimum(self._row, self._end) - np.maximum(self._row - width, self._start)
            self._counts[width] = np.maximum(seen, 0).astype(np.uint16)
        return (self._counts[width],)

    def divisor(self, width: int) -> Floats:
        """The counts, NaN where they are too few."""
        if width not in self._divisors:
            count = self.window(width)[0]
            self._divisors[width] = np.where(count >= needed(width), count, np.nan)
        return self._divisors[width]

    def operands(self, step: Step) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Valid observations of the newer run of a merge, and of both, at the rows that are merged."""
        width, bit = (step[0], step[1]) if len(step) == 2 else (1 << step[0], step[0])
        newer = (width >> (bit + 1)) << (bit + 1) if len(step) == 2 else width
        return self.window(newer)[0][newer:], self.window(newer + (1 << bit))[0][newer:]


class RunObservations(Observations):
    """Observations whose counts are those of `Runs`."""

    def __init__(self, valid: NDArray[np.bool_], runs: Runs) -> None:
        super().__init__(valid)
        self._runs, self._weights = runs, runs.weights

    def count(self, width: int) -> NDArray[np.uint16]:
        """Valid observations in each window."""
        return self._runs.window(width)[0]

    def divisor(self, width: int) -> Floats:
        """The counts, NaN where they are too few."""
        return self._runs.divisor(width)

    def filled(self, x: Floats, missing: float = 0.0) -> Floats:
        """`x` with `missing` where the observation is not valid."""
        return x if self._runs.is_full else super().filled(x, missing)

    def weights(self, step: Step) -> tuple[Floats, Floats]:
        """(n_b / n, n_a n_b / n) of the merge `step`; zero where nothing is merged."""
        if step not in self._weights:
            now, both = self._runs.operands(step)
            share = now / np.maximum(both, 1)
            self._weights[step] = share, (both - now) * share
        return self._weights[step]

    def weighted(self, leaf: Moments, merge: Merge[np.float64], *bases: Base) -> Fold[np.float64]:
        """Fold whose merge (step, older, newer, out) asks for `weights(step)`."""
        return self.fold(leaf, merge, *bases)


@lru_cache(maxsize=64)
def _runs(rows: int, places: int, edges: bytes) -> Runs:
    """`Runs` that stacks with the same edges share, shape (1, K, C) each."""
    start, end = np.frombuffer(edges, np.int64).reshape(2, 1, places, -1)
    return Runs(rows, start, end)


def _observations(valid: NDArray[np.bool_]) -> Observations:
    """Observations of `valid`, shape (T, K, C); counts and weights that all columns or series share are formed once."""
    rows = len(valid)
    count = np.add.reduce(valid, axis=0, dtype=np.int64, keepdims=True)
    start = valid.argmax(axis=0)[None]
    end = np.where(count > 0, rows - valid[::-1].argmax(axis=0)[None], start)
    if not np.array_equal(end - start, count):
        return Observations(valid)
    edges = np.concatenate([start, end])
    for axis in (2, 1):
        one = edges.take([0], axis=axis)
        if (edges == one).all():
            edges, valid = one, valid.take([0], axis=axis)
    return RunObservations(valid, _runs(rows, edges.shape[1], edges.tobytes()))


class Stacked:
    """Trailing windows of several series of one shape, folded together.

    A width may be one or several: of several, results have one more axis, the first.

    Parameters
    ----------
    series : float64, shape (T, C) each
        By name. NaN and infinite values count as missing.
    partners : series of the same names, shape (T, C), or one of shape (T, 1)
        The second series of a pair; a pair is missing where either is.
    rows, widths : int, tuple of int
        Where given, the windows of these widths that end at the last `rows` rows alone are formed: results have that many rows
        (or all of fewer), and the series may reach back unlike far beyond what those windows read.
    """

    def __init__(
        self,
        series: Mapping[str, Floats],
        partners: Mapping[str, Floats] | Floats | None = None,
        *,
        rows: int = 0,
        widths: tuple[int, ...] = (),
    ) -> None:
        self._place = {name: place for place, name in enumerate(series)}
        self._widths, self._end = widths if rows else (), slice(-rows if rows else None, None)
        height = rows + max(widths) - 1 if rows else 0
        end = slice(-height if rows else None, None)
        cut = [one[end] for one in series.values()]
        self._x = np.concatenate(cut, axis=1).reshape(len(cut[0]), len(cut), -1)
        valid = np.isfinite(self._x)
        self._y: Floats | None = None
        if isinstance(partners, np.ndarray):
            self._y = partners[end, None]
        elif partners is not None:
            self._y = np.concatenate([partners[name][end] for name in series], axis=1).reshape(self._x.shape)
            valid &= np.isfinite(self._y)
        self._observed: Observations
        self._plan: MergePlan | None = None
        if rows and len(valid) == height and valid.all():
            self._plan = plan_of(rows, widths, valid[0].size)
            self._observed = WholeObservations(valid, self._plan)
        else:
            self._observed = _observations(valid)
        self._folds: dict[str, Fold[np.float64]] = {}
        self._made: dict[tuple[str, int], list[Floats]] = {}

    def _found(self, kind: str, name: str, width: Widths) -> list[Floats]:
        """Results of the series' windows, shape (rows, C) or (W, rows, C) each."""
        own: tuple[Any, ...]
        if (plan := self._plan) is not None:
            made = self._made.get((kind, 0)) or self._together(kind, plan)
            own = plan.place[width] if isinstance(width, int) else [plan.place[one] for one in width], self._place[name], self._end
        elif isinstance(width, int):
            made = self._made.get((kind, width)) or self._every(kind, width)
            own = self._place[name], self._end
        else:
            return [np.stack(parts) for parts in zip(*(self._found(kind, name, one) for one in width), strict=True)]
        return [array[own] for array in made]

    def _every(self, kind: str, width: int) -> list[Floats]:
        if self._widths and width not in self._widths:
            raise InvariantBroken(f"a window of {width} bars where those announced are {self._widths}")
        make, finish = KINDS[kind]
        if kind not in self._folds:
            self._folds[kind] = make(self._observed, self._x, self._y)
        made = [a.transpose(1, 0, 2) for a in finish(self._folds[kind].window(width), self._observed.divisor(width))]
        self._made[kind, width] = made if self._widths else [np.ascontiguousarray(a) for a in made]
        return self._made[kind, width]

    def _together(self, kind: str, plan: MergePlan) -> list[Floats]:
        make, finish = KINDS[kind]
        fold: Any = make(self._observed, self._x, self._y)
        shape = *plan.first.shape, *self._x.shape[1:]
        self._made[kind, 0] = [a.reshape(shape).swapaxes(1, 2) for a in finish(fold.windows(), plan.widths)]
        return self._made[kind, 0]

    def last(self, rows: int) -> Stacked:
        """The same windows, of the last rows alone."""
        other = object.__new__(Stacked)
        other.__dict__.update(self.__dict__, _end=slice(-rows, None))
        return other

    def mean(self, name: str, width: Widths) -> Floats:
        """Mean of the window's valid observations."""
        return self._found("sum", name, width)[0]

    def highest(self, name: str, width: Widths) -> Floats:
        """Largest valid observation of the window."""
        return self._found("most", name, width)[0]

    def moments(self, name: str, width: Widths) -> tuple[Floats, Floats]:
        """(mean, variance), ddof 0."""
        mean, variance = self._found("moments", name, width)
        return mean, variance

    def joint(self, name: str, width: Widths) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """(mean x, variance x, mean y, variance y, covariance), ddof 0."""
        mx, vx, my, vy, cxy = self._found("joint", name, width)
        return mx, vx, my, vy, cxy

    def four(self, name: str, width: Widths) -> tuple[Floats, Floats, Floats, Floats]:
        """(mean, second, third, fourth central moment)."""
        mean, second, third, fourth = self._found("four", name, width)
        return mean, second, third, fourth


def _joint(observed: Observations, x: Floats, y: Floats | None) -> Fold[np.float64]:
    assert y is not None  # a stack of pairs
    return observed.joint_moments(x, y)


def _joint_finished(s: State[np.float64], count: Floats) -> State[np.float64]:
    nothing = np.zeros_like(s[0]) * count
    return s[0] + nothing, s[1] / count, s[2] + nothing, s[3] / count, s[4] / count


def _four(observed: Observations, x: Floats, _: Floats | None) -> Fold[np.float64]:
    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        q, harmonic = observed.weights(step)
        of_four = four_weights(q) if plan is None else _plan_four_weights(step, plan.widths.shape[1:])
        _merge_four(older, newer, out, (q, *of_four), harmonic)

    plan = observed.plan if isinstance(observed, WholeObservations) else None
    leaf = observed.filled(x)
    nothing = np.zeros_like(leaf)
    return observed.weighted((leaf, nothing, nothing, nothing), merge)


Make: TypeAlias = Callable[[Observations, Floats, Floats | None], Fold[np.float64]]
Finish: TypeAlias = Callable[[State[np.float64], Floats], State[np.float64]]
KINDS: Mapping[str, tuple[Make, Finish]] = {
    "sum": (lambda observed, x, _: observed.sums(x), lambda s, count: (s[0] / count,)),
    "most": (lambda observed, x, _: observed.extremes(x, largest=True), lambda s, count: (s[0] + 0.0 * count,)),
    "moments": (lambda observed, x, _: observed.moments(x), lambda s, count: (s[0] + 0.0 * count, s[1] / count)),
    "joint": (_joint, _joint_finished),
    "four": (_four, lambda s, count: (s[0] + 0.0 * count, s[1] / count, s[2] / count, s[3] / count)),
}
"""Of each kind of result: the fold, and what its state and the count of a window's observations make."""


def _merge_four(older: Moments, newer: Moments, out: Moments, shares: tuple[Floats, ...], harmonic: Floats) -> None:
    """Merge (mean, M2, M3, M4); Pebay 2008, "Formulas for robust, one-pass parallel computation of covariances", eqs. 2.1, 3.1."""
    q, p, pp, qq, both, apart = shares
    d = newer[0] - older[0]
    square = d * d * harmonic
    np.add(older[0], d * q, out=out[0])
    fourth = 4.0 * (p * newer[2] - q * older[2]) + d * (6.0 * (pp * newer[1] + qq * older[1]) + square * both)
    np.add(older[3] + newer[3], d * fourth, out=out[3])
    third = 3.0 * (p * newer[1] - q * older[1]) + square * apart
    np.add(older[2] + newer[2], d * third, out=out[2])
    np.add(older[1] + newer[1], square, out=out[1])
