r"""Black's formula, its inverse and its derivatives, vectorised.

With forward F, strike K, k = ln(K/F), total deviation s = sigma sqrt(t), x = |k| and discount factor D, an out-of-the-money
option costs D sqrt(F K) b, where

    b(x, s) = e^{-x/2} N(-a) - e^{x/2} N(-c),    a = x/s - s/2,  c = x/s + s/2
            = 1/2 exp(-(x^2/s^2 + s^2/4)/2) [erfcx(a/sqrt 2) - erfcx(c/sqrt 2)]

(Jaeckel 2015, "Let's be rational", section 2). The second form keeps its digits far from the money, where the first one
subtracts nearly equal numbers. ln b increases in ln s, so that bisection inverts it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

from signals.market.bars import Floats

SQRT_2 = np.sqrt(2.0)
LOG_DEVIATION = (np.log(1e-6), np.log(20.0))  # of s: 0.0001 vol points over a month, 2000 vol points over a year
BISECTIONS = 50  # to 2e-14 of s; scipy's own root finder takes six times as long for the quotes of a slice
TINY = np.finfo(np.float64).tiny  # a logarithm of it exists


@dataclass(frozen=True, eq=False)
class Greeks:
    """Derivatives of an option's price by the spot, twice by it, by the volatility (1.0 is 100 points), a year's passing and the rate.

    Each is float64 of the quotes' shape.
    """

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


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
) -> Greeks:
    """Derivatives of the price; rate and yield are those that discount and forward imply, and stay fixed."""
    s0, f, k, v, t, d = (np.asarray(value, dtype=np.float64) for value in (spot, forward, strike, volatility, years, discount))
    side = np.where(np.asarray(is_call, dtype=bool), 1.0, -1.0)
    deviation = v * np.sqrt(t)
    d1 = np.log(f / k) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    rate, carried = -np.log(d) / t, d * f
    pay = carried / s0  # e^{-qt}
    dividend = -np.log(pay) / t
    density = np.exp(-0.5 * d1 * d1) / np.sqrt(2.0 * np.pi)
    held, owed = side * pay * ndtr(side * d1), side * d * ndtr(side * d2)  # shares and dollars that replicate it: s0 held - k owed
    theta = -carried * density * v / (2.0 * np.sqrt(t)) + dividend * s0 * held - rate * k * owed
    return Greeks(held, pay * density / (s0 * deviation), carried * density * np.sqrt(t), theta, k * t * owed)


def _log_ratio(x: NDArray[np.float64], s: NDArray[np.float64]) -> Floats:
    """Ln b(x, s)."""
    spread = erfcx((x / s - 0.5 * s) / SQRT_2) - erfcx((x / s + 0.5 * s) / SQRT_2)
    found: Floats = np.log(0.5 * np.maximum(spread, TINY)) - 0.5 * (x * x / (s * s) + 0.25 * s * s)
    return found
