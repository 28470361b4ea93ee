"""Arbitrage that could be traded at the touch: bought at the ask, sold at the bid, without any model."""

from collections.abc import Sequence

import numpy as np

from signals.market.bars import Floats
from trainer.options.chains.chain import OptionChain
from trainer.options.surface.quotes import SmileQuotes

CENT = 0.01


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
    """Numbers of the slices whose ask is, at some k, below the bid of the slice before: its total variance would fall in time."""
    found = set()
    for number in range(1, len(slices)):
        early, late = slices[number - 1], slices[number]
        ask = _between(early.k, late.k, late.high)
        if bool(np.any(early.low > ask * (1.0 + 1e-6))):
            found.add(number)
    return frozenset(found)


def _between(k: Floats, known: Floats, values: Floats) -> Floats:
    """Larger of both neighbours' values at `k`; infinite outside what is known: nothing is said there."""
    place = np.searchsorted(known, k)
    inside = (place > 0) & (place < len(known))
    last = len(known) - 1
    larger = np.maximum(values[np.clip(place - 1, 0, last)], values[np.clip(place, 0, last)])
    return np.where(inside, larger, np.inf)
