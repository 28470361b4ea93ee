r"""Forward of an expiry by put-call parity.

    C - P = D (F - K)

Over the strikes near the money, where C - P is smallest, a regression gives F and D; D is held to rates between -5 % and
20 %, since a few days say little of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats
from trainer.options.chains.chain import OptionChain

NEAR, LEAST_PAIRS, FEW_PAIRS = 0.04, 6, 3  # of the money, as a fraction; pairs of call and put
RATES = (-0.05, 0.20)
MOST_RELATIVE_SPREAD = 0.60


@dataclass(frozen=True)
class Forward:
    """Forward and discount of one expiry, by parity.

    Attributes
    ----------
    residual, half_spread : float, price
        Median distance of C - P from D (F - K) near the money, and the half spread of such a pair.
    pairs : int
        Strikes that have both quotes.
    """

    value: float
    discount: float
    residual: float
    half_spread: float
    pairs: int


def forward_of(chain: OptionChain, years: float) -> Forward | None:
    """Return the forward that the pairs of one expiry agree on; None with fewer than 3 of them."""
    strike, call, put = pairs_of(chain)
    if len(strike) < FEW_PAIRS:
        return None
    gap = chain.mid[call] - chain.mid[put]
    width = 0.5 * (chain.ask[call] - chain.bid[call] + chain.ask[put] - chain.bid[put])
    centre = strike[int(np.argmin(np.abs(gap)))]
    near = np.abs(strike / centre - 1.0) <= NEAR
    if near.sum() < LEAST_PAIRS:
        near = np.zeros(len(strike), dtype=bool)
        near[np.argsort(np.abs(gap), kind="stable")[:LEAST_PAIRS]] = True
    x, y = strike[near], gap[near]
    weight = 1.0 / np.maximum(width[near], 1e-6) ** 2
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float(np.average((x - mean_x) ** 2, weights=weight))
    slope = -float(np.average((x - mean_x) * (y - mean_y), weights=weight)) / spread if spread > 0.0 else 1.0
    discount = float(np.clip(slope, np.exp(-RATES[1] * years), np.exp(-RATES[0] * years)))
    value = float(np.median(x + y / discount))
    residual = np.abs(y - discount * (value - x))
    if not value > 0.0:
        return None
    return Forward(value, discount, float(np.median(residual)), float(np.median(width[near])), len(strike))


def pairs_of(chain: OptionChain) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Strikes of one expiry with a two-sided call and put, and the rows of both."""
    quoted = (chain.bid > 0.0) & (chain.ask >= chain.bid) & np.isfinite(chain.ask)
    calls, puts = np.flatnonzero(quoted & chain.is_call), np.flatnonzero(quoted & ~chain.is_call)
    strike, first, second = np.intersect1d(chain.strike[calls], chain.strike[puts], return_indices=True)
    return strike, calls[first], puts[second]


def outside(chain: OptionChain, forward: float) -> NDArray[np.int64]:
    """Rows of one expiry that are out of the money and two-sided, with a spread of at most 60 % of the mid."""
    beyond = np.where(chain.is_call, chain.strike >= forward, chain.strike < forward)
    with np.errstate(invalid="ignore", divide="ignore"):
        narrow = (chain.ask - chain.bid) / chain.mid <= MOST_RELATIVE_SPREAD
    return np.flatnonzero(beyond & (chain.bid > 0.0) & (chain.ask >= chain.bid) & narrow)
