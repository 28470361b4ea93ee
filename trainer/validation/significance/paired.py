r"""Test of the difference of two correlated Sharpe ratios on common sessions.

    D = S1 - S2,  S = m / sqrt(g - m^2),  with m = mean r and g = mean r^2;  SE(D)^2 = grad' Psi grad / T

Psi is the long-run covariance of (r1, r2, r1^2, r2^2), from the sums of every block of b sessions. The distribution of
(D* - D) / SE(D*) comes from a circular block bootstrap, in which SE(D*) is computed from the drawn blocks: Ledoit and
Wolf, Robust Performance Hypothesis Testing with the Sharpe Ratio (2008), section 3.2, one-sided here.

Beside it the closed form for independent normal returns, per session (Memmel 2003), which gives the power:

    Var(D) = [2 (1 - r) + (S1^2 + S2^2 - 2 S1 S2 r^2) / 2] / T
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from signals.market.bars import Floats
from trainer.validation.ic import block_sums
from trainer.validation.significance.power import LEVEL, POWER, SESSIONS_PER_YEAR

DRAWS, BLOCK_SESSIONS, MIN_BLOCKS = 4999, 21, 10
ROUNDING = 1e-9  # of an annual Sharpe ratio
GAIN = 0.3  # annual Sharpe ratio that the power is stated for
SEED = 20260101  # of the bootstrap: fixed, so that the same books give the same bound


@dataclass(frozen=True, eq=False)
class Paired:
    """A difference of annual Sharpe ratios with its error.

    Attributes
    ----------
    difference, standard_error : float
        Annual.
    correlation : float
        Of the session returns.
    studentised : float64, shape (draws,), ascending
        (D* - D) / SE(D*) of the bootstrap.
    """

    difference: float
    standard_error: float
    correlation: float
    sessions: int
    studentised: Floats

    def lower_bound(self, level: float) -> float:
        """Bound below which the true difference is with probability `level` at most."""
        if self.standard_error == 0.0:
            return self.difference
        return self.difference - float(np.quantile(self.studentised, 1.0 - level)) * self.standard_error


def paired(ours: Floats, theirs: Floats, *, seed: int, draws: int = DRAWS) -> Paired | None:
    """Compare net returns of the same sessions, both of shape (T,), no NaN.

    Returns
    -------
    Paired or None
        None where there are too few sessions for ten blocks, or a book never moved.
    """
    block = min(BLOCK_SESSIONS, len(ours) // MIN_BLOCKS)
    if block == 0 or float(np.ptp(ours)) == 0.0 or float(np.ptp(theirs)) == 0.0:
        return None
    moments = np.column_stack([ours, theirs, ours**2, theirs**2])
    known = moments.mean(axis=0)
    found, gradient = _difference(known[None])
    sums = block_sums((moments - known) @ gradient[0], block)
    error = np.sqrt(np.mean(sums**2) / (block * len(ours)))
    year = float(np.sqrt(SESSIONS_PER_YEAR))
    difference, deviation = float(found[0]) * year, float(error) * year
    if max(abs(difference), deviation) < ROUNDING:  # one book, added up in another order
        difference = deviation = 0.0
    return Paired(
        difference,
        deviation,
        float(np.corrcoef(ours, theirs)[0, 1]),
        len(ours),
        _studentised(moments, float(found[0]), block, np.random.default_rng(seed), draws),
    )


@dataclass(frozen=True)
class ComparedBooks:
    """Two books on the sessions that both have, and what so many sessions can say of them.

    Attributes
    ----------
    difference, low, high : float
        Of the annual net Sharpe ratios, the first less the second, with the ends of its 95 % interval.
    chance : float
        That a true gain of `GAIN` would be seen by now.
    needed : float
        Sessions after which it is seen with 80 %.
    """

    sessions: int
    difference: float
    low: float
    high: float
    correlation: float
    chance: float
    needed: float

    def __str__(self) -> str:
        return (
            f"net Sharpe ratio {self.difference:+.2f} a year (95 % {self.low:+.2f} to {self.high:+.2f}) on {self.sessions} common "
            f"sessions, correlation {self.correlation:.2f}; a true gain of {GAIN} would be seen with {self.chance:.0%}, "
            f"with {POWER:.0%} after {self.needed:,.0f} sessions"
        )


def compared(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> ComparedBooks | None:
    """Compare the returns of two books by session; None where they have too few in common, or one never moved."""
    common = sorted(ours.keys() & theirs.keys())
    found = paired(np.array([ours[day] for day in common]), np.array([theirs[day] for day in common]), seed=SEED) if common else None
    if found is None:
        return None
    low, high = (found.lower_bound(level) for level in (0.025, 0.975))
    chance = chance_of_bound_above(0.0, GAIN, found.correlation, found.sessions, LEVEL)
    needed = ((ndtri(1.0 - LEVEL) + ndtri(POWER)) * standard_error(found.correlation, 1) / GAIN) ** 2
    return ComparedBooks(found.sessions, found.difference, low, high, found.correlation, chance, float(needed))


def standard_error(correlation: float, sessions: int, ours: float = 0.0, theirs: float = 0.0) -> float:
    """Memmel's standard error of the difference of two annual Sharpe ratios, `ours` and `theirs`."""
    variance = 2.0 * (1.0 - correlation) * SESSIONS_PER_YEAR
    variance += (ours**2 + theirs**2 - 2.0 * ours * theirs * correlation**2) / 2.0
    return float(np.sqrt(max(variance, 0.0) / sessions))


def chance_of_bound_above(limit: float, true: float, correlation: float, sessions: int, level: float) -> float:
    """Probability that the one-sided bound of a true difference `true` is above `limit`."""
    error = standard_error(correlation, sessions)
    if error == 0.0:
        return float(true > limit)
    return float(ndtr((true - limit) / error - ndtri(1.0 - level)))


def _difference(moments: Floats) -> tuple[Floats, Floats]:
    """Difference of Sharpe ratios per session and its gradient, of moments of shape (n, 4)."""
    a, b, c, d = moments.T
    first, second = np.maximum(c - a**2, 1e-300), np.maximum(d - b**2, 1e-300)
    gradient = np.column_stack([c / first**1.5, -d / second**1.5, -a / (2 * first**1.5), b / (2 * second**1.5)])
    return a / np.sqrt(first) - b / np.sqrt(second), gradient


def _studentised(moments: Floats, known: float, block: int, rng: np.random.Generator, draws: int) -> Floats:
    count, blocks = len(moments), len(moments) // block
    taken = block_sums(moments, block)[rng.integers(count, size=(draws, blocks))]
    again = taken.mean(axis=1) / block
    found, gradient = _difference(again)
    deviations = np.einsum("ijk,ik->ij", taken - block * again[:, None], gradient) / np.sqrt(block)
    errors = np.sqrt((deviations**2).mean(axis=1) / (blocks * block))
    ratio = np.divide(found - known, errors, out=np.zeros(draws), where=errors > 1e-12)
    return np.sort(ratio)
