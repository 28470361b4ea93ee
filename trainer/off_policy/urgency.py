"""Judges the urgency that a plan chooses for each order against one urgency for all, by modelled cost.

Every urgency of an order meets the same volumes, so that they cancel in a difference. No price path is drawn: over the orders that
there are its drift would drown the cost (a six-step schedule of one name ends 156 bp from the open, one bp would need 31,000 days),
so that it is excluded from the verdict.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from execution.planning.config import EntryConfig
from execution.planning.slicing import remaining
from execution.planning.urgency import ScheduledOrder, cost_bps, least_cost
from signals.market.bars import Floats
from trainer.off_policy.estimators import OffPolicyEstimate
from trainer.off_policy.logs import Rows

TWAP, ALMGREN_CHRISS = 0.0, 1.5


def judged(orders: Sequence[ScheduledOrder], shocks: Floats, sessions: Rows, entry: EntryConfig) -> dict[float, OffPolicyEstimate]:
    """Return what the choice of plans saves, bp of an order's value, against TWAP and against Almgren-Chriss for all, by their urgency.

    Orders and shocks are paired, errors are clustered by session; a choice is accepted where the lower bound is above 0.

    Parameters
    ----------
    shocks : float64, shape (O, R, N)
        Of volumes that no plan has seen: orders do not share them, urgencies of an order do.
    sessions : int64, shape (O,)
    """

    def costs(chosen: Iterable[float]) -> list[Floats]:
        cases = zip(orders, chosen, shocks, strict=True)
        return [cost_bps(order, remaining(urgency, len(order.minutes)), met, entry.risk_aversion) for order, urgency, met in cases]

    ours, found = costs(least_cost(order, entry) for order in orders), {}
    for against in (TWAP, ALMGREN_CHRISS):
        theirs = costs([against] * len(orders))
        found[against] = OffPolicyEstimate(np.array([(cost - own).mean() for cost, own in zip(theirs, ours, strict=True)]), sessions)
    return found
