"""Position inside the Bollinger band of the total-return price relative.

    b_w(t) = (P_t - (mean P - 2 sd P)) / (4 sd P),   P_s = prod_{u = t-w+1 .. s} (1 + r_u)           ratio, look-back w

0 at the lower band, 1 at the upper one, not clipped; sd has ddof 1. NaN where the current return is missing, where
fewer than 80 % of the window is valid, and where the price did not move.
"""

from __future__ import annotations

import numpy as np

from signals.features.history import BarColumns
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats

BAND_DEVIATIONS = 2.0


def band_position(history: BarColumns, sessions: int) -> Floats:
    """Place of the price between the lower (0) and the upper band (1); ratio, shape (T, N)."""
    (price,) = history.growth.window(sessions)
    mean, squares = history.price_moments.window(sessions)
    deviation = np.sqrt(per_degree_of_freedom(squares, history.returns.count(sessions)))
    position = (price - mean) / (2.0 * BAND_DEVIATIONS * deviation) + 0.5
    return history.returns.policed(history.where_current(position), sessions)
