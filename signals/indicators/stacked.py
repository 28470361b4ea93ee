"""Trailing windows of several series at once: one fold, one count and one merge serve K series as one array [T, K, C].

A new bar of one instrument costs the calls, not the arithmetic. A missing value is missing: windows are formed of the others
while they hold 80 % of them (`signals.features.windows`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.features.folding import Base, Fold, Merge, State, Step, runs
from signals.features.windows import Moments, Observations, needed
from signals.market.bars import Floats


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


class LastRows(Fold[np.float64]):
    """Windows of the last `rows` rows, where no observation is missing: the merges of `Fold`, of those rows alone.

    A state is one array, its parts along the first axis: what a new bar costs is the number of calls.
    """

    def __init__(self, leaf: Moments, merge: Merge[np.float64], rows: int) -> None:
        super().__init__(leaf, merge, newest_only=True)
        whole = leaf[0][None]
        if len(leaf) > 1:
            whole = np.empty((len(leaf), *leaf[0].shape))
            for place, part in enumerate(leaf):
                whole[place] = part
        self._rows, self._whole = rows, [whole]

    def _newest(self, width: int) -> Moments:
        first, *rest = _runs_of(width)
        for bit in range(len(self._whole) - 1, first):
            level, gap = self._whole[bit], 1 << bit
            self._whole.append(self._merged((bit,), level[:, :-gap], level[:, gap:]))
        state, span = self._whole[first][:, -self._rows :], 1 << first
        for bit in rest:
            state = self._merged((width, bit), self._whole[bit][:, -self._rows - span : -span], state)
            span += 1 << bit
        return state  # type: ignore[return-value]  # an array whose first axis is the tuple

    def _merged(self, step: Step, older: Floats, newer: Floats) -> Floats:
        out = np.empty(newer.shape)
        self._merge(step, older, newer, out)  # type: ignore[arg-type]  # as above
        return out


_runs_of = lru_cache(maxsize=512)(runs)


@lru_cache(maxsize=512)
def _plain(width: int) -> Floats:
    return np.asarray(float(width))


@lru_cache(maxsize=4096)
def _whole_weights(step: Step) -> tuple[Floats, Floats]:
    width, bit = (step[0], step[1]) if len(step) == 2 else (2 << step[0], step[0])
    now = (width >> (bit + 1)) << (bit + 1) if len(step) == 2 else 1 << bit
    share = now / (now + (1 << bit))
    return np.asarray(share), np.asarray((1 << bit) * share)


class WholeObservations(Observations):
    """Observations none of which is missing, for the windows of the last `rows` rows: counts and weights are plain numbers."""

    def __init__(self, valid: NDArray[np.bool_], rows: int) -> None:
        super().__init__(valid)
        self._rows = rows

    def divisor(self, width: int) -> Floats:
        """The width."""
        return _plain(width)

    def filled(self, x: Floats, missing: float = 0.0) -> Floats:
        """`x` itself."""
        return x

    def weights(self, step: Step) -> tuple[Floats, Floats]:
        """(n_b / n, n_a n_b / n) of the merge `step`."""
        return _whole_weights(step)

    def fold(self, leaf: Moments, merge: Merge[np.float64], *_: Base) -> Fold[np.float64]:
        """Fold of the last rows."""
        return LastRows(leaf, merge, self._rows)

    def weighted(self, leaf: Moments, merge: Merge[np.float64], *_: Base) -> Fold[np.float64]:
        """Fold of the last rows."""
        return LastRows(leaf, merge, self._rows)


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

    Parameters
    ----------
    series : float64, shape (T, C) each
        By name. NaN and infinite values count as missing.
    partners : series of the same names, shape (T, C), or one of shape (T, 1)
        The second series of a pair; a pair is missing where either is.
    rows, longest : int
        Where given, the windows of the last `rows` rows alone are formed, of at most `longest` bars: results have that many rows
        (or all of fewer), and the series may reach back unlike far beyond what those windows read.
    """

    def __init__(
        self, series: Mapping[str, Floats], partners: Mapping[str, Floats] | Floats | None = None, *, rows: int = 0, longest: int = 0
    ) -> None:
        self._place = {name: place for place, name in enumerate(series)}
        self._longest, self._end = longest if rows else 0, slice(-rows if rows else None, None)
        end = slice(-(rows + longest - 1) if rows else None, None)
        cut = [one[end] for one in series.values()]
        self._x = np.concatenate(cut, axis=1).reshape(len(cut[0]), len(cut), -1)
        valid = np.isfinite(self._x)
        self._y: Floats | None = None
        if isinstance(partners, np.ndarray):
            self._y = partners[end, None]
        elif partners is not None:
            self._y = np.concatenate([partners[name][end] for name in series], axis=1).reshape(self._x.shape)
            valid &= np.isfinite(self._y)
        whole = rows and len(valid) == rows + longest - 1 and valid.all()
        self._observed = WholeObservations(valid, rows) if whole else _observations(valid)
        self._folds: dict[str, Fold[np.float64]] = {}
        self._made: dict[tuple[str, int], list[Floats]] = {}

    def _windows(
        self, kind: str, width: int, make: Callable[[], Fold[np.float64]], finish: Callable[[State[np.float64], Floats], State[np.float64]]
    ) -> list[Floats]:
        if (kind, width) not in self._made:
            if kind not in self._folds:
                self._folds[kind] = make()
            if self._longest and width > self._longest:
                raise InvariantBroken(f"a window of {width} bars where at most {self._longest} were announced")
            made = [a.transpose(1, 0, 2) for a in finish(self._folds[kind].window(width), self._observed.divisor(width))]
            self._made[kind, width] = made if self._longest else [np.ascontiguousarray(a) for a in made]
        return self._made[kind, width]

    def last(self, rows: int) -> Stacked:
        """The same windows, of the last rows alone."""
        other = object.__new__(Stacked)
        other.__dict__.update(self.__dict__, _end=slice(-rows, None))
        return other

    def _own(self, made: list[Floats], name: str) -> list[Floats]:
        own = self._place[name], self._end
        return [array[own] for array in made]

    def mean(self, name: str, width: int) -> Floats:
        """Mean of the window's valid observations."""
        made = self._made.get(("sum", width)) or self._windows(
            "sum", width, lambda: self._observed.sums(self._x), lambda state, count: (state[0] / count,)
        )
        found: Floats = made[0][self._place[name], self._end]
        return found

    def highest(self, name: str, width: int) -> Floats:
        """Largest valid observation of the window."""
        made = self._made.get(("most", width)) or self._windows(
            "most", width, lambda: self._observed.extremes(self._x, largest=True), lambda state, count: (state[0] + 0.0 * count,)
        )
        found: Floats = made[0][self._place[name], self._end]
        return found

    def moments(self, name: str, width: int) -> tuple[Floats, Floats]:
        """(mean, variance), ddof 0."""
        made = self._windows("moments", width, lambda: self._observed.moments(self._x), lambda s, count: (s[0] + 0.0 * count, s[1] / count))
        mean, variance = self._own(made, name)
        return mean, variance

    def joint(self, name: str, width: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """(mean x, variance x, mean y, variance y, covariance), ddof 0."""

        def make() -> Fold[np.float64]:
            assert self._y is not None  # a stack of pairs
            return self._observed.joint_moments(self._x, self._y)

        def finish(s: State[np.float64], count: Floats) -> State[np.float64]:
            nothing = np.zeros_like(s[0]) * count if count.ndim else 0.0 * count
            return s[0] + nothing, s[1] / count, s[2] + nothing, s[3] / count, s[4] / count

        mx, vx, my, vy, cxy = self._own(self._windows("joint", width, make, finish), name)
        return mx, vx, my, vy, cxy

    def four(self, name: str, width: int) -> tuple[Floats, Floats, Floats, Floats]:
        """(mean, second, third, fourth central moment)."""

        def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
            _merge_four(older, newer, out, *self._observed.weights(step))

        def make() -> Fold[np.float64]:
            leaf = self._observed.filled(self._x)
            nothing = np.zeros_like(leaf)
            return self._observed.weighted((leaf, nothing, nothing, nothing), merge)

        def finish(s: State[np.float64], count: Floats) -> State[np.float64]:
            return s[0] + 0.0 * count, s[1] / count, s[2] / count, s[3] / count

        mean, second, third, fourth = self._own(self._windows("four", width, make, finish), name)
        return mean, second, third, fourth


def _merge_four(older: Moments, newer: Moments, out: Moments, share: Floats, harmonic: Floats) -> None:
    """Merge (mean, M2, M3, M4); Pebay 2008, "Formulas for robust, one-pass parallel computation of covariances", eqs. 2.1, 3.1."""
    q = share
    p = 1.0 - q
    d = newer[0] - older[0]
    square = d * d * harmonic
    np.add(older[0], d * q, out=out[0])
    fourth = 4.0 * (p * newer[2] - q * older[2]) + d * (6.0 * (p * p * newer[1] + q * q * older[1]) + square * (p * p - p * q + q * q))
    np.add(older[3] + newer[3], d * fourth, out=out[3])
    third = 3.0 * (p * newer[1] - q * older[1]) + square * (p - q)
    np.add(older[2] + newer[2], d * third, out=out[2])
    np.add(older[1] + newer[1], square, out=out[1])
