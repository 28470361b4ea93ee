"""Shifts a panel by sessions."""

from __future__ import annotations

import numpy as np

from signals.market.bars import Floats


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
