"""Sample weights beyond the equal weight of sessions: recent rows and rows that tell something of their own."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from signals.bars import Floats
from signals.config import Config
from trainer.labels.panel import Rows
from trainer.labels.uniqueness import average_uniqueness

SESSIONS_PER_MONTH = 21


class WeightConfig(Config):
    """What weighs more: by age (half-life in months of 21 sessions) and by average uniqueness; both off."""

    half_life_months: float | None = Field(default=None, gt=0.0)
    uniqueness: bool = False


def time_decay(t0: Rows, half_life_months: float) -> Floats:
    """Return 2^(-age / half-life), (n,): 1 for the newest session, 1/2 one half-life before it.

    Examples
    --------
    >>> time_decay(np.array([0, 21, 42]), 1.0).tolist()
    [0.25, 0.5, 1.0]
    """
    age = (t0.max() - t0) / SESSIONS_PER_MONTH
    weights: Floats = np.exp2(-age / half_life_months)
    return weights


def uniqueness_by_symbol(t0: Rows, t1: Rows, column: Rows) -> Floats:
    """Average uniqueness of each label among the labels of its own symbol, (n,).

    A label lives from the session after its features' to its end: that is when it is at stake. All symbols are done in
    one pass, each on a stretch of sessions of its own.
    """
    stretch = int(t1.max()) + 1
    unique: Floats = average_uniqueness(column * stretch + t0 + 1, column * stretch + t1)
    return unique


def reweighted(weight: Floats, t0: Rows, t1: Rows, column: Rows, config: WeightConfig) -> Floats:
    """Return `weight` times what `config` turns on, with mean 1; untouched when it turns nothing on."""
    if config.half_life_months is None and not config.uniqueness:
        return weight
    changed = weight.copy()
    if config.half_life_months is not None:
        changed *= time_decay(t0, config.half_life_months)
    if config.uniqueness:
        changed *= uniqueness_by_symbol(t0, t1, column)
    scaled: Floats = changed / changed.mean()
    return scaled
