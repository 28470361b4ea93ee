r"""The quotes of one underlying's options at one close: forwards by parity, Black's formula and its inverse, arbitrage at the touch.

The forward F and discount D of an expiry are those of put-call parity, C - P = D (F - K): a regression over the strikes near the
money, where C - P is smallest; D is held to rates between -5 % and 20 %, since a few days say little of it. Implied deviations are
those of calls at and above the forward and puts below it: of American options the others carry a premium for early exercise,
which this leaves out. Arbitrage is what could be traded at the touch, bought at the ask and sold at the bid, without any model.

With strike K, k = ln(K/F), total deviation s = sigma sqrt(t) and x = |k|, an out-of-the-money option costs D sqrt(F K) b, where

    b(x, s) = e^{-x/2} N(-a) - e^{x/2} N(-c),    a = x/s - s/2,  c = x/s + s/2
            = 1/2 exp(-(x^2/s^2 + s^2/4)/2) [erfcx(a/sqrt 2) - erfcx(c/sqrt 2)]

(Jaeckel 2015, "Let's be rational", section 2). The second form keeps its digits far from the money, where the first one
subtracts nearly equal numbers. ln b increases in ln s, so that bisection inverts it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

from signals.market.bars import Days, Floats

DAYS_A_YEAR = 365.0
SQRT_2 = np.sqrt(2.0)
LOG_DEVIATION = (np.log(1e-6), np.log(20.0))  # of s: 0.0001 vol points over a month, 2000 vol points over a year
BISECTIONS = 50  # to 2e-14 of s; scipy's own root finder takes six times as long for the quotes of a slice
TINY = np.finfo(np.float64).tiny  # a logarithm of it exists
NEAR, LEAST_PAIRS, FEW_PAIRS = 0.04, 6, 3  # of the money, as a fraction; pairs of call and put
RATES = (-0.05, 0.20)
MOST_RELATIVE_SPREAD, MOST_DEVIATIONS, CENT = 0.60, 6.0, 0.01
G = TypeVar("G", float, Floats)
ARRAYS = ("expiration", "strike", "is_call", "bid", "ask", "volume", "open_interest")


@dataclass(frozen=True, eq=False)
class OptionChain:
    """One underlying and day; rows in the order of expiration, strike, put before call, arrays of shape (n,).

    `root` is as listed: SPXW. `spot` is the close of the underlying, restated for splits to the strikes' own units, NaN where it is not
    known; `restated` says by what the delivered one was multiplied, 1 where it was not. `expiration` is datetime64[D], `is_call` bool;
    `strike`, `bid` and `ask` are float64 prices, NaN where there is no quote, and a bid of 0 is none; `volume` and `open_interest` float64
    contracts, NaN where unknown. `known_at` is the day on which the last of the rows was known, `next_split` the first later one on
    which a recorded split takes effect; None where nobody says.
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
    next_split: date | None = None

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

    def carries_to(self, later: OptionChain) -> bool:
        """Whether the strikes of a later day are still in the same units: no split has taken effect."""
        return self.next_split is None or self.next_split > later.day

    @property
    def expirations(self) -> Days:
        """Distinct expirations after the day itself."""
        return np.unique(self.expiration[self.expiration > np.datetime64(self.day, "D")])

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


class Greeks(NamedTuple, Generic[G]):
    """Derivatives of an option's price by the spot, twice by it, by the volatility (1.0 is 100 points), a year's passing and the rate."""

    delta: G
    gamma: G
    vega: G
    theta: G
    rho: G


def price(forward: ArrayLike, strike: ArrayLike, deviation: ArrayLike, discount: ArrayLike, is_call: ArrayLike) -> Floats:
    """Price of an option by Black's formula; `deviation` is sigma sqrt(t), positive, `discount` that of a dollar at expiry.

    Examples
    --------
    Spot 42, strike 40, rate 10 %, volatility 20 %, half a year (Hull, "Options, futures, and other derivatives", ch. 15):

    >>> D = np.exp(-0.05)
    >>> np.round(price(42 / D, 40.0, 0.2 * np.sqrt(0.5), D, [True, False]), 6)
    array([4.759422, 0.808599])
    """
    f, k, s, d = (np.asarray(value, dtype=np.float64) for value in (forward, strike, deviation, discount))
    call = np.asarray(is_call, dtype=bool)
    outside = d * np.sqrt(f * k) * np.exp(_log_ratio(np.abs(np.log(k / f)), s))
    inside = d * np.where(call, f - k, k - f)
    return np.where(call == (k >= f), outside, outside + inside)


