"""Trailing-window statistics of arrays with missing values: count, sum, mean, variance, covariance, maximum, minimum.

Moments are merged as (n, mean, M2) by Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance",
so that no difference of large sums is ever taken:

    n = n_a + n_b        d = mean_b - mean_a        mean = mean_a + d n_b / n
    M2 = M2_a + M2_b + d^2 n_a n_b / n              C = C_a + C_b + d_x d_y n_a n_b / n

`Observations` is the entry point; `window_*` are the same on plain arrays. Invariants 1 to 3 of
`signals.features.folding` hold for each of them. NaN policy: see `needed`.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from signals.features.folding import Base, Fold, Merge, S, State, Step
from signals.market.bars import Floats

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
