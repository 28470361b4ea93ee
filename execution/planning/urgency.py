"""Chooses the urgency of one order by its modelled cost. Pure.

An order of P times a name's usual volume leaves in N steps, n_k of it in step k by the curve of `execution.planning.slicing.remaining`,
where the step has the share v_k of the session's volume, times a shock m_k of mean 1. As fractions of its value it costs

    half spread + sum_k n_k Y sigma sqrt(F_k / (N v_k m_k)),    F_k = P sum_{j <= k} n_j 2^{-(t_k - t_j) / half-life}
    + lambda sigma^2 sum_k x_k^2 (t_{k+1} - t_k)                 x_k: what is left after step k; t in sessions

the impact of own trades, and Almgren's and Chriss' price of what is not traded yet. A plan is made before the volumes are known, so
that its shocks are 1. The half spread is the same for every urgency and decides nothing.

Invariants
1. An urgency moves an order's shares between its steps; how many there are, their side and the cap of a step it does not know.
2. One that the participation cap would cut is chosen only where every one is cut, and then the one that is cut least.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from execution.costs.impact import Y_DEFAULT, faded, square_root_impact
from execution.planning.config import EntryConfig
from execution.planning.slicing import remaining
from execution.planning.volume_curve import StepShares
from signals.errors import InvariantBroken
from signals.market.bars import Floats

URGENCIES = (0.0, 0.75, 1.5, 3.0)
HALF_LIFE_MINUTES = 30.0
BPS = 1e4
SESSION_MINUTES = 390.0


@dataclass(frozen=True, eq=False)
class ScheduledOrder:
    """One order before it leaves.

    Attributes
    ----------
    participation : float
        P, its value over the name's usual dollar volume.
    sigma, half_spread : float
        Of a session, and of a side; fractions.
    minutes : float64, shape (N,)
        When the steps leave, from the open.
    volume : float64, shape (N,)
        v_k, from the trailing curve.
    """

    participation: float
    sigma: float
    half_spread: float
    minutes: Floats
    volume: Floats

    def __post_init__(self) -> None:
        figures = np.array([self.participation, self.sigma, self.half_spread])
        is_known = ((figures >= 0) & (figures < np.inf)).all() and (self.volume > 0).all()
        if not is_known or self.minutes.shape != self.volume.shape:
            raise InvariantBroken("an order to be scheduled needs its size, volatility, spread, and the volume of every step")


def order_of(
    value_usd: Decimal, adv_usd: Decimal | None, volatility: float | None, curve: StepShares | None, entry: EntryConfig
) -> ScheduledOrder | None:
    """Return an order as the model sees it, its curve spread evenly where none is known; None where the model knows too little of it.

    A session of 390 minutes is assumed: on a short one the steps are nearer to one another.
    """
    if adv_usd is None or not adv_usd.is_finite() or adv_usd <= 0 or volatility is None or not volatility >= 0 or volatility == math.inf:
        return None
    volume = np.full(entry.steps, 1 / entry.steps) if curve is None else np.array(curve, dtype=np.float64)
    if not (volume > 0).all():
        return None
    way = SESSION_MINUTES - entry.first_minutes - entry.last_minutes
    minutes = np.array([entry.first_minutes + when.share * way for when in entry.whens()])
    return ScheduledOrder(float(value_usd / adv_usd), volatility, 0.0, minutes, volume)


def cost_bps(order: ScheduledOrder, left: Floats, shocks: Floats, risk_aversion: float, half_life: float = HALF_LIFE_MINUTES) -> Floats:
    """Modelled cost of a schedule under each row of `shocks`, float64 (R, N) of mean 1: bp, shape (R,).

    `left` is the share of the order that is left after each step, (N + 1,) from 1 to 0, of an urgency by `remaining`;
    `risk_aversion` is lambda per unit of the order's value; `half_life` of own impact in minutes.
    """
    slices = -np.diff(left)
    since = order.minutes[:, None] - order.minutes[None, :]
    still = np.where(since >= 0, faded(np.maximum(since, 0.0), half_life), 0.0)
    flow = order.participation * still @ slices
    impact = square_root_impact(order.sigma, flow / (len(slices) * order.volume * shocks), Y_DEFAULT)
    waits = np.diff(order.minutes, append=order.minutes[-1]) / SESSION_MINUTES
    risk = risk_aversion * order.sigma**2 * float((left[1:] ** 2 * waits).sum())
    return np.asarray(BPS * (order.half_spread + np.asarray(impact) @ slices + risk))


def least_cost(order: ScheduledOrder, entry: EntryConfig) -> float:
    """Return the urgency of `URGENCIES` that a plan gives the order: least cut, then cheapest, then calmest."""
    calm = np.ones((1, len(order.minutes)))

    def key(urgency: float) -> tuple[float, float]:
        left = remaining(urgency, len(order.minutes))
        cut = np.maximum(-np.diff(left) * order.participation - entry.participation * order.volume, 0.0).sum()
        return round(float(cut), 12), float(cost_bps(order, left, calm, entry.risk_aversion)[0])

    return min(URGENCIES, key=key)
