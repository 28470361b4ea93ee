"""The statistical power of a history of hedged profits, in words."""

import numpy as np
from scipy.special import ndtr, ndtri

from signals.market.bars import Floats

LEVEL, POWER = 0.05, 0.80
LEAST_SESSIONS = 504


def refusal(profits: Floats, least: int = LEAST_SESSIONS, unit: str = "vol points", counted: int | None = None) -> str:
    """Say that so few sessions are no evidence, and how many a mean as large as the one seen would take.

    Parameters
    ----------
    profits : float64, shape (T,)
        Profit of each session; NaN where there is none.
    unit : str
        Of a profit.
    counted : int, optional
        Sessions that have the outcome asked for, where it is another than the one of a session.
    """
    known = profits[np.isfinite(profits)]
    n = len(known)
    said = f"{n if counted is None else counted} sessions of hedged profits are no evidence of a premium; {least} are asked for"
    if n < 2:
        return said
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    needed = ((ndtri(1.0 - LEVEL) + ndtri(POWER)) * deviation / mean) ** 2 if mean else np.inf
    seen = float(ndtr(abs(mean) * np.sqrt(n) / deviation - ndtri(1.0 - LEVEL))) if deviation > 0.0 else 0.0
    return (
        f"{said}. {'Their mean' if counted in (None, n) else f'The mean of {n} profits of a session'} is {mean:+.2f} {unit} with a "
        f"deviation of {deviation:.2f}, from {known.min():+.1f} to {known.max():+.1f}: were it the truth, {n} sessions would show it in "
        f"{seen:.0%} of histories, and {needed:,.0f} sessions in {POWER:.0%}"
    )
