r"""A book of target weights as an environment of sizing: each session a level of the grid multiplies the book.

Returns do not answer to one's own size, so history tells what every level would have earned: full information. With the
level before i, the level after j, GRID g, and the book's own target w, drifted holdings h and costs as `portfolio.nav`
has them,

    earned(t, j) = log(1 + g_j (w_t . r_{t+1} - borrow_{t+1}))
    net(t, i, j) = earned(t, j) + log(1 - cost of going from g_i h_t to g_j w_t)
    reward       = net - drawdown_penalty max(-net, 0) - turnover_penalty sum |traded| / 2

The depth of a drawdown grows in a session by exactly what the session loses, in logarithms, so this penalty needs no
history of the value. The table leaves out that costs are paid from cash (a second-order term); `replay` does not.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from portfolio.nav import Nav, NavCosts, net_asset_value
from portfolio.policy.sizing import GRID, standardised_states
from signals.errors import FixInput
from signals.market.bars import Flags, Floats

LEVELS = np.array(GRID)


@dataclass(frozen=True, eq=False)
class MarketEnv:
    """A book's history, of T sessions and N names.

    Attributes
    ----------
    names : tuple of str, length F
    states : float64, shape (T, F)
        Known before the trades of the session.
    weights : float64, shape (T, N)
        The book at the whole level, after the session's trades.
    returns : float64, shape (T, N)
        From the session before to this one; row 0 is not read.
    waits : bool, shape (T, N), optional
        Where nothing can be traded.
    drawdown_penalty, turnover_penalty : float
        What a reward loses for each unit that a drawdown deepens by, and for each unit of turnover.
    """

    names: tuple[str, ...]
    states: Floats
    weights: Floats
    returns: Floats
    costs: NavCosts
    waits: Flags | None = None
    drawdown_penalty: float = 0.02
    turnover_penalty: float = 0.0

    def __post_init__(self) -> None:
        count = len(self.weights)
        if self.states.shape != (count, len(self.names)) or not np.isfinite(self.states).all():
            raise FixInput("the states are not one finite row a session", fix=f"Give numbers of shape {(count, len(self.names))}")
        if count < 3:
            raise FixInput(f"a history of {count} sessions teaches nothing", fix="Give three or more")

    def until(self, end: int) -> Self:
        """Return the first `end` sessions."""
        panels = {name: getattr(self, name)[:end] for name in ("states", "weights", "returns")}
        waits = None if self.waits is None else self.waits[:end]
        return replace(self, **panels, costs=replace(self.costs, borrow=self.costs.borrow[:end]), waits=waits)

    def standardised(self) -> tuple[Floats, Floats, Floats]:
        """States with a constant in front, (T, 1 + F), their centre and their scale; a state that never varies has the scale 1."""
        centre, spread = self.states.mean(axis=0), self.states.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        return standardised_states(self.states, centre, scale), centre, scale

    def replay(self, multipliers: Floats) -> Nav:
        """Value of the book under one multiplier a session, (T,), exact; raises `FixInput` where one is none of the grid."""
        if multipliers.shape != (len(self.weights),) or not np.isin(multipliers, LEVELS).all():
            raise FixInput("the multipliers are not one level of the grid a session", fix=f"Give numbers of {GRID}")
        return net_asset_value(self.weights * multipliers[:, None], self.returns, self.costs, self.waits)

    def rewards(self) -> Floats:
        """Reward of every level after every level before, in every session but the last, (T - 1, levels, levels)."""
        book, moved = self.weights[:-1], self.returns[1:]
        plain = (book * moved).sum(axis=1) + (self.costs.borrow[1:] * np.minimum(book, 0.0)).sum(axis=1)
        growth = 1.0 + LEVELS * plain[:, None]
        if (growth <= 0).any():
            session = int(np.argwhere(growth <= 0)[0, 0])
            raise FixInput("the book loses everything", where=f"session {session}", fix="Learn from a book that survives its history")
        drifted = np.vstack([np.zeros((1, book.shape[1])), book[:-1] * (1.0 + moved[:-1])])
        scale = np.vstack([np.zeros((1, len(GRID))), LEVELS / growth[:-1]])
        found = np.empty((len(book), len(GRID), len(GRID)))
        for i in range(len(GRID)):
            held = drifted * scale[:, i, None]
            for j in range(len(GRID)):
                traded = np.abs(LEVELS[j] * book - held)
                if self.waits is not None:
                    traded = np.where(self.waits[:-1], 0.0, traded)
                cost = (self.costs.half_spread * traded + self.costs.impact * traded**1.5).sum(axis=1)
                net = np.log(growth[:, j]) + np.log1p(-np.minimum(cost, 1.0 - 1e-12))
                penalty = self.drawdown_penalty * np.maximum(-net, 0.0) + self.turnover_penalty * traded.sum(axis=1) / 2.0
                found[:, i, j] = net - penalty
        return found
