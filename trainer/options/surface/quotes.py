"""Implied deviations of the out-of-the-money quotes of one expiry.

Calls at and above the forward and puts below it are used: of American options the others carry a premium for early
exercise, which this leaves out.
"""

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from trainer.options.chains.chain import OptionChain
from trainer.options.chains.parity import Forward, outside
from trainer.options.surface.black import implied_deviation

MOST_DEVIATIONS = 6.0


@dataclass(frozen=True, eq=False)
class SmileQuotes:
    """Usable out-of-the-money quotes of one expiry, float64 (n,) in the order of k.

    Attributes
    ----------
    strike, k : price, ln(K/F)
    deviation, low, high : sigma sqrt(t) of mid, bid and ask
    """

    years: float
    forward: Forward
    strike: Floats
    k: Floats
    deviation: Floats
    low: Floats
    high: Floats

    def __len__(self) -> int:
        return len(self.k)

    @property
    def half_width(self) -> Floats:
        """Half of the distance from bid to ask, as a deviation."""
        return 0.5 * (self.high - self.low)


def quotes_of(chain: OptionChain, years: float, forward: Forward) -> SmileQuotes:
    """Return the usable out-of-the-money quotes of one expiry.

    Two-sided, spread at most 60 % of the mid, bid and ask inside the bounds of no arbitrage, and within 6 standard
    deviations of the money, as its own options measure them.
    """
    value, discount = forward.value, forward.discount
    row = outside(chain, value)
    strike, k = chain.strike[row], np.log(chain.strike[row] / value)
    low, mid, high = (implied_deviation(price[row], value, strike, discount) for price in (chain.bid, chain.mid, chain.ask))
    known = np.isfinite(low) & np.isfinite(mid) & np.isfinite(high)
    if known.any():
        at_money = mid[known][int(np.argmin(np.abs(k[known])))]
        known &= np.abs(k) <= MOST_DEVIATIONS * at_money
    order = np.flatnonzero(known)[np.argsort(k[known], kind="stable")]
    return SmileQuotes(years, forward, strike[order], k[order], mid[order], low[order], high[order])
