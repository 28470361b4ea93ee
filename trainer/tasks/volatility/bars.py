"""Bars of a promotion of forecasts of volatility: QLIKE against HAR and EWMA, coverage of band and drawdown quantile, size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainer.runs.bar_results import BarResult, at_least, at_most
from trainer.tasks.volatility.figures import BASELINE, NO_MEAN, DrawdownEvidence, HorizonEvidence
from trainer.tasks.volatility.proof import HAR

if TYPE_CHECKING:
    from trainer.promotion.bars.case import Case
    from trainer.promotion.bars.config import PromotionConfig


def against_har(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than HAR does; HAR itself need not."""
    if _own(case).own == HAR:
        return BarResult("QLIKE against HAR", None, bars.volatility.min_qlike_t, True, "does not apply: it is HAR")
    return _against("QLIKE against HAR", HAR, case, bars)


def against_ewma(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than RiskMetrics' volatility, which needs no learning."""
    return _against("QLIKE against EWMA", BASELINE, case, bars)


def band(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the band holds the share of outcomes that it says."""
    return _coverage("band", _own(case).coverage.mean, case.evidence.part("interval", float, math.nan), bars)


def drawdown(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the drawdown quantile is exceeded as often as it says."""
    found = case.evidence.part("drawdown", DrawdownEvidence, DrawdownEvidence())
    return _coverage("drawdown quantile", found.coverage.mean, found.level, bars)


def size(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the variance that came is as large as the one forecast, over everything: a book is scaled by it."""
    ratio = _own(case).bias
    worst = max(ratio, 1.0 / ratio) if ratio else None
    return at_most("variance", worst, bars.volatility.max_variance_ratio, "realised over forecast variance, or its inverse")


BARS = (against_har, against_ewma, band, drawdown, size)


def _own(case: Case) -> HorizonEvidence:
    """Figures of the horizon that devices use; NaN where the evidence has none."""
    rows = case.evidence.part("volatility", tuple[HorizonEvidence, ...], ())
    return next((row for row in rows if row.horizon == case.evidence.horizon), HorizonEvidence())


def _against(bar: str, forecaster: str, case: Case, bars: PromotionConfig) -> BarResult:
    gain = _own(case).advantage.get(forecaster, NO_MEAN)
    return at_least(bar, gain.t, bars.volatility.min_qlike_t, f"t of the QLIKE saved against {forecaster}, walking forward")


def _coverage(bar: str, share: float, wanted: float, bars: PromotionConfig) -> BarResult:
    return at_most(bar, abs(share - wanted), bars.volatility.max_band_miss, f"share of outcomes by which it misses {wanted:.0%}")
