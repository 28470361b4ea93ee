"""The sleeve `options_vol`: features of an underlier's option surface.

The score of `asof` is the profit that a delta-hedged at-the-money straddle is expected to make over the next 5 sessions, in vol
points of its vega: low where options are dear. The surface is fitted where the chains are, on the training host; a device takes
the scores that are delivered.
"""

from functools import partial

from signals.features.history import joined
from signals.features.panel import Feature
from signals.features.price import momentum
from signals.features.realised import log_volatility
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS = 5
SURFACE = {
    "atm_volatility": "log annualised ratio",
    "skew": "ratio",
    "convexity": "ratio",
    "term_slope": "log ratio",
    "variance_premium": "log ratio",
    "put_call_interest": "log ratio",
    "atm_change": "log ratio",
}

TABLE = (
    *(Feature(name, units, 1, partial(joined, name=name)) for name, units in SURFACE.items()),
    Feature("log_volatility_5", "log annualised ratio", 5, partial(log_volatility, sessions=5)),
    Feature("log_volatility_22", "log annualised ratio", 22, partial(log_volatility, sessions=22)),
    Feature("momentum_20", "ratio", 20, partial(momentum, sessions=20)),
)

OPTIONS_VOL = Sleeve("options_vol", ("daily_bars", "option_chains"), TABLE, HORIZON_SESSIONS, tuple(SURFACE))
