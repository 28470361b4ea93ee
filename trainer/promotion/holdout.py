"""The bar on the sealed sessions."""

from __future__ import annotations

import numpy as np

from trainer.promotion.case import Case, Row, at_least, floats, get, number
from trainer.promotion.config import PromotionConfig

PERCENTILES = 101  # 0, 1 ... 100


def quantile_of(percentiles: object, quantile: float) -> float | None:
    """Quantile of a distribution that is stored as its percentiles 0 to 100; None where it is not."""
    known = floats(percentiles)
    if len(known) != PERCENTILES:
        return None
    return float(np.interp(quantile, np.linspace(0.0, 1.0, PERCENTILES), known))


def holdout(case: Case, bars: PromotionConfig) -> Row:
    """What the sealed sessions earned."""
    bound = quantile_of(get(case.measured, "paths", "stretch_percentiles"), bars.holdout_quantile)
    name = "holdout"
    if case.evidence.get("holdout") is None:
        return Row(name, None, "sealed before the search", False, "no evidence: the run has no sealed holdout")
    if bound is None:
        return Row(name, None, "a quantile of the paths", False, "no evidence of the paths")
    if case.holdout is None:
        return Row(name, None, bound, False, "still sealed: another bar fails")
    why = f"net Sharpe ratio of the sealed sessions; the paths' {bars.holdout_quantile:.0%} quantile for such a stretch"
    if get(case.holdout, "is_ruined"):
        return Row(name, None, bound, False, "the book of the sealed sessions was ruined")
    return at_least(name, number(case.holdout, "annual_sharpe"), bound, why)
