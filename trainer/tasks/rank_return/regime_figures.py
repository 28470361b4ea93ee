"""Figures of scores by market regime."""

import numpy as np

from signals.features.market import market_return
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Bars
from trainer.runs.evidence import RegimeFigures
from trainer.validation.ic import overlapping_mean
from trainer.validation.proof import ProofFigures


def by_regime(bars: Bars, worth: ProofFigures, k: int) -> tuple[RegimeFigures, ...]:
    """Return the figures of every regime that a judged session was of, as evidence carries them."""
    kinds = regimes(market_return(bars.total_return, bars.eligible))
    judged = np.isfinite(worth.ic_series)
    found = []
    for regime in Regime:
        inside = kinds == regime.value
        if not (inside & judged).any():
            continue
        of = [overlapping_mean(np.where(inside, series, np.nan), k) for series in (worth.ic_series, worth.walk_forward_series)]
        found.append(RegimeFigures(regime.value, int((inside & judged).sum()), *of))
    return tuple(found)
