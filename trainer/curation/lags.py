"""Lags of a panel: shifted by sessions, to compare the returns of two vendors."""

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats

RELATIVE, ABSOLUTE = 0.05, 5e-4  # vendors round, and differ in what a dividend was


def at_lag(values: Floats, lag: int) -> Floats:
    """Row t holds what `values`, shape (T, N), has at t + lag; NaN beyond the ends."""
    result = np.full_like(values, np.nan)
    if lag > 0:
        result[:-lag] = values[lag:]
    elif lag < 0:
        result[-lag:] = values[:lag]
    else:
        result[:] = values
    return result


def agrees(ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Whether another vendor's returns are ours but for rounding and the size of dividends."""
    return np.abs(ours - theirs) <= ABSOLUTE + RELATIVE * np.abs(ours)
