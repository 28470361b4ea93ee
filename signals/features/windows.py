"""Trailing windows of arrays with missing values, built by doubling: count, sum, moments, maximum, minimum, paths of prices.

Moments are merged as (n, mean, M2) by Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance",
so that no difference of large sums is ever taken:

    n = n_a + n_b        d = mean_b - mean_a        mean = mean_a + d n_b / n
    M2 = M2_a + M2_b + d^2 n_a n_b / n              C = C_a + C_b + d_x d_y n_a n_b / n

`Observations` is the entry point. NaN policy: see `needed`.

A window of `width` observations is cut into runs whose lengths are the powers of two of `width`, the longest run
newest, and every run is halved down to single observations. A statistic is a leaf state and a merge of an older with
a newer state; a `Fold` applies the merges, on demand and each one once.

1. The value at t depends on the observations of its own window only: nothing is carried from window to window, so a
   spike, a large decay or a missing value has no effect once it has left.
2. The same merges, on the same operands, are done whether every session is asked for or the newest one only, and
   however much history stands before the window: the results are equal to the bit.
3. Observations before the first row count as missing: merging with nothing leaves the newer state as it is.

A path starts at 1 (log level 0) just before the window's first return, so that no price level of another session
enters. The run b that follows the run a starts where a ended:

    G = G_a G_b                        growth of a dollar
    P_b' = G_a P_b                     price relatives of b, seen from a's start
    L_b' = S_a + L_b                   log levels of b, S the sum of log returns

A session without a valid return adds no growth and its level is not observed. Ratios of the window's levels to one
another do not depend on where the path starts.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Floats

MAX_WIDTH = int(np.iinfo(np.uint16).max)  # observations are counted in uint16

S = TypeVar("S", bound=np.generic)
State: TypeAlias = tuple[NDArray[S], ...]
Step: TypeAlias = tuple[int, ...]
Merge: TypeAlias = Callable[[Step, State[S], State[S], State[S]], None]
"""(step, older, newer, out): write the merged state into the arrays of `out`."""


class Base(Protocol):
    """A fold that another one builds on."""

    def window(self, width: int) -> object:
        """Fold the window, so that its operands are there."""


def runs(width: int) -> list[int]:
    """Exponents of the powers of two that make up `width`, the longest run (the newest) first.

    >>> runs(20)
    [4, 2]
    """
    return [bit for bit in range(width.bit_length() - 1, -1, -1) if width >> bit & 1]


def span(step: Step) -> int:
    """Sessions of the newer of the two runs that a merge joins.

    >>> [span(step) for step in ((3,), (20, 2), (20, 4, 1))]
    [8, 16, 2]
    """
    if len(step) != 2:
        return 1 << step[-1]
    width, bit = step
    return width >> (bit + 1) << (bit + 1)


class Fold(Generic[S]):
    """The trailing windows of one statistic.

    Parameters
    ----------
    leaf : state of single observations, arrays of shape (T, N)
    newest_only : bool
        Fold the window that ends at the last row only: states have shape (1, N), and T is at least the width.
    bases : folds over the same rows
        Folded first, so that `merge` finds their `operands` of the same step.
    is_base : bool
        Keep what each merge read and wrote in `operands`, by step, for the folds that build on this one.
    """

    def __init__(self, leaf: State[S], merge: Merge[S], *, newest_only: bool, bases: tuple[Base, ...] = (), is_base: bool = False) -> None:
        self._merge, self._newest_only, self._bases, self._is_base = merge, newest_only, bases, is_base
        self.leaf = leaf
        self._levels = [leaf]
        self._windows: dict[int, State[S]] = {}
        self.operands: dict[Step, tuple[State[S], State[S], State[S]]] = {}

    def window(self, width: int) -> State[S]:
        """State of the trailing window of `width` rows at each session, arrays of shape (T, N) or (1, N).

        Raises
        ------
        InvariantBroken
            `width` is not between 1 and `MAX_WIDTH`.
        """
        if not 1 <= width <= MAX_WIDTH:
            raise InvariantBroken(f"a window of {width} sessions is not between 1 and {MAX_WIDTH}")
        for base in self._bases:
            base.window(width)
        if width not in self._windows:
            self._windows[width] = self._newest(width) if self._newest_only else self._every(width)
        return self._windows[width]

    def _every(self, width: int) -> State[S]:
        first, *rest = runs(width)
        for bit in range(len(self._levels) - 1, first):
            self._levels.append(self._shifted((bit,), self._levels[bit], self._levels[bit], 1 << bit))
        state, span = self._levels[first], 1 << first
        for bit in rest:
            state = self._shifted((width, bit), self._levels[bit], state, span)
            span += 1 << bit
        return state

    def _shifted(self, step: Step, older: State[S], newer: State[S], gap: int) -> State[S]:
        """Merge each row of `newer` with the row of `older` that is `gap` sessions before it."""
        joined = tuple([np.empty(array.shape, array.dtype) for array in newer])
        for whole, array in zip(joined, newer, strict=True):
            whole[:gap] = array[:gap]
        if gap < len(joined[0]):
            self._apply(step, tuple([a[:-gap] for a in older]), tuple([a[gap:] for a in newer]), tuple([a[gap:] for a in joined]))
        return joined

    def _newest(self, width: int) -> State[S]:
        end = len(self.leaf[0])
        parts: list[State[S]] = []
        for bit in runs(width):
            run = tuple(array[end - (1 << bit) : end] for array in self.leaf)
            end -= 1 << bit
            for level in range(bit):
                run = self._alone((width, bit, level), tuple(a[0::2] for a in run), tuple(a[1::2] for a in run))
            parts.append(run if not parts else self._alone((width, bit), run, parts[-1]))
        return parts[-1]

    def _alone(self, step: Step, older: State[S], newer: State[S]) -> State[S]:
        out = tuple(np.empty(array.shape, array.dtype) for array in newer)
        self._apply(step, older, newer, out)
        return out

    def _apply(self, step: Step, older: State[S], newer: State[S], out: State[S]) -> None:
        self._merge(step, older, newer, out)
        if self._is_base:
            self.operands[step] = (older, newer, out)


Moments = State[np.float64]

MIN_VALID_PERCENT = 80
"""A window's statistic is NaN unless at least this share of its observations is valid (finite)."""


