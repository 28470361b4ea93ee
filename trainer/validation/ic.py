r"""Rank information coefficient, and how little a few years of overlapping labels say about it.

The series of per-session rank ICs is autocorrelated because k-session labels overlap. Its mean's standard error is
Newey and West's (1987) with Bartlett weights and a lag of at least 2 (k - 1) sessions:

    SE^2 = (g_0 + 2 sum_{l=1}^{L} (1 - l / (L + 1)) g_l) / T

with g_l the autocovariance at lag l (divided by T) of the T sessions' ICs. Beside it stand the k series that take every
k-th session, whose labels do not overlap. A t-statistic over splits or paths is never formed: they share their data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.bars import Floats
from signals.ic import rank_ic

__all__ = ["Mean", "by_offset", "newey_west", "rank_ic"]


@dataclass(frozen=True)
class Mean:
    """A mean with its uncertainty; t is NaN when the standard error is 0 or undefined."""

    mean: float
    standard_error: float
    t: float
    sessions: int


def newey_west(series: Floats, lag: int) -> Mean:
    """Mean of a session series with Newey-West standard error; NaN entries are dropped before lags are counted.

    Parameters
    ----------
    series : float64, shape (T,)
    lag : int, sessions
        At least 2 (k - 1) for k-session labels; cut to T - 1.
    """
    values = series[np.isfinite(series)]
    count = len(values)
    if count < 2:
        return Mean(float(values.mean()) if count else float("nan"), float("nan"), float("nan"), count)
    centred = values - values.mean()
    variance = float(centred @ centred) / count
    lags = min(lag, count - 1)
    for step in range(1, lags + 1):
        variance += 2.0 * (1.0 - step / (lags + 1)) * float(centred[step:] @ centred[:-step]) / count
    return _with_t(float(values.mean()), float(np.sqrt(max(variance, 0.0) / count)), count)


def by_offset(series: Floats, k: int) -> tuple[Mean, ...]:
    """Means of the k series that take every k-th session, with plain standard errors (ddof 1)."""
    means = []
    for offset in range(k):
        values = series[offset::k]
        values = values[np.isfinite(values)]
        if len(values) < 2:
            means.append(Mean(float("nan"), float("nan"), float("nan"), len(values)))
        else:
            error = float(values.std(ddof=1) / np.sqrt(len(values)))
            means.append(_with_t(float(values.mean()), error, len(values)))
    return tuple(means)


def _with_t(mean: float, standard_error: float, sessions: int) -> Mean:
    return Mean(mean, standard_error, mean / standard_error if standard_error > 0.0 else float("nan"), sessions)
