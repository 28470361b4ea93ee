"""Projects a book to be neutral to the market, to its beta and to sectors.

Entry points: `exposures` names the rows that must stay small, `neutralise` brings a book inside caps and rows together.

Invariants of what `neutralise` returns
1. |w_i| <= cap, and no name changes sign or joins the book.
2. |a_j'w| <= limit_j for every row.
3. Gross is at most 1.
"""

from dataclasses import dataclass

import numpy as np

from portfolio.policy.caps import cap_names
from signals.errors import NoFeasibleBook
from signals.market.bars import Floats

MAX_PASSES = 50
TOLERANCE = 1e-12
INWARD = 0.99
"""A violated row is brought to this share of its limit: aiming inside makes the ascent end."""
DUAL_SWEEPS = 500
BISECTIONS = 50
MAX_MULTIPLIER = 1e12
"""A row that no multiplier of this size brings inside is moved by names too small to matter."""


@dataclass(frozen=True, eq=False)
class Exposures:
    """Linear figures of a book that must stay within limits.

    Attributes
    ----------
    names : tuple of str, length M
    rows : float64, shape (M, N)
        Row j gives each name's exposure per unit of weight.
    limits : float64, shape (M,)
        Largest |row'w|, fractions of equity.
    """

    names: tuple[str, ...]
    rows: Floats
    limits: Floats

    def of(self, weights: Floats) -> Floats:
        """Each row's figure, shape (M,)."""
        figures: Floats = self.rows @ weights
        return figures

    def hold(self, weights: Floats) -> bool:
        """Whether every figure is within its limit."""
        return bool(np.all(np.abs(self.of(weights)) <= self.limits + TOLERANCE))


def exposures(beta: Floats, sectors: tuple[str, ...], net_limit: float, beta_limit: float, sector_limit: float | None) -> Exposures:
    """Return the rows of a long/short book: net, beta and, where limited, each known sector.

    Parameters
    ----------
    beta : float64, shape (N,)
    sectors : tuple of str, length N or empty
        Names of an unknown sector ("") are in no sector row.
    """
    names, rows, limits = ["net", "beta"], [np.ones_like(beta), beta], [net_limit, beta_limit]
    if sector_limit is not None and sectors:
        for sector in sorted(set(sectors) - {""}):
            names.append(f"sector {sector}")
            rows.append(np.array([float(s == sector) for s in sectors]))
            limits.append(sector_limit)
    return Exposures(tuple(names), np.array(rows), np.array(limits))


def neutralise(weights: Floats, cap: float, limited: Exposures) -> tuple[Floats, int]:
    """Alternate name caps and neutrality until both hold.

    A pass caps the names, handing the excess to their side, and then moves to the nearest book inside the rows.

    Parameters
    ----------
    weights : float64, shape (N,), gross at most 1

    Returns
    -------
    weights : float64, shape (N,)
    passes : int
        Passes needed, from 1.

    Raises
    ------
    NoFeasibleBook
        50 passes did not meet caps and rows together.
    """
    side = np.sign(weights)
    for passes in range(1, MAX_PASSES + 1):
        weights = cap_names(weights, cap)
        if limited.hold(weights):
            return weights, passes
        weights = nearest_within(weights, side, cap, limited)
        weights = weights / max(1.0, float(np.abs(weights).sum()))
    figures = ", ".join(f"{n} {v:+.4f}" for n, v in zip(limited.names, limited.of(weights), strict=True))
    raise NoFeasibleBook(
        f"name caps and neutrality did not meet within {MAX_PASSES} passes",
        where=figures,
        fix="Widen net_limit, beta_limit or sector_limit, or hold more names",
    )


def nearest_within(weights: Floats, side: Floats, cap: float, limited: Exposures) -> Floats:
    """Solve min sum (w_i - v_i)^2 / |v_i| subject to |a_j'w| <= limit_j and 0 <= side_i w_i <= cap.

    Coordinate ascent on the dual (Hildreth 1957): w(lambda) = clip(v - D A'lambda) with D = diag(|v|), where a sweep
    sets one lambda_j after the other so that its row is inside or just at its limit, until all rows hold. The book of
    zeros satisfies everything, so a solution exists; names of weight 0 do not move.

    Parameters
    ----------
    weights : float64, shape (N,)
        v.
    side : float64, shape (N,)
        1 long, -1 short, 0 neither.
    """
    scaled = limited.rows * np.abs(weights)
    low, high = np.minimum(side * cap, 0.0), np.maximum(side * cap, 0.0)
    goals = INWARD * limited.limits
    dual = np.zeros(len(goals))
    book = weights
    for _ in range(DUAL_SWEEPS):
        for j, row in enumerate(limited.rows):
            others = weights - dual @ scaled + dual[j] * scaled[j]
            dual[j] = _multiplier(others, scaled[j], row, low, high, float(goals[j]))
        book = np.clip(weights - dual @ scaled, low, high)
        if limited.hold(book):
            break
    return book


def _multiplier(others: Floats, slope: Floats, row: Floats, low: Floats, high: Floats, goal: float) -> float:
    """Return the smallest lambda with |row'clip(others - lambda slope)| <= goal; the figure falls in lambda."""

    def figure(multiplier: float) -> float:
        return float(row @ np.minimum(np.maximum(others - multiplier * slope, low), high))  # half of `np.clip`'s time

    start = figure(0.0)
    if abs(start) <= goal:
        return 0.0
    sign = 1.0 if start > 0 else -1.0
    inside, outside = sign, 0.0
    while sign * figure(inside) > goal:
        inside, outside = 2.0 * inside, inside
        if abs(inside) > MAX_MULTIPLIER:
            return inside
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2.0
        inside, outside = (inside, middle) if sign * figure(middle) > goal else (middle, outside)
    return inside
