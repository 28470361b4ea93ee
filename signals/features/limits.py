"""Limits beyond which a return is treated as an event and clipped in features."""

import numpy as np

from signals.market.bars import Floats

RETURN_LIMIT = 0.5
"""Largest one-session return that enters, either way. Beyond it lies an event (a reorganisation, an unrecorded split,
a squeeze) that says nothing of the next sessions, while its square alone outweighs the window: one real bar of
+25,733 % lifts the forecast volatility of a neutral book of 379 names from 4 % to 136 % a year while it stays in."""


def limited(returns: Floats) -> Floats:
    """`returns` within +-`RETURN_LIMIT`; NaN stays."""
    return np.clip(returns, -RETURN_LIMIT, RETURN_LIMIT)
