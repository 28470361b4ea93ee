"""Trailing windows of several series at once: one fold, one count and one merge serve K series as one array [T, K, C].

A new bar of one instrument costs the calls, not the arithmetic. A missing value is missing: windows are formed of the others
while they hold 80 % of them (`signals.features.windows`).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from signals.features.folding import Base, Fold, Merge, State, Step
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
        return Fold(leaf, merge, newest_only=False, bases=bases)


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
    """

    def __init__(self, series: Mapping[str, Floats], partners: Mapping[str, Floats] | Floats | None = None) -> None:
        self._place = {name: place for place, name in enumerate(series)}
        self._x = np.stack(list(series.values()), axis=1)
        valid = np.isfinite(self._x)
        self._y: Floats | None = None
        if isinstance(partners, np.ndarray):
            self._y = partners[:, None]
        elif partners is not None:
            self._y = np.stack([partners[name] for name in series], axis=1)
            valid &= np.isfinite(self._y)
        self._observed = _observations(valid)
        self._folds: dict[str, Fold[np.float64]] = {}
        self._made: dict[tuple[str, int], list[Floats]] = {}

    def _windows(
        self, kind: str, width: int, make: Callable[[], Fold[np.float64]], finish: Callable[[State[np.float64], Floats], State[np.float64]]
    ) -> list[Floats]:
        if (kind, width) not in self._made:
            if kind not in self._folds:
                self._folds[kind] = make()
            state = self._folds[kind].window(width)
            divisor = _divisor(self._observed, width)
            self._made[kind, width] = [np.ascontiguousarray(a.transpose(1, 0, 2)) for a in finish(state, divisor)]
        return self._made[kind, width]

    def mean(self, name: str, width: int) -> Floats:
        """Mean of the window's valid observations."""
        made = self._windows("sum", width, lambda: self._observed.sums(self._x), lambda state, count: (state[0] / count,))
        found: Floats = made[0][self._place[name]]
        return found

    def highest(self, name: str, width: int) -> Floats:
        """Largest valid observation of the window."""
        made = self._windows(
            "most", width, lambda: self._observed.extremes(self._x, largest=True), lambda state, count: (state[0] + 0.0 * count,)
        )
        found: Floats = made[0][self._place[name]]
        return found

    def moments(self, name: str, width: int) -> tuple[Floats, Floats]:
        """(mean, variance), ddof 0."""
        made = self._windows("moments", width, lambda: self._observed.moments(self._x), lambda s, count: (s[0] + 0.0 * count, s[1] / count))
        return made[0][self._place[name]], made[1][self._place[name]]

    def joint(self, name: str, width: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """(mean x, variance x, mean y, variance y, covariance), ddof 0."""

        def make() -> Fold[np.float64]:
            assert self._y is not None  # a stack of pairs
            return self._observed.joint_moments(self._x, self._y)

        def finish(s: State[np.float64], count: Floats) -> State[np.float64]:
            nothing = np.zeros_like(s[0]) * count
            return s[0] + nothing, s[1] / count, s[2] + nothing, s[3] / count, s[4] / count

        mx, vx, my, vy, cxy = (array[self._place[name]] for array in self._windows("joint", width, make, finish))
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

        mean, second, third, fourth = (array[self._place[name]] for array in self._windows("four", width, make, finish))
        return mean, second, third, fourth


def _divisor(observed: Observations, width: int) -> Floats:
    if isinstance(observed, RunObservations):
        return observed.divisor(width)
    count = observed.count(width)
    return np.where(count >= needed(width), count, np.nan)


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
