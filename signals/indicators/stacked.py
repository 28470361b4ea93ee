"""Trailing windows of several series at once: one fold, one count and one merge serve K series as one array [T, K, C].

A new bar of one instrument costs the calls, not the arithmetic. A missing value is missing: windows are formed of the others
while they hold 80 % of them (`signals.features.windows`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from signals.features.folding import Fold, State, Step
from signals.features.windows import Moments, Observations, needed
from signals.market.bars import Floats


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
        # counts and weights that all columns or series share are formed once
        for axis in (2, 1):
            one = valid.take([0], axis=axis)
            valid = one if (valid == one).all() else valid
        self._observed = Observations(valid)
        self._folds: dict[str, Fold[np.float64]] = {}
        self._made: dict[tuple[str, int], list[Floats]] = {}

    def _windows(
        self, kind: str, width: int, make: Callable[[], Fold[np.float64]], finish: Callable[[State[np.float64], Floats], State[np.float64]]
    ) -> list[Floats]:
        if (kind, width) not in self._made:
            if kind not in self._folds:
                self._folds[kind] = make()
            state = self._folds[kind].window(width)
            count = self._observed.count(width)
            divisor = np.where(count >= needed(width), count, np.nan)
            self._made[kind, width] = [np.ascontiguousarray(np.moveaxis(a, 1, 0)) for a in finish(state, divisor)]
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
