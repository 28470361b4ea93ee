"""Bars on scores: calibration of probabilities, and monotone deciles."""

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from trainer.promotion.bars.case import Case
from trainer.promotion.bars.config import PromotionConfig
from trainer.runs.bar_results import BarResult, at_least
from trainer.validation.probabilities import CalibrationDocument


def reliability(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether probabilities made of the scores mean what they say, and are of the model that they travel with."""
    bar, limit = "reliability", f"slope 1 inside its {bars.calibration_level:.0%} interval"
    found = case.evidence.calibration
    judged = found.judged if found else None
    if found is None or judged is None or not np.isfinite(list(vars(judged).values())).all():
        return BarResult(bar, None, limit, False, "no evidence")
    slope, slope_error, excess, excess_error = judged.slope, judged.slope_error, judged.excess_brier, judged.excess_error
    z = float(ndtri(0.5 + bars.calibration_level / 2.0))
    faults = [
        *_of_the_maps(found, case, bars),
        *(["the slope's interval does not hold 1"] * (not abs(slope - 1.0) <= z * slope_error)),
        *(["worse than the base rate by more than its error"] * (not excess <= z * excess_error)),
    ]
    why = (
        f"slope {slope:.2f}, {bars.calibration_level:.0%} interval {slope - z * slope_error:.2f} to "
        f"{slope + z * slope_error:.2f}; Brier score {excess:+.5f} next to the base rate's, error {excess_error:.5f}; "
        f"base rate {judged.base_rate:.3f}, said {judged.said:.3f}, came {judged.came:.3f}"
    )
    return BarResult(bar, slope, limit, not faults, "; ".join([*faults, why]), _power(slope_error, z))


def _of_the_maps(found: CalibrationDocument, case: Case, bars: PromotionConfig) -> list[str]:
    levels, fit, stretch = found.isotonic.levels, found.fitted_for, bars.max_calibration_stretch
    faults = []
    if not found.platt.slope > 0.0:
        faults.append("the map turns the order of the scores round")
    if not levels or not all(0.0 < level < 1.0 for level in levels):
        faults.append("a map says 0 or 1")
    if fit is None or not fit.model_sha256 or fit.model_sha256 != case.measured.model_sha256:
        faults.append("the maps were fitted for another model")
    if fit is None or not fit.unseen_deviation <= stretch * fit.score_deviation <= stretch**2 * fit.unseen_deviation:
        faults.append(f"the model's scores are over {stretch:g} times wider, or narrower, than those of the fit")
    return faults


def _power(error: float, z: float) -> str:
    """How often an honest map is refused, and one that is twice too sure: its slope is one half."""
    caught = float(ndtr(0.5 / error - z) + ndtr(-0.5 / error - z)) if error > 0.0 else 1.0
    return f"an honest map is refused with {2.0 * ndtr(-z):.0%}, one that is twice too sure with {caught:.0%}"


def decile_order(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether higher scores earn more along the whole curve."""
    curve = case.evidence.deciles.curve
    is_ordered = len(curve) > 2 and bool(np.isfinite(curve).all()) and np.ptp(curve) > 0
    order = float(spearmanr(range(len(curve)), curve).statistic) if is_ordered else None

    return at_least("decile order", order, bars.min_decile_order, "rank correlation of score decile and mean label, out of fold")
