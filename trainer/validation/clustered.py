"""Means over events, and areas under ROC curves, whose errors take the events of one session together.

Events of one session depend, and sessions near one another share trades, so that every error is that of a session series, by
the life of the longest trade (`ic.traded_mean`); rows come with their `session` and with `ends`, that in which they were known:

    AUC - E AUC = sum_s r_s,   r_s = sum_{hits i in s} (V_i - AUC) / n1 + sum_{others j in s} (V_j - AUC) / n0

with V the share of the other group that a row is ranked right against (Obuchowski 1997).
"""

import numpy as np
from scipy.stats import rankdata

from signals.market.bars import Flags, Floats
from trainer.labels.horizon import Rows
from trainer.validation.ic import Mean, traded_mean

LAG = 5  # sessions, at least
Z, NONE = 1.96, Mean()


def auc(score: Floats, came: Flags, session: Rows, ends: Rows) -> Mean:
    """Area under the ROC curve with its session-clustered error; t is of the difference from one half."""
    mean, moves = influence(score, came)
    return _judged(mean, 0.5, moves, session, ends) if moves.size else NONE


def influence(score: Floats, came: Flags) -> tuple[float, Floats]:
    """Area under the ROC curve, and each row's influence on it, shape (n,); NaN and none of one group alone."""
    n1, n0 = int(came.sum()), int((~came).sum())
    if not n1 or not n0:
        return np.nan, np.zeros(0)
    within, whole = np.zeros(len(score)), rankdata(score)
    for group in (came, ~came):
        within[group] = rankdata(score[group])
    placed = np.where(came, (whole - within) / n0, 1.0 - (whole - within) / n1)
    mean = float(placed[came].mean())
    return mean, (placed - mean) / np.where(came, n1, n0)


def per_event(values: Floats, session: Rows, ends: Rows) -> Mean:
    """Mean over events with its session-clustered error."""
    if not values.size:
        return NONE
    mean = float(values.mean())
    return _judged(mean, 0.0, (values - mean) / len(values), session, ends)


def low(found: Mean) -> float:
    """Lower end of the 95 % interval; NaN where there is none."""
    return found.mean - Z * found.standard_error


def interval(found: Mean) -> str:
    """A mean with its 95 % interval."""
    if not np.isfinite(found.standard_error):
        return f"{found.mean:.3f} (too few sessions for an interval)"
    return f"{found.mean:.3f} [{low(found):.3f}, {found.mean + Z * found.standard_error:.3f}]"


def _judged(mean: float, null: float, influence: Floats, session: Rows, ends: Rows) -> Mean:
    """Figure of rows whose influence, shape (n,), is summed by session from the first to the last; t is of its distance from `null`."""
    place = session - session.min()
    sums = np.where(np.bincount(place) > 0, np.bincount(place, influence), np.nan)
    error = traded_mean(sums * len(sums), int((ends - session).max()), LAG).standard_error
    return Mean(mean, error, (mean - null) / error if error > 0.0 else float("nan"), int(np.isfinite(sums).sum()))
