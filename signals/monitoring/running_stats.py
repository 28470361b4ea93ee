"""Cumulative live figures of a model, session by session, in plain Python for jobs and screens."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

PAID = ("spread and impact", "fees", "slippage")
BPS = 10_000


def running_mean(values: Sequence[float | None]) -> list[float]:
    """Mean of the values so far, after each; None adds nothing, and before the first value it is 0.

    Examples
    --------
    >>> running_mean([0.2, None, 0.4])
    [0.2, 0.2, 0.30000000000000004]
    """
    found, total, count = list[float](), 0.0, 0
    for value in values:
        if value is not None:
            total, count = total + value, count + 1
        found.append(total / count if count else 0.0)
    return found


def deepest_falls(net: Sequence[float]) -> list[float]:
    """Deepest fall below the highest value so far, as a fraction, after each net return.

    A value of zero or below is the end: no later return changes it.

    Examples
    --------
    >>> deepest_falls([0.1, -0.5, 0.2])
    [0.0, 0.5, 0.5]
    >>> deepest_falls([-1.5, -2.0])
    [1.5, 1.5]
    """
    value, peak, deepest, found = 1.0, 1.0, 0.0, list[float]()
    for earned in net:
        value *= 1.0 + earned if value > 0 else 1.0
        peak = max(peak, value)
        deepest = max(deepest, 1.0 - value / peak)
        found.append(deepest)
    return found


def paid_bps(costs: Mapping[str, Decimal], traded: Decimal) -> float | None:
    """Spread, impact, fees and slippage of a session in basis points of the USD traded; None where nothing was.

    Examples
    --------
    >>> paid_bps({"spread and impact": Decimal("-1.10"), "fees": Decimal("-0.05"), "slippage": Decimal("-0.35")}, Decimal(5000))
    3.0
    """
    if traded <= 0:
        return None
    return float(-sum(costs[name] for name in PAID) / traded * BPS)
