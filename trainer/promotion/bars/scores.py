"""Bars on scores: calibration of probabilities, and monotone deciles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from trainer.promotion.bars.case import BarResult, Case, at_least, floats, get, number
from trainer.promotion.bars.config import PromotionConfig

JUDGED = ("slope", "slope_error", "excess_brier", "excess_error", "base_rate", "said", "came")


def reliability(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether probabilities made of the scores mean what they say, and are of the model that they travel with."""
    bar, limit = "reliability", f"slope 1 inside its {bars.calibration_level:.0%} interval"
    found = case.evidence.get("calibration")
    figures = [number(get(found, "judged"), name) for name in JUDGED]
    if any(value is None for value in figures):
        return BarResult(bar, None, limit, False, "no evidence")
    slope, slope_error, excess, excess_error, base_rate, said, came = (float(v) for v in figures if v is not None)
    z = float(ndtri(0.5 + bars.calibration_level / 2.0))
    faults = [
        *_of_the_maps(found, case, bars),
        *(["the slope's interval does not hold 1"] * (not abs(slope - 1.0) <= z * slope_error)),
        *(["worse than the base rate by more than its error"] * (not excess <= z * excess_error)),
    ]
    told = (
        f"slope {slope:.2f}, {bars.calibration_level:.0%} interval {slope - z * slope_error:.2f} to "
        f"{slope + z * slope_error:.2f}; Brier score {excess:+.5f} next to the base rate's, error {excess_error:.5f}; "
        f"base rate {base_rate:.3f}, said {said:.3f}, came {came:.3f}"
    )
    return BarResult(bar, slope, limit, not faults, "; ".join([*faults, told]), _power(slope_error, z))


def _of_the_maps(found: Any, case: Case, bars: PromotionConfig) -> list[str]:  # found: a JSON value of any shape
    levels, models = floats(get(found, "isotonic", "levels")), get(found, "fitted_for", "model_sha256")
    widths = [number(get(found, "fitted_for"), name) for name in ("score_deviation", "unseen_deviation")]
    slope, stretch = number(get(found, "platt"), "slope"), bars.max_calibration_stretch
    faults = []
    if slope is None or not slope > 0.0:
        faults.append("the map turns the order of the scores round")
    if not levels or not all(0.0 < level < 1.0 for level in levels):
        faults.append("a map says 0 or 1")
    if not models or models != get(case.measured, "model_sha256"):
        faults.append("the maps were fitted for another model")
    if widths[0] is None or widths[1] is None or not widths[1] <= stretch * widths[0] <= stretch**2 * widths[1]:
        faults.append(f"the model's scores are over {stretch:g} times wider, or narrower, than those of the fit")
    return faults


def _power(error: float, z: float) -> str:
    """How often an honest map is refused, and one that is twice too sure: its slope is one half."""
    caught = float(ndtr(0.5 / error - z) + ndtr(-0.5 / error - z)) if error > 0.0 else 1.0
    return f"an honest map is refused with {2.0 * ndtr(-z):.0%}, one that is twice too sure with {caught:.0%}"


def decile_order(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether higher scores earn more along the whole curve."""
    curve = floats(get(case.evidence, "deciles", "curve"))
    order = float(spearmanr(range(len(curve)), curve).statistic) if len(curve) > 2 and np.ptp(curve) > 0 else None
    return at_least("decile order", order, bars.min_decile_order, "rank correlation of score decile and mean label, out of fold")
