"""What a learner saves that decides step by step how much of an order's rest leaves, against fixed schedules.

A *blind* one that sees no volume of the session is next to it: what both save is owed to the evening's curve, not to the session.

At each step it sees its own traces (the faded flow over what is left), the volume of the session so far over that of the trailing
curve, and the curve. It sends a share of the rest: that of one urgency of 1.5, or less, or more. Impact is a model and volumes do not
depend on the order, so that every action of every step has its cost (full information) and nothing is estimated by propensities.

With u = F / x the trace over the rest x, an action that sends the share s of the rest at step k costs, over x^{3/2} Y sigma sqrt(P),

    c_k(u, s) = s sqrt((u + s) / (N v_k m_k)),   Q_k(u, z, s) = E[c_k + (1 - s)^{3/2} W_{k+1}(u', z')],   W_k = min_s Q_k

where z are the volumes that are known by then and u' = (u + s) / (1 - s), faded until the next step; the last step sends all. Each
expectation is a ridge regression on the step's samples (fitted Q with full information, Ernst et al. 2005, backwards from the last
step), visited by schedules of random haste. Size and volatility of an order drop out, as the price's drift does.

Run it with `python -m tests.campaigns.rests`: 18 stocks' 5-minute bars; learned on the first half of the sessions, judged on the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from execution.costs.impact import faded
from execution.planning.slicing import remaining
from execution.planning.urgency import HALF_LIFE_MINUTES, ScheduledOrder, cost_bps
from signals.market.bars import Floats
from tests.fakes.scheduled import REAL, real_orders
from trainer.off_policy.estimators import OffPolicyEstimate
from trainer.off_policy.urgency import ALMGREN_CHRISS, TWAP

HASTE = (0.4, 0.7, 1.0, 1.4, 2.0)  # powers of what the usual schedule leaves of a rest; 1 is that schedule
RIDGE, VISITS = 1e-2, 3


def usual_shares(steps: int) -> Floats:
    """Share of the rest that each step sends under an urgency of 1.5, (N,)."""
    left = remaining(ALMGREN_CHRISS, steps)
    return 1.0 - left[1:] / left[:-1]


def seen(orders: Sequence[ScheduledOrder], met: Floats, step: int, trace: Floats) -> Floats:
    """What is known at a step, (O, F): the trace, volumes so far over the curve's, the curve's own share of what is to come."""
    curve = np.array([order.volume for order in orders])
    so_far = (curve * met)[:, :step].sum(axis=1) / curve[:, :step].sum(axis=1) if step else np.ones(len(curve))
    last = met[:, step - 1] if step else np.ones(len(curve))
    z = np.column_stack([trace, np.log(so_far), np.log(last), np.log(curve[:, step] / curve[:, step:].mean(axis=1))])
    pairs = [z[:, i] * z[:, j] for i in range(z.shape[1]) for j in range(i, z.shape[1])]
    return np.column_stack([np.ones(len(z)), z, *pairs])


class RestPolicy:
    """Weights of the Q of each action at each step, (N - 1, A, F)."""

    def __init__(self, orders: Sequence[ScheduledOrder], met: Floats, seed: int, *, blind: bool = False) -> None:
        steps, self.weights, self.blind = met.shape[1], list[Floats](), blind
        self.usual = usual_shares(steps)
        self.shares = np.array([[1.0 - (1.0 - usual) ** haste for haste in HASTE] for usual in self.usual[:-1]])
        visits, met = [order for order in orders for _ in range(VISITS)], np.repeat(met, VISITS, axis=0)
        traces, rng = [np.zeros(len(visits))], np.random.default_rng(seed)
        for step in range(steps - 1):
            share = 1.0 - (1.0 - self.usual[step]) ** rng.uniform(HASTE[0], HASTE[-1], len(visits))
            traces.append(self._next(visits, step, traces[-1], share))
        for step in range(steps - 2, -1, -1):
            x = self._seen(visits, met, step, traces[step])
            gram = x.T @ x + len(x) * np.diag(RIDGE * x.var(axis=0) + 1e-9)  # of standardised columns, some of which are constant
            targets = np.array([self._target(visits, met, step, traces[step], share) for share in self.shares[step]])
            self.weights.insert(0, np.linalg.solve(gram, x.T @ targets.T).T)

    def _seen(self, orders: Sequence[ScheduledOrder], met: Floats, step: int, trace: Floats) -> Floats:
        return seen(orders, np.ones_like(met) if self.blind else met, step, trace)

    @staticmethod
    def _next(orders: Sequence[ScheduledOrder], step: int, trace: Floats, share: Floats | float) -> Floats:
        waits = np.array([order.minutes[step + 1] - order.minutes[step] for order in orders])
        return np.asarray((trace + share) / (1.0 - share) * faded(waits, HALF_LIFE_MINUTES))

    def _target(self, orders: Sequence[ScheduledOrder], met: Floats, step: int, trace: Floats, share: float) -> Floats:
        """Cost of an action now, and of the best ones after it."""
        volume = np.array([order.volume[step] for order in orders]) * met.shape[1] * met[:, step]
        following = self._next(orders, step, trace, share)
        if step + 2 == met.shape[1]:
            final = np.array([order.volume[step + 1] for order in orders]) * met.shape[1] * met[:, step + 1]
            rest = np.sqrt((following + 1.0) / final)
        else:
            rest = (self._seen(orders, met, step + 1, following) @ self.weights[0].T).min(axis=1)
        return np.asarray(share * np.sqrt((trace + share) / volume) + (1.0 - share) ** 1.5 * rest)

    def left(self, orders: Sequence[ScheduledOrder], met: Floats) -> Floats:
        """Share of each order that is left after each step, (O, N + 1): of volumes only those before a step are read at it."""
        left, trace = [np.ones(len(orders))], np.zeros(len(orders))
        for step, weights in enumerate(self.weights):
            best = (self._seen(orders, met, step, trace) @ weights.T).argmin(axis=1)
            share = self.shares[step][best]
            left.append(left[-1] * (1.0 - share))
            trace = self._next(orders, step, trace, share)
        return np.column_stack([*left, np.zeros(len(orders))])


def fixed(urgency: float, met: Floats) -> Floats:
    """Share of each order that is left after each step under one urgency for all, (O, N + 1)."""
    return np.tile(remaining(urgency, met.shape[1]), (len(met), 1))


def saved(orders: Sequence[ScheduledOrder], met: Floats, sessions: Floats, ours: Floats, theirs: Floats) -> OffPolicyEstimate:
    """What `ours` saves against `theirs`, both (O, N + 1), bp of an order's value, under the volumes that each order met."""
    paths = zip(orders, met[:, None, :], ours, theirs, strict=True)
    found = [float((cost_bps(order, other, shocks, 0.0) - cost_bps(order, own, shocks, 0.0))[0]) for order, shocks, own, other in paths]
    return OffPolicyEstimate(np.array(found), sessions.astype(np.int64))


def main() -> None:
    """Learn and judge."""
    if not REAL.is_file():
        raise SystemExit(f"{REAL} is absent: a learner over rests is not judged")
    orders, met, sessions = real_orders(1)
    met, early = met[:, 0], sessions < np.median(sessions)
    learned = [order for order, is_early in zip(orders, early, strict=True) if is_early]
    late, then, days = [order for order, is_early in zip(orders, early, strict=True) if not is_early], met[~early], sessions[~early]
    sees, blind = (RestPolicy(learned, met[early], seed=1, blind=blind).left(late, then) for blind in (False, True))
    rows = {
        "against TWAP": (sees, fixed(TWAP, then)),
        "against 1.5": (sees, fixed(ALMGREN_CHRISS, then)),
        "blind against 1.5": (blind, fixed(ALMGREN_CHRISS, then)),
        "against blind": (sees, blind),
    }
    for name, (ours, theirs) in rows.items():
        verdict = saved(late, then, days, ours, theirs)
        print(f"{name}: {verdict.value:+.3f} bp, at least {verdict.lower():+.3f}, {len(late):,} orders")


if __name__ == "__main__":
    main()
