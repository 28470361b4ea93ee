"""One window or several: what a formula of a new bar is given, so that what several windows share is called once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from signals.market.bars import Floats

if TYPE_CHECKING:
    from signals.indicators.columns import IndicatorBars

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
