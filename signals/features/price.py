"""Price and volume features: volatility, overnight gaps, z-score, Bollinger position, drawdown, momentum, beta, traded dollars.

    volatility_w(t)           = sqrt(252) sd(r_{t-w+1 .. t})                            annualised ratio, look-back w
    overnight_return(t)       = o_t                                                     ratio, look-back 1
    overnight_mean_w(t)       = mean(o_{t-w+1 .. t})                                    ratio, look-back w
    overnight_volatility_w(t) = sqrt(252) sd(o_{t-w+1 .. t})                            annualised ratio, look-back w
    z_w(t)        = (L_t - mean L) / sd L,   L_s = sum_{u = t-w+1 .. s} log(1 + r_u)    z, look-back w
    b_w(t)        = (P_t - (mean P - 2 sd P)) / (4 sd P),   P_s = exp L_s               ratio, look-back w
    drawdown_w(t) = P_t / max_{s = t-w+1 .. t} P_s - 1                                  ratio <= 0, look-back w

r is the total return, o the overnight return, dividends included; sd has ddof 1; s runs over the window. NaN where
fewer than 80 % of the window is valid; for the last three also where the current return is missing, and for z and b
where the level did not move. b is 0 at the lower Bollinger band and 1 at the upper one, not clipped; a drawdown is
exactly 0 at a peak.

    momentum_w(t)    = prod_{s = t-w+1 .. t} (1 + r_s) - 1                              ratio, look-back w
    momentum_12_1(t) = prod_{s = t-251 .. t-21} (1 + r_s) - 1                           ratio, look-back 252

r_s is the total return of session s. Twelve months less the last one: Jegadeesh & Titman (1993), skipping the month
in which returns reverse. NaN where fewer than 80 % of the window's returns are valid; a missing return adds no growth.

    beta_w(t) = C_rm / M2_m                                                             ratio, look-back w
    residual_volatility_w(t) = sqrt(252) sqrt( (M2_r - beta C_rm) / (n - 1) )           annualised ratio, look-back w

beta is against the equal-weight return of the eligible universe: M2 and C are sums of squared and crossed deviations
from the means over the window's valid returns r and the market's returns m at the same sessions; the residuals have
mean zero, ddof 1. Both are cross-sectional: other names' returns make the market. NaN where fewer than 80 % of the
window is valid, or the market is undefined at a session used.

    log_traded_usd_w(t) = log( mean_{s = t-w+1 .. t} close_s volume_s )                 log USD, look-back w

Each session's dollar volume comes from that session's own close and volume. A later split restates the two inversely
and their product stays; a later dividend lowers total-return closes and no volume, so that the dollars of a session are
not in such prices any more: NaN there. NaN too where fewer than 80 % of the window has a bar, or nothing traded in all
of it.
"""

import math

import numpy as np

from signals.features.history import FeatureInputs
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats

SESSIONS_PER_YEAR = 252
ANNUALISATION = math.sqrt(SESSIONS_PER_YEAR)
BAND_DEVIATIONS = 2.0


def realised_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Annualised standard deviation of total returns; ratio, shape (T, N)."""
    squares = history.return_moments.window(sessions)[1]
    variance = per_degree_of_freedom(squares, history.returns.count(sessions))
    return history.returns.policed(ANNUALISATION * np.sqrt(variance), sessions)


def overnight_return(history: FeatureInputs) -> Floats:
    """Return from the previous close to this session's open; ratio, shape (T, N)."""
    return history.current(history.overnight_return)


def overnight_mean(history: FeatureInputs, sessions: int) -> Floats:
    """Mean overnight return; ratio, shape (T, N)."""
    return history.overnight.policed(history.overnight_moments.window(sessions)[0], sessions)


def overnight_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Annualised standard deviation of overnight returns; ratio, shape (T, N)."""
    squares = history.overnight_moments.window(sessions)[1]
    variance = per_degree_of_freedom(squares, history.overnight.count(sessions))
    return history.overnight.policed(ANNUALISATION * np.sqrt(variance), sessions)


def zscore(history: FeatureInputs, sessions: int) -> Floats:
    """Standard deviations of the log level above its mean; z, shape (T, N)."""
    level, mean, squares = history.level_moments.window(sessions)
    deviation = np.sqrt(per_degree_of_freedom(squares, history.returns.count(sessions)))
    return history.returns.policed(history.where_current((level - mean) / deviation), sessions)


def band_position(history: FeatureInputs, sessions: int) -> Floats:
    """Place of the price between the lower (0) and the upper band (1); ratio, shape (T, N)."""
    (price,) = history.growth.window(sessions)
    mean, squares = history.price_moments.window(sessions)
    deviation = np.sqrt(per_degree_of_freedom(squares, history.returns.count(sessions)))
    position = (price - mean) / (2.0 * BAND_DEVIATIONS * deviation) + 0.5
    return history.returns.policed(history.where_current(position), sessions)


def drawdown(history: FeatureInputs, sessions: int) -> Floats:
    """Total-return loss since the highest close of the window; ratio <= 0, shape (T, N)."""
    (price,) = history.growth.window(sessions)
    (peak,) = history.peaks.window(sessions)
    return history.returns.policed(history.where_current(price / peak - 1.0), sessions)


YEAR_SESSIONS = 252
MONTH_SESSIONS = 21


def momentum(history: FeatureInputs, sessions: int) -> Floats:
    """Total return of the last `sessions` sessions; ratio, shape (T, N)."""
    (growth,) = history.growth.window(sessions)
    return history.returns.policed(growth - 1.0, sessions)


def momentum_12_1(history: FeatureInputs) -> Floats:
    """Total return of the last 252 sessions less the last 21; ratio, shape (T, N)."""
    return history.ago(MONTH_SESSIONS, lambda past: momentum(past, YEAR_SESSIONS - MONTH_SESSIONS))


def beta(history: FeatureInputs, sessions: int) -> Floats:
    """Slope of the name's returns on the market's; ratio, shape (T, N)."""
    *_, market_squares, products = history.return_moments.window(sessions)
    return history.policed_by_market(products / market_squares, sessions)


def residual_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Annualised standard deviation of what beta leaves unexplained; ratio, shape (T, N)."""
    _, squares, _, market_squares, products = history.return_moments.window(sessions)
    unexplained = np.maximum(squares - products / market_squares * products, 0.0)
    variance = per_degree_of_freedom(unexplained, history.returns.count(sessions))
    return history.policed_by_market(ANNUALISATION * np.sqrt(variance), sessions)


def log_traded_usd(history: FeatureInputs, sessions: int) -> Floats:
    """Logarithm of the average daily dollar volume as traded; log USD, shape (T, N)."""
    (dollars,) = history.dollar_volume.window(sessions)
    return history.traded.policed(np.log(dollars / history.traded.count(sessions)), sessions)