def needed(width: int) -> int:
    """Valid observations that a window of `width` needs.

    >>> [needed(width) for width in (5, 20, 60, 126)]
    [4, 16, 48, 101]
    """
    return -(-width * MIN_VALID_PERCENT // 100)


def add(_: Step, older: State[S], newer: State[S], out: State[S]) -> None:
    """Merge sums, or counts."""
    np.add(older[0], newer[0], out=out[0])


class Observations:
    """Which observations of a panel are valid, and the statistics of their trailing windows.

    Parameters
    ----------
    valid : bool, shape (T, N)
    newest_only : bool
        Fold the window that ends at the last row only: results have shape (1, N), and T is at least the width.
    """

    def __init__(self, valid: NDArray[np.bool_], *, newest_only: bool = False) -> None:
        self.valid, self.newest_only = valid, newest_only
        self._weights: dict[Step, tuple[Floats, Floats]] = {}

    @cached_property
    def _counts(self) -> Fold[np.uint16]:
        return Fold((self.valid.astype(np.uint16),), add, newest_only=self.newest_only, is_base=True)

    def count(self, width: int) -> NDArray[np.uint16]:
        """Valid observations in each window."""
        return self._counts.window(width)[0]

    def policed(self, statistic: Floats, width: int) -> Floats:
        """`statistic` where its window holds the observations that the policy asks for, else NaN."""
        return np.where(self.count(width) >= needed(width), statistic, np.nan)

    def divisor(self, width: int) -> Floats:
        """The counts, NaN where they are too few."""
        count = self.count(width)
        return np.where(count >= needed(width), count, np.nan)

    def filled(self, x: Floats, missing: float = 0.0) -> Floats:
        """`x` with `missing` where the observation is not valid."""
        return np.where(self.valid, x, missing)

    def weights(self, step: Step) -> tuple[Floats, Floats]:
        """(n_b / n, n_a n_b / n) of the merge `step`; zero where nothing is merged."""
        if step not in self._weights:
            (before,), (now,), (both,) = self._counts.operands[step]
            share = now / np.maximum(both, 1)
            self._weights[step] = share, before * share
        return self._weights[step]

    def fold(self, leaf: Moments, merge: Merge[np.float64], *bases: Base) -> Fold[np.float64]:
        """Fold of the windows that are asked for."""
        return Fold(leaf, merge, newest_only=self.newest_only, bases=bases)

    def weighted(self, leaf: Moments, merge: Merge[np.float64], *bases: Base) -> Fold[np.float64]:
        """Fold whose merge (step, older, newer, out) asks for `weights(step)`."""
        return self.fold(leaf, merge, self._counts, *bases)

    def sums(self, x: Floats) -> Fold[np.float64]:
        """Sum of the valid observations of `x`, whatever their number."""
        return self.fold((self.filled(x),), add)

    def decayed(self, x: Floats, decay: float) -> Fold[np.float64]:
        """(sum of decay^age x, sum of decay^age) over the valid observations; the window's last session has the age 0."""

        def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
            weight = decay ** span(step)
            for before, now, both in zip(older, newer, out, strict=True):
                np.multiply(before, weight, out=both)
                np.add(both, now, out=both)

        # A sum with what is missing would turn a negative zero into a positive one: there is none to begin with.
        return self.fold((self.filled(x) + 0.0, self.valid.astype(np.float64)), merge)

    def extremes(self, x: Floats, *, largest: bool) -> Fold[np.float64]:
        """Largest (or smallest) valid observation of `x`; infinite where there is none."""
        choose = np.maximum if largest else np.minimum

        def merge(_: Step, older: Moments, newer: Moments, out: Moments) -> None:
            choose(older[0], newer[0], out=out[0])

        return self.fold((self.filled(x, -np.inf if largest else np.inf),), merge)

    def moments(self, x: Floats) -> Fold[np.float64]:
        """(mean, M2) of the valid observations of `x`."""

        def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
            merge_moments(older, newer, out, *self.weights(step))

        leaf = self.filled(x)
        return self.weighted((leaf, np.zeros_like(leaf)), merge)

    def joint_moments(self, x: Floats, y: Floats) -> Fold[np.float64]:
        """(mean x, M2 x, mean y, M2 y, C) over the valid observations; the first two as in `moments`, to the bit."""

        def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
            share, harmonic = self.weights(step)
            dx = merge_moments(older[0:2], newer[0:2], out[0:2], share, harmonic)
            dy = merge_moments(older[2:4], newer[2:4], out[2:4], share, harmonic)
            np.multiply(dx, dy, out=dx)
            np.multiply(dx, harmonic, out=dx)
            np.add(older[4], newer[4], out=out[4])
            np.add(out[4], dx, out=out[4])

        one, two = self.filled(x), self.filled(y)
        nothing = np.zeros_like(one)
        return self.weighted((one, nothing, two, nothing, nothing), merge)


def merge_moments(older: Moments, newer: Moments, out: Moments, share: Floats, harmonic: Floats) -> Floats:
    """Chan's merge of (mean, M2) into `out`; return the difference of the means."""
    between = np.subtract(newer[0], older[0])
    scratch = np.multiply(between, share)
    np.add(older[0], scratch, out=out[0])
    np.multiply(between, between, out=scratch)
    np.multiply(scratch, harmonic, out=scratch)
    np.add(older[1], newer[1], out=out[1])
    np.add(out[1], scratch, out=out[1])
    return between


def per_degree_of_freedom(squares: Floats, count: NDArray[np.uint16]) -> Floats:
    """M2 / (n - 1), ddof 1; NaN where n < 2."""
    return squares / np.where(count > 1, count - 1.0, np.nan)


def products(observed: Observations, growth: Floats) -> Fold[np.float64]:
    """G: product of the valid `growth` factors (1 + return), shape (T, N)."""

    def merge(_: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.multiply(older[0], newer[0], out=out[0])

    return Fold((observed.filled(growth, 1.0),), merge, newest_only=observed.newest_only, is_base=True)


def peaks(observed: Observations, growth: Fold[np.float64]) -> Fold[np.float64]:
    """Highest observed price relative P of the window; 0 where none is observed."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.multiply(growth.operands[step][0][0], newer[0], out=out[0])
        np.maximum(older[0], out[0], out=out[0])

    leaf = observed.filled(growth.leaf[0])
    return Fold((leaf,), merge, newest_only=observed.newest_only, bases=(growth,))


def price_moments(observed: Observations, growth: Fold[np.float64]) -> Fold[np.float64]:
    """(mean, M2) of the observed price relatives P."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        scale = growth.operands[step][0][0]
        mean = np.multiply(newer[0], scale)
        squares = np.multiply(newer[1], scale)
        np.multiply(squares, scale, out=squares)
        merge_moments(older, (mean, squares), out, *observed.weights(step))

    leaf = observed.filled(growth.leaf[0])
    return observed.weighted((leaf, np.zeros_like(leaf)), merge, growth)


def level_moments(observed: Observations, log_growth: Floats) -> Fold[np.float64]:
    """(S, mean, M2): the newest log level and the moments of the observed log levels L."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.add(older[0], newer[0], out=out[0])
        mean = np.add(older[0], newer[1])
        merge_moments(older[1:], (mean, newer[2]), out[1:], *observed.weights(step))

    leaf = observed.filled(log_growth)
    return observed.weighted((leaf, leaf, np.zeros_like(leaf)), merge)
