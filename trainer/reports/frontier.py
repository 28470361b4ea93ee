"""The Almgren-Chriss efficient frontier as points and as a plot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from execution.planning.slicing import MarketImpact, almgren_chriss, urgency
from trainer.reports.canvas import ACCENT, SECOND, new_axes, png


@dataclass(frozen=True)
class Point:
    """One efficient schedule.

    Attributes
    ----------
    risk_aversion : float
        lambda, 1 / USD; 0 is TWAP.
    urgency : float
        kappa T: what `urgency` of a device's entry asks for the same curve.
    expected_cost : float
        USD.
    variance : float
        USD^2.
    slices : tuple of float
        Shares of each interval, with the sign of the order.
    """

    risk_aversion: float
    urgency: float
    expected_cost: float
    variance: float
    slices: tuple[float, ...]

    @property
    def deviation(self) -> float:
        """Standard deviation of the cost, USD."""
        return math.sqrt(self.variance)

    @property
    def first_slice(self) -> float:
        """Share of the order that trades in the first interval."""
        return self.slices[0] / sum(self.slices)


def points_of(
    shares: float, duration: float, intervals: int, impact: MarketImpact, lowest: float, highest: float, count: int
) -> tuple[Point, ...]:
    """Return TWAP, then `count` schedules whose risk aversions are spaced evenly in their logarithm.

    Raises
    ------
    InvariantBroken
        The intervals are too long for the impact, or there are none.
    """
    aversions = [0.0, *np.geomspace(lowest, highest, count).tolist()]
    found = []
    for aversion in aversions:
        best = almgren_chriss(shares, duration, intervals, impact, aversion)
        kappa = urgency(duration / intervals, impact, aversion)
        slices = tuple(best.slices.tolist())
        found.append(Point(aversion, kappa * duration, best.expected_cost, best.variance, slices))
    return tuple(found)


def drawn(points: Sequence[Point]) -> bytes:
    """Expected cost against the standard deviation of the cost; TWAP marked at the cheap, uncertain end."""
    axes = new_axes("Expected cost and risk of a schedule", "standard deviation of the cost, USD", "expected cost, USD")
    axes.plot(
        [p.deviation for p in points],
        [p.expected_cost for p in points],
        color=ACCENT,
        linewidth=1.6,
        label="efficient schedules (Almgren-Chriss)",
    )
    even = points[0]
    axes.scatter([even.deviation], [even.expected_cost], color=SECOND, zorder=4, label="TWAP")
    axes.ticklabel_format(style="plain", axis="both")
    axes.legend(frameon=False)
    return png(axes)
