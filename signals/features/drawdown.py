"""Drawdown from the window's peak.

    drawdown_w(t) = P_t / max_{s = t-w+1 .. t} P_s - 1,   P_s = prod_{u = t-w+1 .. s} (1 + r_u)      ratio, look-back w

Exactly 0 at a peak, never positive. NaN where the current return is missing or fewer than 80 % of the window is valid.
"""

from __future__ import annotations

from signals.features.history import BarColumns
from signals.market.bars import Floats


def drawdown(history: BarColumns, sessions: int) -> Floats:
    """Total-return loss since the highest close of the window; ratio <= 0, shape (T, N)."""
    (price,) = history.growth.window(sessions)
    (peak,) = history.peaks.window(sessions)
    return history.returns.policed(history.where_current(price / peak - 1.0), sessions)
