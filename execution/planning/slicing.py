"""Slices one order through the session: TWAP and Almgren-Chriss schedules.

Almgren and Chriss 2000, "Optimal execution of portfolio transactions", sections 1 and 2. X shares are sold over N
intervals of length tau = T / N; x_j are the shares left at t_j = j tau, n_j = x_{j-1} - x_j those traded in interval j.

    E      = gamma X^2 / 2 + epsilon sum |n_j| + (eta~ / tau) sum n_j^2           expected cost, USD
    V      = sigma^2 tau sum_{j=1..N} x_j^2                                      variance of the cost, USD^2
    eta~   = eta - gamma tau / 2
    kappa~ = sqrt(lambda sigma^2 / eta~)                                         1 / time
    kappa  = arccosh(1 + kappa~^2 tau^2 / 2) / tau
    x_j    = X sinh(kappa (T - t_j)) / sinh(kappa T)                             minimises E + lambda V

Units: time in sessions; sigma USD per share per sqrt(session); gamma USD per share^2; eta USD session per share^2;
epsilon USD per share; lambda 1 / USD.

Invariants
1. Holdings start at X, end at 0 and never grow.
2. lambda = 0 is TWAP, to the bit.
3. Integer slices have the order's sign, sum to it exactly, and are each within one share of the trajectory's own.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Floats

LARGE_ARGUMENT = 30.0
"""Beyond this, exp(-2 x) is below the last bit of 1 and sinh ratios are pure exponentials."""


@dataclass(frozen=True)
class MarketImpact:
    """The market as Almgren and Chriss see it.

    Attributes
    ----------
    sigma : float
        Volatility, USD per share per sqrt(session).
    eta : float
        Temporary impact, USD session per share^2.
    gamma : float
        Permanent impact, USD per share^2.
    epsilon : float
        Fixed cost of a share: half the spread and fees, USD.
    """

    sigma: float
    eta: float
    gamma: float
    epsilon: float

    def eta_tilde(self, tau: float) -> float:
        """Temporary impact less what the permanent one already charges: eta - gamma tau / 2, positive."""
        value = self.eta - self.gamma * tau / 2.0
        if not value > 0:
            raise InvariantBroken(f"eta - gamma tau / 2 is {value}: the intervals are too long for this impact")
        return value


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Shares left over time, with what that is expected to cost.

    Attributes
    ----------
    holdings : float64, shape (N + 1,)
        x_0 = X to x_N = 0, shares; negative for a purchase.
    expected_cost : float
        USD.
    variance : float
        USD^2.
    """

    holdings: Floats
    expected_cost: float
    variance: float

    @property
    def slices(self) -> Floats:
        """n_1 to n_N, shares with the sign of X."""
        traded: Floats = -np.diff(self.holdings)
        return traded


def twap(shares: float, duration: float, intervals: int, impact: MarketImpact) -> Trajectory:
    """Equal slices: x_j = X (1 - j / N).

    Parameters
    ----------
    shares : float
        X.
    duration : float
        T, sessions.
    intervals : int
        N.
    """
    _check(duration, intervals)
    remaining = np.arange(intervals, -1, -1, dtype=np.float64) / intervals
    return _priced(shares * remaining, duration / intervals, impact)


def almgren_chriss(shares: float, duration: float, intervals: int, impact: MarketImpact, risk_aversion: float) -> Trajectory:
    """Return the trajectory that minimises E + lambda V.

    Parameters
    ----------
    shares, duration, intervals
        As of `twap`.
    risk_aversion : float
        lambda, 1 / USD, at least 0; 0 is `twap`.
    """
    _check(duration, intervals)
    if not (math.isfinite(risk_aversion) and risk_aversion >= 0):
        raise InvariantBroken(f"a risk aversion of {risk_aversion}")
    tau = duration / intervals
    kappa = urgency(tau, impact, risk_aversion)
    times = np.arange(intervals, -1, -1, dtype=np.float64) * tau
    # Below 1e-7 the curve differs from the line by less than the last bit, and sinh(x) / sinh(y) loses digits.
    if kappa * duration < 1e-7:
        return twap(shares, duration, intervals, impact)
    return _priced(shares * _sinh_ratio(kappa * times, kappa * duration), tau, impact)


