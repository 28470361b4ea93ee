r"""Losses of risk forecasts: QLIKE for volatility, coverage and pinball loss for quantiles.

All series are per session, averaged over the session's names; their means carry the errors of
`persistent_mean` with a lag of 2 (k - 1), because k-session outcomes overlap, names fall together and calm and storm
last.
"""

import numpy as np

from signals.market.bars import Floats
from trainer.validation.ic import Mean, persistent_mean


def qlike(realised: Floats, forecast: Floats) -> Floats:
    """Quasi-likelihood loss of variance forecasts: x - ln x - 1 with x = realised^2 / forecast^2; 0 is perfect.

    It ranks forecasts by the true variance even though a realised one is a noisy proxy of it, and it punishes an
    underestimate more (Patton 2011, "Volatility forecast comparison using imperfect volatility proxies").

    Parameters
    ----------
    realised, forecast : float64, any equal shapes
        Volatilities on one scale, positive; NaN gives NaN.

    Examples
    --------
    A forecast of half and of twice the volatility that came: x = 4 and 1/4.

    >>> qlike(np.array([0.2, 0.2]), np.array([0.1, 0.4])).round(6).tolist()
    [1.613706, 0.636294]
    """
    ratio = np.square(realised / forecast)
    return ratio - np.log(ratio) - 1.0


def pinball(outcome: Floats, forecast: Floats, q: float) -> Floats:
    """Quantile loss max(q u, (q - 1) u), u = outcome - forecast; its mean is least at the true q-quantile.

    Examples
    --------
    >>> pinball(np.array([3.0, 1.0]), np.array([2.0, 2.0]), 0.9).round(6).tolist()
    [0.9, 0.1]
    """
    miss = outcome - forecast
    return np.maximum(q * miss, (q - 1.0) * miss)


def session_mean(losses: Floats) -> Floats:
    """Mean over each session's names, shape (T,), those that are missing left out; NaN where no name has a number."""
    known = np.isfinite(losses)
    count = known.sum(axis=1)
    mean: Floats = np.divide(np.where(known, losses, 0.0).sum(axis=1), count, out=np.full(len(losses), np.nan), where=count > 0)
    return mean


def mean_loss(losses: Floats, k: int) -> Mean:
    """Mean over sessions of the session means; `losses` float64 (T, N), NaN where there is no forecast or outcome."""
    return persistent_mean(session_mean(losses), 2 * (k - 1))


def advantage(losses: Floats, others: Floats, k: int) -> Mean:
    """Mean of others' loss minus ours where both exist; positive when ours is the better forecast.

    Its t is that of Diebold and Mariano (1995), "Comparing predictive accuracy", with the errors of `persistent_mean`.
    """
    return mean_loss(others - losses, k)


def coverage(outcome: Floats, low: Floats, high: Floats, k: int) -> Mean:
    """Share of outcomes inside [low, high], per session, then over sessions; NaN is left out, edges may be infinite."""
    known = np.isfinite(outcome) & ~np.isnan(low) & ~np.isnan(high)
    inside = np.where(known, ((outcome >= low) & (outcome <= high)).astype(np.float64), np.nan)
    return mean_loss(inside, k)
