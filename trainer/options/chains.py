"""The quotes of one underlying's options at one close: forwards by parity, implied deviations, and arbitrage at the touch.

The forward F and discount D of an expiry are those of put-call parity, C - P = D (F - K): a regression over the strikes near the
money, where C - P is smallest; D is held to rates between -5 % and 20 %, since a few days say little of it. Implied deviations are
those of calls at and above the forward and puts below it: of American options the others carry a premium for early exercise,
which this leaves out. Arbitrage is what could be traded at the touch, bought at the ask and sold at the bid, without any model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Days, Floats
from trainer.options.black import implied_deviation

DAYS_A_YEAR = 365.0
NEAR, LEAST_PAIRS, FEW_PAIRS = 0.04, 6, 3  # of the money, as a fraction; pairs of call and put
RATES = (-0.05, 0.20)
MOST_RELATIVE_SPREAD = 0.60
MOST_DEVIATIONS = 6.0
CENT = 0.01
ARRAYS = ("expiration", "strike", "is_call", "bid", "ask", "volume", "open_interest")


@dataclass(frozen=True, eq=False)
class OptionChain:
    """One underlying and day; rows in the order of expiration, strike, put before call, arrays of shape (n,).

    `root` is as listed: SPXW. `spot` is the close of the underlying, restated for splits to the strikes' own units, NaN where it is
    not known; `restated` says by what the delivered one was multiplied, 1 where it was not. `expiration` is datetime64[D], `is_call`
    bool; `strike`, `bid` and `ask` are float64 prices, NaN where there is no quote, and a bid of 0 is none; `volume` and
    `open_interest` float64 contracts, NaN where unknown. `known_at` is the day on which the last of the rows was known; None where
    nobody says.
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

    def slices(self) -> Iterator[tuple[np.datetime64, float, OptionChain, Forward | None]]:
        """Yield every later expiration with the calendar time to it, in years of 365 days, its rows and their forward."""
        for expiration in self.expirations:
            years = float((expiration - np.datetime64(self.day, "D")) / np.timedelta64(1, "D")) / DAYS_A_YEAR
            rows = self.where(self.expiration == expiration)
            yield expiration, years, rows, forward_of(rows, years)


@dataclass(frozen=True)
class Forward:
    """Forward and discount of one expiry, by parity.

    `residual` is the median distance of C - P from D (F - K) near the money, `half_spread` the half spread of such a pair; prices.
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


@dataclass(frozen=True, eq=False)
class SmileQuotes:
    """Usable out-of-the-money quotes of one expiry, float64 (n,) in the order of k = ln(K/F).

    `deviation`, `low` and `high` are sigma sqrt(t) of mid, bid and ask.
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
    row = outside(chain, forward.value)
    strike, k = chain.strike[row], np.log(chain.strike[row] / forward.value)
    quoted = np.stack([chain.bid[row], chain.mid[row], chain.ask[row]])
    low, mid, high = implied_deviation(quoted, forward.value, strike, forward.discount)
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

    >>> n, day = np.full(3, np.nan), np.full(3, np.datetime64("2018-03-16"))
    >>> price = np.array([12.0, 9.0, 2.0])
    >>> butterflies(OptionChain("X", date(2018, 2, 1), 101.0, day, np.array([90.0, 100, 110]), np.ones(3, bool), price, price, n, n))
    1
    """
    found = 0
    for is_call in (True, False):
        rows = (chain.is_call == is_call) & (chain.ask >= chain.bid) & (chain.ask > 0.0)
        strike, bid, ask = chain.strike[rows], chain.bid[rows], chain.ask[rows]
        dear, cheap = (bid[1:], ask[:-1]) if is_call else (bid[:-1], ask[1:])  # what must not cost more than the other
        low = (strike[2:] - strike[1:-1]) / (strike[2:] - strike[:-2])
        is_dear = low * ask[:-2] + (1.0 - low) * ask[2:] < bid[1:-1] - CENT
        found += int(np.count_nonzero(dear > cheap + CENT)) + int(np.count_nonzero(is_dear))
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
