"""Kelly sizing: the fraction of full Kelly that a book holds.

For a growth-optimal investor with small, roughly normal returns, E[log growth] = r + f (m - r) - f^2 s^2 / 2, which
is largest at f* = (m - r) / s^2; for many assets f = Sigma^-1 mu (Thorp 2006, "The Kelly criterion in blackjack, sports
betting and the stock market", section 7). The book uses one scalar: the best multiple of a given w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from portfolio.risk.evidence import evidence_share
from signals.errors import InvariantBroken
from signals.market.bars import Floats
from signals.scoring.scores import shrunk_ic


@dataclass(frozen=True)
class SizingCoefficient:
    """Statistics of the scores that size a book.

    Attributes
    ----------
    mean, t : float
        Mean walk-forward rank correlation of scores and labels, and its t under overlapping labels.
    book_t : float or None
        t of what the policy's own book earned walking forward, after its costs; infinite where a book is measured
        before it is sized by its evidence; None where nothing says it, which counts as no evidence.
    is_rehearsal : bool
        Whether the book has the declared size of a rehearsal: then none of the above sizes it.
    """

    mean: float
    t: float
    book_t: float | None
    is_rehearsal: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.t)) or abs(self.mean) > 1:
            raise InvariantBroken(f"an IC of {self.mean} with t {self.t}")
        if self.book_t is not None and np.isnan(self.book_t):
            raise InvariantBroken("the t of the walk-forward book is no number")

    @property
    def shrunk(self) -> float:
        """`shrunk_ic` of the mean and t."""
        return shrunk_ic(self.mean, self.t)

    @property
    def evidence(self) -> float:
        """`evidence_share` of the book's t."""
        return evidence_share(self.book_t)

    def before_evidence(self) -> SizingCoefficient:
        """Return the same, for a book that is measured before it is sized by its evidence."""
        return replace(self, book_t=math.inf)


def kelly_fraction(mean: float, rate: float, volatility: float) -> float:
    """Single asset: f* = (m - r) / s^2.

    Parameters
    ----------
    mean, rate : float
        Expected return and risk-free rate per period.
    volatility : float
        Standard deviation of the return over the same period.

    Examples
    --------
    >>> round(kelly_fraction(0.11, 0.06, 0.15), 4)
    2.2222
    """
    return (mean - rate) / volatility**2


def kelly_growth(fraction: float, mean: float, rate: float, volatility: float) -> float:
    """Expected log growth per period of holding `fraction` of wealth: r + f (m - r) - f^2 s^2 / 2."""
    return rate + fraction * (mean - rate) - fraction**2 * volatility**2 / 2.0


def kelly_growth_share(c: float) -> float:
    """Share of the full Kelly excess growth that c f* keeps: c (2 - c); one half keeps 3/4."""
    return c * (2.0 - c)


def kelly_weights(excess_mean: Floats, covariance: Floats) -> Floats:
    """Many assets: f = Sigma^-1 mu.

    Parameters
    ----------
    excess_mean : float64, shape (N,), expected excess return per period
    covariance : float64, shape (N, N), positive definite, same period

    Returns
    -------
    float64, shape (N,), fraction of wealth per asset
    """
    return np.asarray(np.linalg.solve(covariance, excess_mean), dtype=np.float64)


def kelly_scalar(weights: Floats, excess_mean: Floats, covariance: Floats) -> float:
    """Return the best multiple of a given book: f* = (w'mu) / (w'Sigma w); 0 for an empty book.

    Parameters
    ----------
    weights : float64, shape (N,)
    excess_mean : float64, shape (N,), expected return over the horizon
    covariance : float64, shape (N, N), over the same horizon
    """
    variance = float(weights @ covariance @ weights)
    return float(weights @ excess_mean) / variance if variance > 0 else 0.0


def grinold_mean(ic: float, residual_volatility: Floats, z: Floats) -> Floats:
    """Expected residual return IC sigma z (Grinold 1994, "Alpha is volatility times IC times score").

    Parameters
    ----------
    residual_volatility : float64, shape (N,), over the label horizon
    z : float64, shape (N,), standardised scores
    """
    return ic * residual_volatility * z
