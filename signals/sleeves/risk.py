"""The sleeve `risk`: forecasts each name's volatility over the holding period.

The score of `asof` is the log of the annualised volatility expected over the next 5 sessions: exp of it feeds the
portfolio's risk model. The features are a cascade of horizons (Corsi 2009, "A simple approximate long-memory model of
realized volatility"), the market's own state, and what makes volatility rise: losses.
"""

from functools import partial

from signals.features.panel import Feature
from signals.features.price import drawdown, log_traded_usd, momentum
from signals.features.realised import absolute_return, downside_share, log_volatility, market_log_volatility
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS = 5

_feature = partial(Feature, is_ranked=False)
_market = partial(Feature, units="log annualised ratio", is_ranked=False, is_cross_sectional=True)


def _own(sessions: int) -> Feature:
    formula = partial(log_volatility, sessions=sessions)
    return _feature(f"log_volatility_{sessions}", "log annualised ratio", sessions, formula)


TABLE = (
    _feature("absolute_return", "annualised ratio", 1, absolute_return),
    _own(5),
    _own(22),
    _own(66),
    _own(252),
    _feature("downside_share_22", "ratio", 22, partial(downside_share, sessions=22)),
    _market("market_log_volatility_5", lookback_sessions=5, formula=partial(market_log_volatility, sessions=5)),
    _market("market_log_volatility_22", lookback_sessions=22, formula=partial(market_log_volatility, sessions=22)),
    _feature("momentum_20", "ratio", 20, partial(momentum, sessions=20)),
    _feature("drawdown_60", "ratio", 60, partial(drawdown, sessions=60)),
    _feature("log_traded_usd_20", "log USD", 20, partial(log_traded_usd, sessions=20)),
)

RISK = Sleeve("risk", ("daily_bars",), TABLE, HORIZON_SESSIONS)
