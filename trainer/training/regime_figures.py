"""Figures of scores by market regime."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from signals.features.market import market_return
from signals.market.bars import Bars
from trainer.labels.regimes import Regime, regimes
from trainer.validation.ic import Mean, overlapping_mean
from trainer.validation.proof import ProofFigures


@dataclass(frozen=True)
class RegimeFigures:
    """One regime: how many of the judged sessions were of it, and the IC there.

    The sessions of a regime are not neighbours throughout: labels of sessions further apart than they reach count as
    independent, those inside it as overlapping.
    """

    regime: str
    sessions: int
    ic: Mean
    walk_forward_ic: Mean


def by_regime(bars: Bars, worth: ProofFigures, k: int) -> list[dict[str, Any]]:
    """Return the figures of every regime that a judged session was of, as evidence carries them."""
    kinds = regimes(market_return(bars.total_return, bars.eligible))
    judged = np.isfinite(worth.ic_series)
    found = []
    for regime in Regime:
        inside = kinds == regime.value
        if not (inside & judged).any():
            continue
        of = [overlapping_mean(np.where(inside, series, np.nan), k) for series in (worth.ic_series, worth.walk_forward_series)]
        found.append(asdict(RegimeFigures(regime.value, int((inside & judged).sum()), *of)))
    return found
