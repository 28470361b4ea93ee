"""The rank information coefficient: Spearman correlation of a session's scores and returns, and the shrinkage of its mean."""

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from signals.scoring.ranking import average_ranks

MIN_NAMES = 10  # a rank correlation of fewer names says nothing; such a session has no IC


def rank_ic(scores: Floats, labels: Floats, *, min_names: int = MIN_NAMES) -> Floats:
    """Spearman correlation of each session's scores and labels.

    Parameters
    ----------
    scores, labels : float64, shape (T, N)
        Names NaN in either are left out of that session.

    Returns
    -------
    float64, shape (T,)
        NaN where fewer than `min_names` names remain or either side is constant.
    """
    if scores.shape != labels.shape:
        raise InvariantBroken(f"scores of shape {scores.shape} and labels of {labels.shape}")
    series = np.full(len(scores), np.nan)
    both = np.isfinite(scores) & np.isfinite(labels)
    for row in np.flatnonzero(both.sum(axis=1) >= min_names):
        chosen = both[row]
        a, b = average_ranks(scores[row, chosen]), average_ranks(labels[row, chosen])
        a, b = a - a.mean(), b - b.mean()
        scale = float(np.sqrt((a @ a) * (b @ b)))
        if scale > 0.0:
            series[row] = float(a @ b) / scale
    return series


def shrunk_ic(mean: float, t: float) -> float:
    """IC t^2 / (1 + t^2): an estimate no larger than its standard error keeps at most half of itself."""
    return mean * t * t / (1.0 + t * t)
