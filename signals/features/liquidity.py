"""Liquidity features: traded dollar volume, in dollars of the day.

    log_traded_usd_w(t) = log( mean_{s = t-w+1 .. t} close_s volume_s )                 log USD, look-back w

Each session's dollar volume comes from that session's own close and volume. A later split restates the two inversely
and their product stays; a later dividend lowers total-return closes and no volume, so that the dollars of a session are
not in such prices any more: NaN there. NaN too where fewer than 80 % of the window has a bar, or nothing traded in all
of it.
"""

import numpy as np

from signals.features.history import FeatureInputs
from signals.market.bars import Floats


def log_traded_usd(history: FeatureInputs, sessions: int) -> Floats:
    """Logarithm of the average daily dollar volume as traded; log USD, shape (T, N)."""
    (dollars,) = history.dollar_volume.window(sessions)
    return history.traded.policed(np.log(dollars / history.traded.count(sessions)), sessions)
