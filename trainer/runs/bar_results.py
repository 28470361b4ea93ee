"""The result of one promotion bar: figure, limit, verdict and reason, as promotions and retrainings store it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BarResult:
    """One bar: what was found, what is asked, whether it passes, and why.

    `power` says how often the bar is wrong at the size of this evidence; empty for what is counted, not estimated.
    """

    bar: str
    value: float | str | None
    limit: float | str
    passed: bool
    why: str
    power: str = ""


def at_least(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be below its limit; no finite figure is no evidence."""
    if value is None or not np.isfinite(value):
        return BarResult(bar, None, limit, False, "no evidence")
    return BarResult(bar, value, limit, value >= limit, why if value >= limit else f"{value:.4g} is below {limit:.4g}, {why}")


def at_most(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be above its limit; no finite figure is no evidence."""
    if value is None or not np.isfinite(value):
        return BarResult(bar, None, limit, False, "no evidence")
    return BarResult(bar, value, limit, value <= limit, why if value <= limit else f"{value:.4g} is above {limit:.4g}, {why}")


def finite(value: float | None) -> float | None:
    """A number that exists; None for none and NaN."""
    return value if value is not None and np.isfinite(value) else None
