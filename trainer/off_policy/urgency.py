"""Judges the urgency that a plan chooses for each order against one urgency for all, by modelled cost.

Every urgency of an order meets the same volumes, so that they cancel in a difference. No price path is drawn: over the orders that
there are its drift would drown the cost (a six-step schedule of one name ends 156 bp from the open, one bp would need 31,000 days),
so that it is excluded from the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from execution.planning.config import EntryConfig
from execution.planning.urgency import ScheduledOrder, cost_bps, least_cost
from signals.market.bars import Floats
from trainer.off_policy.estimators import OffPolicyEstimate
from trainer.off_policy.logs import Rows

TWAP, ALMGREN_CHRISS = 0.0, 1.5


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


def judged(orders: Sequence[ScheduledOrder], shocks: Floats, sessions: Rows, entry: EntryConfig) -> tuple[UrgencyVerdict, ...]:
    """Judge what plans choose against TWAP and against Almgren-Chriss, paired by order and shock; errors are clustered by session.

    Parameters
    ----------
    shocks : float64, shape (O, R, N)
        Of volumes that no plan has seen: orders do not share them, urgencies of an order do.
    sessions : int64, shape (O,)
    """
    cases = list(zip(orders, shocks, strict=True))
    ours = [cost_bps(order, least_cost(order, entry), met, entry.risk_aversion) for order, met in cases]
    verdicts = []
    for against in (TWAP, ALMGREN_CHRISS):
        theirs = (cost_bps(order, against, met, entry.risk_aversion) for order, met in cases)
        saved = OffPolicyEstimate(np.array([(cost - own).mean() for cost, own in zip(theirs, ours, strict=True)]), sessions)
        verdicts.append(UrgencyVerdict(against, saved.value, saved.lower(), len(cases)))
    return tuple(verdicts)
