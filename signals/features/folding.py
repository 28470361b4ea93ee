"""Trailing-window sums built by doubling: a window of 2n from two windows of n.

A window of `width` observations is cut into runs whose lengths are the powers of two of `width`, the longest run
newest, and every run is halved down to single observations. A statistic is a leaf state and a merge of an older with
a newer state; a `Fold` applies the merges, on demand and each one once.

1. The value at t depends on the observations of its own window only: nothing is carried from window to window, so a
   spike, a large decay or a missing value has no effect once it has left.
2. The same merges, on the same operands, are done whether every session is asked for or the newest one only, and
   however much history stands before the window: the results are equal to the bit.
3. Observations before the first row count as missing: merging with nothing leaves the newer state as it is.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken

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
