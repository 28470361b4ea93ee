"""Day of the week encoded as sine and cosine of a five-day cycle.

    sin(2 pi d / 5), cos(2 pi d / 5),   d = 0 on Monday ... 4 on Friday                 ratio, look-back 1

A calendar feature: the same for every symbol of a session.
"""

import math
from collections.abc import Callable

import numpy as np

from signals.features.history import FeatureInputs
from signals.market.bars import Floats

WEEK_SESSIONS = 5
EPOCH_WEEKDAY = 3  # 1970-01-01, day 0 of datetime64[D], was a Thursday


def _on_circle(history: FeatureInputs, wave: Callable[[float], float]) -> Floats:
    weekday = (history.sessions.astype("datetime64[D]").astype(np.int64) + EPOCH_WEEKDAY) % 7
    angles = np.array([wave(2.0 * math.pi * day / WEEK_SESSIONS) for day in range(7)])
    return np.repeat(angles[weekday][:, None], history.close.shape[1], axis=1)


def day_of_week_sin(history: FeatureInputs) -> Floats:
    """Sine of the weekday's angle; shape (T, N)."""
    return _on_circle(history, math.sin)


def day_of_week_cos(history: FeatureInputs) -> Floats:
    """Cosine of the weekday's angle; shape (T, N)."""
    return _on_circle(history, math.cos)
