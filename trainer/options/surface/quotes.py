"""Implied deviations of the out-of-the-money quotes of one expiry, and arbitrage between quotes.

Calls at and above the forward and puts below it are used: of American options the others carry a premium for early
exercise, which this leaves out. Arbitrage is what could be traded at the touch: bought at the ask, sold at the bid, without
any model.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from trainer.options.chains.chain import Forward, OptionChain, outside
from trainer.options.surface.black import implied_deviation

MOST_DEVIATIONS = 6.0
CENT = 0.01


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
    low, mid, high = implied_deviation(np.stack([chain.bid[row], chain.mid[row], chain.ask[row]]), value, strike, discount)
    known = np.isfinite(low) & np.isfinite(mid) & np.isfinite(high)
    if known.any():
        at_money = mid[known][int(np.argmin(np.abs(k[known])))]
        known &= np.abs(k) <= MOST_DEVIATIONS * at_money
    order = np.flatnonzero(known)[np.argsort(k[known], kind="stable")]
    return SmileQuotes(years, forward, strike[order], k[order], mid[order], low[order], high[order])


def butterflies(chain: OptionChain) -> int:
    """Count the verticals and butterflies of one expiry that pay their buyer; neighbouring strikes of one right.

    Examples
    --------
    Calls at 90, 100, 110 for 12, 9 and 2: half of the first and of the last cost 7, the middle one sells for 9.

    >>> from datetime import date
    >>> n, day = np.full(3, np.nan), np.full(3, np.datetime64("2018-03-16"))
    >>> price = np.array([12.0, 9.0, 2.0])
    >>> butterflies(OptionChain("X", date(2018, 2, 1), 101.0, day, np.array([90.0, 100, 110]), np.ones(3, bool), price, price, n, n))
    1
    """
    found = 0
    for is_call in (True, False):
        rows = (chain.is_call == is_call) & (chain.ask >= chain.bid) & (chain.ask > 0.0)
        strike, bid, ask = chain.strike[rows], chain.bid[rows], chain.ask[rows]
        if len(strike) < 2:
            continue
        dear, cheap = (bid[1:], ask[:-1]) if is_call else (bid[:-1], ask[1:])  # what must not cost more than the other
        found += int(np.count_nonzero(dear > cheap + CENT))
        low = (strike[2:] - strike[1:-1]) / (strike[2:] - strike[:-2])
        found += int(np.count_nonzero(low * ask[:-2] + (1.0 - low) * ask[2:] < bid[1:-1] - CENT))
    return found


def calendars(slices: Sequence[SmileQuotes]) -> frozenset[int]:
    """Numbers of the slices whose ask is, at some k, below the bid of the slice before: its total variance would fall in time.

    The ask between two quotes is the larger one of both; nothing is said beyond the last.
    """
    found = set()
    for number, (early, late) in enumerate(itertools.pairwise(slices), 1):
        place = np.searchsorted(late.k, early.k)
        inside = (place > 0) & (place < len(late))
        ask = np.maximum(late.high[place - 1], late.high[np.minimum(place, len(late) - 1)])
        if bool(np.any(inside & (early.low > ask * (1.0 + 1e-6)))):
            found.add(number)
    return frozenset(found)
