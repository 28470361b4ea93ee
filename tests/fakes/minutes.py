"""One invented instrument's minutes, decisions and features, made once."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from signals.features.panel import FeaturePanel
from signals.minutes.bars import MinuteBars
from signals.minutes.grid import minute_bars
from signals.minutes.stretch import DecisionBars
from signals.sleeves.bars import BARS
from trainer.curation.generated.minutes import SYMBOL, generate_minutes


@lru_cache(maxsize=4)
def invented(seed: int, sessions: int, strength: float = 1.5) -> MinuteBars:
    """Minutes of New York's regular hours."""
    found = generate_minutes(seed, sessions, end=date(2025, 12, 1), strength=strength)
    inside = np.isfinite(found.mu)
    return minute_bars(SYMBOL, found.grid, found.ends[inside], {name: array[inside] for name, array in found.bars.items()})


@lru_cache(maxsize=4)
def decisions(seed: int, sessions: int, strength: float = 1.5) -> tuple[DecisionBars, FeaturePanel]:
    """Decisions of five minutes and their features."""
    return BARS.intraday(invented(seed, sessions, strength))
