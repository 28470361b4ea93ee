"""Realised volatility of total returns.

    volatility_w(t) = sqrt(252) sd(r_{t-w+1 .. t})                                      annualised ratio, look-back w

sd has ddof 1 and runs over the valid returns; NaN where fewer than 80 % of the window is valid.
"""

from __future__ import annotations

import math

import numpy as np

from signals.features.history import BarColumns
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats

SESSIONS_PER_YEAR = 252
ANNUALISATION = math.sqrt(SESSIONS_PER_YEAR)


def realised_volatility(history: BarColumns, sessions: int) -> Floats:
    """Annualised standard deviation of total returns; ratio, shape (T, N)."""
    squares = history.return_moments.window(sessions)[1]
    variance = per_degree_of_freedom(squares, history.returns.count(sessions))
    return history.returns.policed(ANNUALISATION * np.sqrt(variance), sessions)
