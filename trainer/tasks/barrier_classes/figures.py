"""What scores of direction are worth, with the session as the unit of evidence.

    p_s = mean over the decisions of session s of  z(score) z(return / unit)

z standardised over all decisions; the mean of p_s over sessions is the information coefficient, its error Newey and West's with
one lag. Shares of three classes are mostly clock and volatility: they stand beside those of a model that sees the clock alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from signals.scoring.evidence import Mean
from trainer.labels.panel import Rows
from trainer.validation.ic import persistent_mean

LAG = 1


@dataclass(frozen=True)
class Direction:
    """Information coefficient by session, long-against-short log loss next to the base rate's, and mean return in the score's direction."""

    ic: Mean
    log_loss: float = float("nan")
    base_log_loss: float = float("nan")
    edge_bps: Mean | None = None


def by_session(score: Floats, outcome: Floats, session: Rows) -> Floats:
    """Contribution of each session to the information coefficient, by number of session; NaN where it has no score."""
    known = np.isfinite(score) & np.isfinite(outcome)
    series = np.full(int(session.max()) + 1, np.nan)
    if known.sum() < 2:
        return series
    product = standardised(score[known]) * standardised(outcome[known])
    return session_means(product, session[known], len(series))


def session_means(values: Floats, session: Rows, count: int) -> Floats:
    """Mean of the values of each session; NaN where there is none."""
    total, number = (np.bincount(session, weights, count) for weights in (values, None))
    means: Floats = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return means


def information(score: Floats, outcome: Floats, session: Rows) -> Mean:
    """Information coefficient of the sessions that have scores."""
    series = by_session(score, outcome, session)
    return persistent_mean(series[np.isfinite(series)], LAG)


def standardised(values: Floats) -> Floats:
    """Less the mean, over the standard deviation; 0 where nothing varies."""
    deviation = float(values.std())
    standard: Floats = (values - values.mean()) / deviation if deviation > 0.0 else np.zeros(len(values))
    return standard