def remaining(urgency_total: float, intervals: int) -> Floats:
    """Share of an order left after each of `intervals` equal intervals: sinh(kappa (T - t_j)) / sinh(kappa T).

    Parameters
    ----------
    urgency_total : float
        kappa T, at least 0; 0 is TWAP.

    Returns
    -------
    float64, shape (N + 1,), from 1 to 0

    Examples
    --------
    >>> remaining(0.0, 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    >>> remaining(0.6063 * 5, 5).round(3).tolist()
    [1.0, 0.542, 0.29, 0.148, 0.062, 0.0]
    """
    if not (math.isfinite(urgency_total) and urgency_total >= 0):
        raise InvariantBroken(f"an urgency of {urgency_total}")
    _check(1.0, intervals)
    left = np.arange(intervals, -1, -1, dtype=np.float64) / intervals
    return left if urgency_total < 1e-7 else _sinh_ratio(urgency_total * left, urgency_total)


def urgency(tau: float, impact: MarketImpact, risk_aversion: float) -> float:
    """kappa, 1 / session: the rate at which a large order would be worked off; 0 without risk aversion."""
    squared = risk_aversion * impact.sigma**2 / impact.eta_tilde(tau)
    # arccosh(1 + a^2 / 2) = 2 arcsinh(a / 2), which keeps its digits when a is small.
    return 2.0 * math.asinh(math.sqrt(squared) * tau / 2.0) / tau


def frontier(
    shares: float, duration: float, intervals: int, impact: MarketImpact, risk_aversions: Floats
) -> list[tuple[float, float, float]]:
    """Return (lambda, expected cost, variance) of the best trajectory for each lambda, in the order given."""
    found = [(float(a), almgren_chriss(shares, duration, intervals, impact, float(a))) for a in risk_aversions]
    return [(a, best.expected_cost, best.variance) for a, best in found]


def whole_shares(slices: Floats, quantity: int) -> NDArray[np.int64]:
    """Round slices to whole shares that sum to `quantity`: each running total is rounded, half-even.

    Parameters
    ----------
    slices : float64, shape (N,)
        With the sign of `quantity`, summing to it but for rounding.
    quantity : int
        Shares of the whole order, signed.

    Examples
    --------
    >>> whole_shares(np.array([3.4, 3.3, 3.3]), 10).tolist()
    [3, 4, 3]
    """
    totals = np.cumsum(slices)
    if slices.size == 0 or abs(totals[-1] - quantity) > 0.5 or bool(np.any(slices * np.sign(quantity) < 0)):
        raise InvariantBroken(f"slices {slices.tolist()} are no cut of {quantity} shares")
    bounded = np.minimum(np.abs(np.rint(totals)), abs(quantity)).astype(np.int64) * int(np.sign(quantity))
    bounded[-1] = quantity
    whole: NDArray[np.int64] = np.diff(bounded, prepend=np.int64(0))
    return whole


def _sinh_ratio(arguments: Floats, whole: float) -> Floats:
    """sinh(a) / sinh(b) for 0 <= a <= b without overflow: exp(a - b) (1 - exp(-2a)) / (1 - exp(-2b))."""
    if whole < LARGE_ARGUMENT:
        ratio: Floats = np.sinh(arguments) / math.sinh(whole)
        return ratio
    return np.asarray(np.exp(arguments - whole) * -np.expm1(-2.0 * arguments), dtype=np.float64)


def _priced(holdings: Floats, tau: float, impact: MarketImpact) -> Trajectory:
    traded = -np.diff(holdings)
    shares = float(holdings[0])
    cost = (
        impact.gamma * shares**2 / 2.0
        + impact.epsilon * float(np.abs(traded).sum())
        + impact.eta_tilde(tau) / tau * float((traded**2).sum())
    )
    variance = impact.sigma**2 * tau * float((holdings[1:] ** 2).sum())
    return Trajectory(holdings, cost, variance)


def _check(duration: float, intervals: int) -> None:
    if not (duration > 0 and intervals >= 1):
        raise InvariantBroken(f"{intervals} intervals over {duration} sessions")
