"""Sector and size features, where a point-in-time table says what a name's sector and shares were known to be.

    sector_momentum_w(t)    = prod_{s = t-w+1 .. t} (1 + g_s) - 1                       ratio, look-back w
    momentum_w_in_sector(t) = momentum_w(t) - sector_momentum_w(t)                      ratio, look-back w
    log_market_cap(t)       = log( close_t shares_t )                                   log USD, look-back 1

g_s is the equal-weighted return of the sector that the name was known on the evening of s to be in. Shares are in the basis of
the close, so that a later split restates the two inversely and their product stays; total-return closes are no prices that
shares were worth: NaN there.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from signals.features.history import SECTOR_RETURN, FeatureInputs
from signals.features.panel import Feature
from signals.features.price import momentum
from signals.market.bars import CLASSIFIED, Floats

SECTOR, SHARES = CLASSIFIED
WINDOW = 20


def sector_momentum(history: FeatureInputs, sessions: int) -> Floats:
    """Total return of the name's sectors over the last `sessions` sessions; ratio, shape (T, N)."""
    return momentum(replace(history, total_return=history.joined[SECTOR_RETURN]), sessions)


def momentum_in_sector(history: FeatureInputs, sessions: int) -> Floats:
    """Return of the name in excess of its sector's; ratio, shape (T, N)."""
    return momentum(history, sessions) - sector_momentum(history, sessions)


def log_market_cap(history: FeatureInputs) -> Floats:
    """Logarithm of what all shares are worth; log USD, shape (T, N)."""
    scale = 1.0 if history.has_dollars else np.nan
    return np.log(history.current(history.close) * history.current(history.joined[SHARES]) * scale)


_of_sectors = partial(Feature, units="ratio", lookback_sessions=WINDOW, is_cross_sectional=True, reads=SECTOR)

CLASSIFIED_FEATURES = (
    _of_sectors(f"sector_momentum_{WINDOW}", formula=partial(sector_momentum, sessions=WINDOW)),
    _of_sectors(f"momentum_{WINDOW}_in_sector", formula=partial(momentum_in_sector, sessions=WINDOW)),
    Feature("log_market_cap", "log USD", 1, log_market_cap, reads=SHARES),
)
