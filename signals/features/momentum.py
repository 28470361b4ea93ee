"""Momentum: total return over past sessions.

    momentum_w(t)    = prod_{s = t-w+1 .. t} (1 + r_s) - 1                              ratio, look-back w
    momentum_12_1(t) = prod_{s = t-251 .. t-21} (1 + r_s) - 1                           ratio, look-back 252

r_s is the total return of session s. Twelve months less the last one: Jegadeesh & Titman (1993), skipping the month
in which returns reverse. NaN where fewer than 80 % of the window's returns are valid; a missing return adds no growth.
"""

from signals.features.history import FeatureInputs
from signals.market.bars import Floats

YEAR_SESSIONS = 252
MONTH_SESSIONS = 21


def momentum(history: FeatureInputs, sessions: int) -> Floats:
    """Total return of the last `sessions` sessions; ratio, shape (T, N)."""
    (growth,) = history.growth.window(sessions)
    return history.returns.policed(growth - 1.0, sessions)


def momentum_12_1(history: FeatureInputs) -> Floats:
    """Total return of the last 252 sessions less the last 21; ratio, shape (T, N)."""
    return history.ago(MONTH_SESSIONS, lambda past: momentum(past, YEAR_SESSIONS - MONTH_SESSIONS))
