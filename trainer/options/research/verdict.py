"""The statistical power of a history of hedged profits, in words."""

import numpy as np
from scipy.special import ndtr, ndtri

from signals.market.bars import Floats

LEVEL, POWER = 0.05, 0.80
LEAST_SESSIONS = 504


def refusal(profits: Floats, least: int = LEAST_SESSIONS, unit: str = "vol points") -> str:
    """Say that so few sessions are no evidence, and how many a mean as large as the one seen would take.

    Parameters
    ----------
    profits : float64, shape (T,)
        Profit of each session; NaN where there is none.
    unit : str
        Of a profit.
    """
    known = profits[np.isfinite(profits)]
    n = len(known)
    if n < 2:
        return f"{n} sessions of hedged profits are no evidence of a premium; {least} are asked for"
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    needed = ((ndtri(1.0 - LEVEL) + ndtri(POWER)) * deviation / mean) ** 2 if mean else np.inf
    seen = float(ndtr(abs(mean) * np.sqrt(n) / deviation - ndtri(1.0 - LEVEL))) if deviation > 0.0 else 0.0
    return (
        f"{n} sessions of hedged profits are no evidence of a premium; {least} are asked for. Their mean is {mean:+.2f} {unit} with a "
        f"deviation of {deviation:.2f}, from {known.min():+.1f} to {known.max():+.1f}: were it the truth, {n} sessions would show it in "
        f"{seen:.0%} of histories, and {needed:,.0f} sessions in {POWER:.0%}"
    )
