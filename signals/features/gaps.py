"""Gaps: the return between yesterday's close and today's open.

    overnight_return(t)       = o_t                                                     ratio, look-back 1
    overnight_mean_w(t)       = mean(o_{t-w+1 .. t})                                    ratio, look-back w
    overnight_volatility_w(t) = sqrt(252) sd(o_{t-w+1 .. t})                            annualised ratio, look-back w

o is the overnight return, dividends included; sd has ddof 1. NaN where fewer than 80 % of the window is valid.
"""

from __future__ import annotations

import numpy as np

from signals.features.history import BarColumns
from signals.features.volatility import ANNUALISATION
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats


def overnight_return(history: BarColumns) -> Floats:
    """Return from the previous close to this session's open; ratio, shape (T, N)."""
    return history.current(history.overnight_return)


def overnight_mean(history: BarColumns, sessions: int) -> Floats:
    """Mean overnight return; ratio, shape (T, N)."""
    return history.overnight.policed(history.overnight_moments.window(sessions)[0], sessions)


def overnight_volatility(history: BarColumns, sessions: int) -> Floats:
    """Annualised standard deviation of overnight returns; ratio, shape (T, N)."""
    squares = history.overnight_moments.window(sessions)[1]
    variance = per_degree_of_freedom(squares, history.overnight.count(sessions))
    return history.overnight.policed(ANNUALISATION * np.sqrt(variance), sessions)
