"""The quotes of one underlying's options at one close, and the forward of each expiry by put-call parity, C - P = D (F - K).

Over the strikes near the money, where C - P is smallest, a regression gives F and D; D is held to rates between -5 % and
20 %, since a few days say little of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Days, Floats

DAYS_A_YEAR = 365.0
NEAR, LEAST_PAIRS, FEW_PAIRS = 0.04, 6, 3  # of the money, as a fraction; pairs of call and put
RATES = (-0.05, 0.20)
MOST_RELATIVE_SPREAD = 0.60
ARRAYS = ("expiration", "strike", "is_call", "bid", "ask", "volume", "open_interest")


@dataclass(frozen=True, eq=False)
class OptionChain:
    """One underlying and day; rows in the order of expiration, strike, put before call.

    Attributes
    ----------
    root : str
        As listed: SPXW.
    spot : float
        Close of the underlying, restated for splits to the strikes' own units; NaN where it is not known.
    expiration : datetime64[D], shape (n,)
    strike, bid, ask : float64, shape (n,), price
        NaN where there is no quote; a bid of 0 is no bid.
    volume, open_interest : float64, shape (n,), contracts
        NaN where unknown.
    is_call : bool, shape (n,)
    restated : float
        By what the delivered close was multiplied; 1 where it was not.
    known_at : date, optional
        Day on which the last of the rows was known; None where nobody says.
    """

    root: str
    day: date
    spot: float
    expiration: Days
    strike: Floats
    is_call: NDArray[np.bool_]
    bid: Floats
    ask: Floats
    volume: Floats
    open_interest: Floats
    restated: float = 1.0
    known_at: date | None = None

    def __len__(self) -> int:
        return len(self.strike)

    @property
    def mid(self) -> Floats:
        """Middle of bid and ask, float64 (n,); NaN where either is missing."""
        return 0.5 * (self.bid + self.ask)

    @property
    def is_late(self) -> bool:
        """Whether a row became known only after its own evening: nothing could have been decided by it then."""
        return self.known_at is not None and self.known_at > self.day

    @property
    def expirations(self) -> Days:
        """Distinct expirations after the day itself."""
        found = np.unique(self.expiration)
        return found[found > np.datetime64(self.day, "D")]

    def where(self, chosen: NDArray[np.bool_]) -> OptionChain:
        """Return the rows that are `chosen`."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in ARRAYS})

    def of(self, expiration: np.datetime64) -> OptionChain:
        """Return the rows of one expiration."""
        return self.where(self.expiration == expiration)

    def years(self, expiration: np.datetime64) -> float:
        """Calendar time to an expiration, in years of 365 days."""
        return float((expiration - np.datetime64(self.day, "D")) / np.timedelta64(1, "D")) / DAYS_A_YEAR

    def slices(self) -> Iterator[tuple[np.datetime64, OptionChain]]:
        """Yield every later expiration with its rows."""
        for expiration in self.expirations:
            yield expiration, self.of(expiration)


@dataclass(frozen=True)
class Forward:
    """Forward and discount of one expiry, by parity.

    Attributes
    ----------
    residual, half_spread : float, price
        Median distance of C - P from D (F - K) near the money, and the half spread of such a pair.
    """

    value: float
    discount: float
    residual: float
    half_spread: float


def forward_of(chain: OptionChain, years: float) -> Forward | None:
    """Return the forward that the pairs of one expiry agree on; None with fewer than 3 of them."""
    quoted = (chain.bid > 0.0) & (chain.ask >= chain.bid) & np.isfinite(chain.ask)
    calls, puts = np.flatnonzero(quoted & chain.is_call), np.flatnonzero(quoted & ~chain.is_call)
    strike, first, second = np.intersect1d(chain.strike[calls], chain.strike[puts], return_indices=True)
    if len(strike) < FEW_PAIRS:
        return None
    call, put = calls[first], puts[second]
    gap = chain.mid[call] - chain.mid[put]
    width = 0.5 * (chain.ask[call] - chain.bid[call] + chain.ask[put] - chain.bid[put])
    nearest = np.argsort(np.abs(gap), kind="stable")
    near = np.flatnonzero(np.abs(strike / strike[nearest[0]] - 1.0) <= NEAR)
    near = near if len(near) >= LEAST_PAIRS else nearest[:LEAST_PAIRS]
    x, y, width = strike[near], gap[near], width[near]
    slope = np.polyfit(x - x.mean(), y, 1, w=1.0 / np.maximum(width, 1e-6))[0]
    discount = float(np.clip(-slope, np.exp(-RATES[1] * years), np.exp(-RATES[0] * years)))
    value = float(np.median(x + y / discount))
    residual = float(np.median(np.abs(y - discount * (value - x))))
    return Forward(value, discount, residual, float(np.median(width))) if value > 0.0 else None


def outside(chain: OptionChain, forward: float) -> NDArray[np.int64]:
    """Rows of one expiry that are out of the money and two-sided, with a spread of at most 60 % of the mid."""
    beyond = np.where(chain.is_call, chain.strike >= forward, chain.strike < forward)
    with np.errstate(invalid="ignore", divide="ignore"):
        narrow = (chain.ask - chain.bid) / chain.mid <= MOST_RELATIVE_SPREAD
    return np.flatnonzero(beyond & (chain.bid > 0.0) & (chain.ask >= chain.bid) & narrow)
