"""Scales a book down to the volatility target; applied last, never upwards."""

import math

from signals.market.bars import Floats

SESSIONS_PER_YEAR = 252
"""Exchange sessions in a year, for annualising a variance that grows with time."""


def annual_volatility(weights: Floats, covariance: Floats, horizon_sessions: int) -> float:
    """Return the ex-ante volatility sqrt(w'Sigma w x 252 / k), annualised.

    Parameters
    ----------
    weights : float64, shape (N,)
    covariance : float64, shape (N, N), over the horizon
    horizon_sessions : int
        k
    """
    variance = max(float(weights @ covariance @ weights), 0.0)
    return math.sqrt(variance * SESSIONS_PER_YEAR / horizon_sessions)


def volatility_scalar(forecast: float, target: float) -> float:
    """Target over forecast, both annualised; unbounded for a book without risk."""
    return target / forecast if forecast > 0 else math.inf
