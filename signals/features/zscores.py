"""Rolling z-score of the log total-return level inside its own window.

    z_w(t) = (L_t - mean L) / sd L,   L_s = sum_{u = t-w+1 .. s} log(1 + r_u),  s = t-w+1 .. t       z, look-back w

mean and sd (ddof 1) run over the window's sessions with a valid return. NaN where the current return is missing, where
fewer than 80 % are valid, and where the level did not move.
"""

from __future__ import annotations

import numpy as np

from signals.features.history import BarColumns
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats


def zscore(history: BarColumns, sessions: int) -> Floats:
    """Standard deviations that the log level stands above its mean; z, shape (T, N)."""
    level, mean, squares = history.level_moments.window(sessions)
    deviation = np.sqrt(per_degree_of_freedom(squares, history.returns.count(sessions)))
    return history.returns.policed(history.where_current((level - mean) / deviation), sessions)
