"""Chooses the urgency of each order by its modelled cost, and judges the choice against one urgency for all.

An order of P times a name's usual volume leaves in N steps, n_k of it in step k by the curve of `execution.planning.slicing.remaining`,
where the step has the share v_k of the session's volume, times a shock of mean 1. As fractions of its value it costs

    half spread + sum_k n_k Y sigma sqrt(F_k / (N v_k m_k)),    F_k = P sum_{j <= k} n_j 2^{-(t_k - t_j) / half-life}
    + lambda sigma^2 sum_k x_k^2 (t_{k+1} - t_k)                 x_k: what is left after step k; t in sessions

the impact of the exchange's own trades, and Almgren's and Chriss' price of what is not traded yet. Every urgency meets the same shocks,
so that they cancel in a difference. No price path is drawn: over the orders that there are its drift would drown the cost (a six-step
schedule of one name ends 156 bp from the open, one bp would need 31,000 days), so that it is excluded from the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from execution.costs.impact import Y_DEFAULT, faded, square_root_impact
from execution.planning.slicing import remaining
from signals.errors import InvariantBroken
from signals.market.bars import Floats
from trainer.off_policy.estimators import OffPolicyEstimate

URGENCIES = (0.0, 0.75, 1.5, 3.0)
TWAP, ALMGREN_CHRISS = 0.0, 1.5
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
        is_known = bool(np.isfinite(figures).all() and (figures >= 0).all())
        if not is_known or self.minutes.shape != self.volume.shape or not bool((self.volume > 0).all()):
            raise InvariantBroken("an order to be scheduled needs its size, volatility, spread, and the volume of every step")


@dataclass(frozen=True)
class UrgencyVerdict:
    """What the choice saves against one urgency for all orders, bp of an order's value: the mean, and its 95 % lower bound."""

    against: float
    saved_bps: float
    lower_bps: float
    orders: int

    @property
    def is_accepted(self) -> bool:
        """Whether it saves anything for sure."""
        return self.lower_bps > 0


def cost_bps(order: ScheduledOrder, urgency: float, shocks: Floats, risk_aversion: float, half_life: float) -> Floats:
    """Modelled cost of one schedule under each row of `shocks`, float64 (R, N) of mean 1: bp, shape (R,).

    `risk_aversion` is lambda per unit of the order's value; `half_life` of own impact in minutes.
    """
    left = remaining(urgency, len(order.minutes))
    slices = -np.diff(left)
    since = order.minutes[:, None] - order.minutes[None, :]
    still = np.where(since >= 0, [[faded(max(gap, 0.0), half_life) for gap in row] for row in since.tolist()], 0.0)
    flow = order.participation * still @ slices
    impact = square_root_impact(order.sigma, flow / (len(slices) * order.volume * shocks), Y_DEFAULT)
    waits = np.diff(order.minutes, append=order.minutes[-1]) / SESSION_MINUTES
    risk = risk_aversion * order.sigma**2 * float((left[1:] ** 2 * waits).sum())
    found: Floats = BPS * (order.half_spread + np.asarray(impact) @ slices + risk)
    return found


def chosen(order: ScheduledOrder, shocks: Floats, risk_aversion: float, half_life: float) -> float:
    """Return the urgency of `URGENCIES` with the least mean cost under the `shocks`; the calmest of equals."""
    return min(URGENCIES, key=lambda urgency: float(cost_bps(order, urgency, shocks, risk_aversion, half_life).mean()))


def judged(
    orders: Sequence[ScheduledOrder], learned: Floats, unseen: Floats, risk_aversion: float, half_life: float
) -> tuple[UrgencyVerdict, ...]:
    """Choose by the shocks `learned` and judge by the `unseen` ones: against TWAP and against Almgren-Chriss, paired by order and shock.

    `unseen` is float64 (O, R, N): orders do not share their shocks, urgencies of an order do.
    """
    saved: dict[float, list[float]] = {TWAP: [], ALMGREN_CHRISS: []}
    for order, shocks in zip(orders, unseen, strict=True):
        ours = cost_bps(order, chosen(order, learned, risk_aversion, half_life), shocks, risk_aversion, half_life)
        for against, found in saved.items():
            found.append(float((cost_bps(order, against, shocks, risk_aversion, half_life) - ours).mean()))
    verdicts = []
    for against, found in saved.items():
        estimate = OffPolicyEstimate(np.array(found), np.arange(len(found)))
        verdicts.append(UrgencyVerdict(against, estimate.value, estimate.lower(), len(found)))
    return tuple(verdicts)
