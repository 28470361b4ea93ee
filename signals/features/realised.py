"""Realised log volatility about zero over several windows, the input of volatility forecasts.

    log_volatility_w(t) = 1/2 ln( 252 / n  sum r^2 )                                   log annualised ratio, look-back w
    downside_share_w(t) = sum over r < 0 of r^2  /  sum r^2                             ratio, look-back w
    absolute_return(t)  = sqrt(252) |r_t|                                               annualised ratio, look-back 1

Sums run over the n valid returns of the window, each limited to +-50 %. Logs make volatility nearly normal, and a zero
mean beats a mean estimated from a few sessions. NaN where fewer than 80 % of the window is valid, or nothing moved.
The market's is that of the equal-weight return of the eligible universe.
"""

import numpy as np

from signals.features.history import FeatureInputs, limited
from signals.features.price import ANNUALISATION, SESSIONS_PER_YEAR
from signals.features.windows import Observations
from signals.market.bars import Floats


def log_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Log of the annualised root mean square return; shape (T, N)."""
    mean = history.squares.window(sessions)[0] / history.returns.count(sessions)
    return history.returns.policed(0.5 * np.log(SESSIONS_PER_YEAR * mean), sessions)


def downside_share(history: FeatureInputs, sessions: int) -> Floats:
    """Share of the squared returns that were losses; ratio, shape (T, N)."""
    lost, whole = history.loss_squares.window(sessions)[0], history.squares.window(sessions)[0]
    return history.returns.policed(lost / whole, sessions)


def absolute_return(history: FeatureInputs) -> Floats:
    """Annualised size of the session's own return; shape (T, N)."""
    return history.current(ANNUALISATION * np.abs(limited(history.total_return)))


def market_log_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Log of the market's annualised root mean square return, the same for every name; shape (T, N)."""
    market = history.market[:, None]
    observed = Observations(np.isfinite(market), newest_only=history.newest_only)
    mean = observed.sums(limited(market) ** 2).window(sessions)[0] / observed.count(sessions)
    series = observed.policed(0.5 * np.log(SESSIONS_PER_YEAR * mean), sessions)
    return np.repeat(series, history.close.shape[1], axis=1)
