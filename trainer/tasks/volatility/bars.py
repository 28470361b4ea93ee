"""Bars of a promotion of forecasts of volatility: QLIKE against HAR and EWMA, coverage of band and drawdown quantile, size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.runs.bars import BarResult, at_least, at_most
from trainer.tasks.volatility.figures import BASELINE
from trainer.tasks.volatility.proof import HAR

if TYPE_CHECKING:
    from trainer.promotion.bars.case import Case
    from trainer.promotion.bars.config import PromotionConfig


def against_har(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than HAR does; HAR itself need not."""
    if _own(case).get("own") == HAR:
        return BarResult("QLIKE against HAR", None, bars.volatility.min_qlike_t, True, "does not apply: it is HAR")
    return _against("QLIKE against HAR", HAR, case, bars)


def against_ewma(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than RiskMetrics' volatility, which needs no learning."""
    return _against("QLIKE against EWMA", BASELINE, case, bars)


def band(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the band holds the share of outcomes that it says."""
    return _coverage("band", _own(case).get("coverage"), case.evidence.others.get("interval"), bars)


def drawdown(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the drawdown quantile is exceeded as often as it says."""
    found: Any = case.evidence.others.get("drawdown") or {}
    return _coverage("drawdown quantile", found.get("coverage"), found.get("level"), bars)


def size(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the variance that came is as large as the one forecast, over everything: a book is scaled by it."""
    ratio = _own(case).get("bias")
    worst = max(ratio, 1.0 / ratio) if ratio else None
    return at_most("variance", worst, bars.volatility.max_variance_ratio, "realised over forecast variance, or its inverse")


BARS = (against_har, against_ewma, band, drawdown, size)


def _own(case: Case) -> Mapping[str, Any]:
    """Figures of the horizon that devices use; empty where the evidence has none."""
    rows: Any = case.evidence.others.get("volatility") or ()
    return next((row for row in rows if row.get("horizon") == case.evidence.horizon), {})


def _against(bar: str, forecaster: str, case: Case, bars: PromotionConfig) -> BarResult:
    gain = (_own(case).get("advantage") or {}).get(forecaster) or {}
    return at_least(bar, gain.get("t"), bars.volatility.min_qlike_t, f"t of the QLIKE saved against {forecaster}, walking forward")


def _coverage(bar: str, share: Any, wanted: Any, bars: PromotionConfig) -> BarResult:
    held = share.get("mean") if share else None
    missed = None if held is None or wanted is None else abs(held - wanted)
    told = f"share of outcomes by which it misses {wanted:.0%}" if wanted is not None else "share of outcomes"
    return at_most(bar, missed, bars.volatility.max_band_miss, told)
