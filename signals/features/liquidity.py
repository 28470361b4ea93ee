"""Liquidity: how many dollars change hands.

    log_adv_w(t) = log( mean_{s = t-w+1 .. t} close_s volume_s )                        log USD, look-back w

Each session's dollar volume comes from that session's own close and volume, which a later split restates inversely:
their product stays. NaN where fewer than 80 % of the window has a bar, or nothing traded in all of it.
"""

from __future__ import annotations

import numpy as np

from signals.bars import Floats
from signals.features.history import History


def log_adv(history: History, sessions: int) -> Floats:
    """Logarithm of the average daily dollar volume; log USD, shape (T, N)."""
    (dollars,) = history.dollar_volume.window(sessions)
    return history.traded.policed(np.log(dollars / history.traded.count(sessions)), sessions)