def implied_deviation(value: ArrayLike, forward: ArrayLike, strike: ArrayLike, discount: ArrayLike) -> Floats:
    """Total deviation sigma sqrt(t) of an out-of-the-money option's price; NaN outside the bounds of no arbitrage.

    A call where the strike is the forward or above it, else a put.
    """
    f, k = np.asarray(forward, dtype=np.float64), np.asarray(strike, dtype=np.float64)
    x = np.abs(np.log(k / f))
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = np.log(np.asarray(value, dtype=np.float64) / (np.asarray(discount) * np.sqrt(f * k)))
    low, high = (np.full(np.broadcast(wanted, x).shape, edge) for edge in LOG_DEVIATION)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        is_below = _log_ratio(x, np.exp(middle)) < wanted
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    found = (wanted > _log_ratio(x, np.exp(LOG_DEVIATION[0]))) & (wanted < -0.5 * x)
    return np.where(found, np.exp(0.5 * (low + high)), np.nan)


def greeks(
    spot: ArrayLike, forward: ArrayLike, strike: ArrayLike, volatility: ArrayLike, years: ArrayLike, discount: ArrayLike, is_call: ArrayLike
) -> Greeks[Floats]:
    """Derivatives of the price, float64 of the arguments' shape; rate and yield are what discount and forward imply, and stay fixed."""
    s0, f, k, v, t, d = (np.asarray(value, dtype=np.float64) for value in (spot, forward, strike, volatility, years, discount))
    side = np.where(np.asarray(is_call, dtype=bool), 1.0, -1.0)
    deviation = v * np.sqrt(t)
    d1 = np.log(f / k) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    rate, carried = -np.log(d) / t, d * f
    pay = carried / s0  # e^{-qt}
    dividend, density = -np.log(pay) / t, np.exp(-0.5 * d1 * d1) / np.sqrt(2.0 * np.pi)
    held, owed = side * pay * ndtr(side * d1), side * d * ndtr(side * d2)  # shares and dollars that replicate it: s0 held - k owed
    theta = -carried * density * v / (2.0 * np.sqrt(t)) + dividend * s0 * held - rate * k * owed
    return Greeks(held, pay * density / (s0 * deviation), carried * density * np.sqrt(t), theta, k * t * owed)


def _log_ratio(x: NDArray[np.float64], s: NDArray[np.float64]) -> Floats:
    """Ln b(x, s)."""
    spread = erfcx((x / s - 0.5 * s) / SQRT_2) - erfcx((x / s + 0.5 * s) / SQRT_2)
    return np.asarray(np.log(0.5 * np.maximum(spread, TINY)) - 0.5 * (x * x / (s * s) + 0.25 * s * s))


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
        known &= np.abs(k) <= MOST_DEVIATIONS * mid[known][int(np.argmin(np.abs(k[known])))]
    order = np.flatnonzero(known)[np.argsort(k[known], kind="stable")]
    return SmileQuotes(years, forward, strike[order], k[order], mid[order], low[order], high[order])


def butterflies(chain: OptionChain) -> int:
    """Count the verticals and butterflies of one expiry that pay their buyer; neighbouring strikes of one right."""
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
    """Numbers of the slices whose ask is, at some k, below the bid of an earlier slice: total variance would fall in time.

    The ask between two quotes is the larger one of both; nothing is said beyond the last.
    """
    found = set()
    for (_, early), (number, late) in itertools.combinations(enumerate(slices), 2):
        place = np.searchsorted(late.k, early.k)
        inside = (place > 0) & (place < len(late))
        ask = np.maximum(late.high[place - 1], late.high[np.minimum(place, len(late) - 1)])
        if bool(np.any(inside & (early.low > ask * (1.0 + 1e-6)))):
            found.add(number)
    return frozenset(found)
