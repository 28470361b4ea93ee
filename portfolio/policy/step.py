"""One session's step from the held book towards the target book, by the policy's trading rate.

Each name moves ramp/k of its gap, with these exceptions, in this order
1. A gap below the band is not traded; a larger one moves by at least the band, and all the way when what would be left
   is below the band: a book reaches its target in finitely many sessions instead of stalling a band short of it.
2. A name without a target whose weight is below the band is closed at once: nothing decays for ever.
3. A trade that adds to a position and whose expected gain over the horizon is below its round-trip cost is skipped.
   What lowers a position is never skipped for its cost.
4. A name beyond the stepped name limit (it drifted there) comes back to that limit at once.
5. Skipped trades can unbalance a book that moved evenly would not be: slices are then added, the most helpful first,
   until the book is back inside its stepped limits or where the even move would have been.
6. Trades are scaled down together when their turnover exceeds the limit.

Invariants, checked by `check_step`
1. Every weight is between the current and the target one.
2. Gross, |net| and |beta| are within the stepped limits, or no further out than the current book.
3. Turnover, sum |dw| / 2, is at most the limit.
4. A current book that equals the target is not traded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolio.config import BookSides, PortfolioConfig
from signals.errors import InvariantBroken
from signals.market.bars import Floats

SLACK = 1e-9
UNKNOWN_BETA = 1.0
"""Beta of a held name without a risk estimate: the market's own."""


@dataclass(frozen=True, eq=False)
class Step:
    """One session's move.

    Attributes
    ----------
    weights : float64, shape (N,)
        The book after the session's trades.
    below_band, below_cost : int
        Names whose trade was skipped for its size, for its cost.
    rebalanced : int
        Slices that were added to keep the book inside its stepped limits.
    turnover : float
        sum |dw| / 2
    """

    weights: Floats
    below_band: int
    below_cost: int
    rebalanced: int
    turnover: float


@dataclass(frozen=True, eq=False)
class Way:
    """The two ends of a step, aligned on N names.

    Attributes
    ----------
    current, target : float64, shape (N,)
    mu : float64, shape (N,)
        Expected return over the horizon; 0 where unknown.
    beta : float64, shape (N,)
        `UNKNOWN_BETA` where unknown.
    fraction : float
        ramp / k, in (0, 1].
    band : float
        Smallest trade, fraction of equity.
    """

    current: Floats
    target: Floats
    mu: Floats
    beta: Floats
    fraction: float
    band: float

    def slices(self, weights: Floats) -> Floats:
        """The next ordinary trade of each name from `weights`: a share of the gap, at least the band, never beyond."""
        gap = self.target - weights
        size = np.maximum(np.abs(gap) * self.fraction, self.band)
        return np.sign(gap) * np.where(np.abs(gap) - size < self.band, np.abs(gap), size)

    def moved(self, weights: Floats, trades: Floats) -> Floats:
        """Return `weights` after `trades`; a trade of the whole gap ends at the target to the bit."""
        return np.where(trades == self.target - weights, self.target, weights + trades)


def step(way: Way, config: PortfolioConfig) -> Step:
    """Move one session towards the target; rules and invariants as in the module's header."""
    gap = way.target - way.current
    trades = way.slices(way.current)
    small = (np.abs(gap) < way.band) & (gap != 0)
    leaves = small & (way.target == 0)
    small &= ~leaves
    trades = np.where(small, 0.0, trades)
    adds = np.abs(way.current + trades) > np.abs(way.current)
    costly = adds & (np.sign(trades) * way.mu < config.round_trip_cost_bps / 1e4)
    trades = np.where(costly, 0.0, trades)
    limit = config.stepped_name_limit
    stepped = way.moved(way.current, trades)
    excessive = (np.abs(stepped) > limit) & (np.abs(way.target) <= limit)
    stepped = np.where(excessive, np.sign(stepped) * limit, stepped)
    stepped, rebalanced = rebalance(stepped, way, config)
    turnover = float(np.abs(stepped - way.current).sum()) / 2
    if turnover > config.turnover_limit:
        stepped = way.current + (stepped - way.current) * (config.turnover_limit / turnover)
        turnover = config.turnover_limit
    taken = Step(stepped, int(small.sum()), int(costly.sum()), rebalanced, turnover)
    check_step(taken, way, config)
    return taken


def rebalance(weights: Floats, way: Way, config: PortfolioConfig) -> tuple[Floats, int]:
    """Add slices until the book is inside its stepped limits or where the even move would have been.

    Both the target and the even move satisfy these bounds (they are convex), so moving names on towards the target
    ends inside them: each round takes the slice that lowers the summed relative excess the most; a name whose gap is
    exhausted has none left.
    """
    even = (1 - way.fraction) * _measures(way.current, way) + way.fraction * _measures(way.target, way)
    bounds = np.maximum(_stepped_limits(config), even) + SLACK / 2
    weights = weights.copy()
    rounds = 0
    while bool(np.any(_measures(weights, way) > bounds)):
        slices = way.slices(weights)
        trial = _measures_after_each(weights, slices, way)
        excess = np.maximum(trial - bounds[:, None], 0.0) / bounds[:, None]
        excess = np.where(slices == 0, np.inf, excess.sum(axis=0))
        chosen = int(np.lexsort((np.arange(weights.size), -np.abs(slices), excess))[0])
        if not np.isfinite(excess[chosen]):
            break
        weights[chosen] = way.moved(weights, slices)[chosen]
        rounds += 1
    return weights, rounds


def check_step(taken: Step, way: Way, config: PortfolioConfig) -> None:
    """Raise `InvariantBroken` unless `taken` keeps the invariants of the module's header."""
    low, high = np.minimum(way.current, way.target), np.maximum(way.current, way.target)
    if bool(np.any((taken.weights < low - SLACK) | (taken.weights > high + SLACK))):
        raise InvariantBroken("a step overshoots its target or moves away from it")
    bounds = np.maximum(_stepped_limits(config), _measures(way.current, way))
    for name, figure, bound in zip(("gross", "net", "beta"), _measures(taken.weights, way), bounds, strict=True):
        if figure > bound + SLACK:
            raise InvariantBroken(f"the stepped book's {name} is {figure:.6f}, above {bound:.6f}")
    if taken.turnover > config.turnover_limit + SLACK:
        raise InvariantBroken(f"a step turns over {taken.turnover:.4f}, above {config.turnover_limit:.4f}")


def _stepped_limits(config: PortfolioConfig) -> Floats:
    is_neutral = config.mode is BookSides.LONG_SHORT
    net = config.stepped_net_limit if is_neutral else np.inf
    beta = config.stepped_beta_limit if is_neutral else np.inf
    return np.array([config.stepped_gross_limit, net, beta])


def _measures(weights: Floats, way: Way) -> Floats:
    return np.array([np.abs(weights).sum(), abs(weights.sum()), abs(way.beta @ weights)])


def _measures_after_each(weights: Floats, slices: Floats, way: Way) -> NDArray[np.float64]:
    gross = np.abs(weights).sum() + np.abs(weights + slices) - np.abs(weights)
    net = np.abs(weights.sum() + slices)
    beta = np.abs(way.beta @ weights + way.beta * slices)
    return np.stack([gross, net, beta])
