"""Bars on the scores themselves: probabilities made of them, and the order of their deciles."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from trainer.promotion.case import Case, Row, at_least, at_most, floats, get, number
from trainer.promotion.config import PromotionConfig


def reliability(case: Case, bars: PromotionConfig) -> Row:
    """Whether probabilities made of the scores mean what they say."""
    found = number(get(case.evidence, "calibration", "figures", "platt"), "ece")
    why = "expected calibration error of the scores' probabilities, out of fold and after the half that taught them"
    return at_most("reliability", found, bars.max_calibration_error, why)


def decile_order(case: Case, bars: PromotionConfig) -> Row:
    """Whether higher scores earn more along the whole curve."""
    curve = floats(get(case.evidence, "deciles", "curve"))
    order = float(spearmanr(range(len(curve)), curve).statistic) if len(curve) > 2 and np.ptp(curve) > 0 else None
    return at_least(
        "decile order", order, bars.min_decile_order, "rank correlation of score decile and mean label, out of fold"
    )
