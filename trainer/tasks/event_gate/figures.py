"""Figures of a gate's scores of events: ranking of hits, of the mirrored label, of direction, and net R of the trades it lets through.

The AUC of a score on `target first` says little alone: where barriers are near, a score of volatility has it too. The same score's
AUC on the mirrored label, `stop first`, tells: a score of volatility has both alike. Direction is the AUC among the events that hit
either barrier. Errors take the events of a session together (`trainer.validation.clustered`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Floats
from signals.market.holding import Flags
from trainer.labels.panel import Rows
from trainer.runs.evidence import RegimeFigures
from trainer.validation.calibration import fit_platt
from trainer.validation.clustered import NONE, auc, per_event
from trainer.validation.ic import Mean

ALIKE = 0.02  # of AUC: a mirrored one as near as that is the same


@dataclass(frozen=True)
class GateFigures:
    """Of scores that no model gave to what it had seen; NaN where an outcome is lacking.

    Attributes
    ----------
    auc, mirrored, direction : Mean
        Of `target first`, of `stop first`, and of the first among the events that hit either.
    taken : int
        Events of the later half whose probability, by a map of the earlier half, pays the cost.
    net_r, all_net_r : Mean
        Net R an event of those taken, and of all of the later half.
    """

    auc: Mean = NONE
    mirrored: Mean = NONE
    direction: Mean = NONE
    taken: int = 0
    net_r: Mean = NONE
    all_net_r: Mean = NONE

    @property
    def is_volatility(self) -> bool:
        """Whether the score ranks the mirrored label as well as its own."""
        return bool(abs(self.auc.mean - self.mirrored.mean) <= ALIKE)


@dataclass(frozen=True, eq=False)
class EventTrades:
    """Trades of events, one row each, in the order of their sessions.

    Attributes
    ----------
    session : int64, shape (n,)
    target, stop : bool, shape (n,)
        Which barrier ended it; neither where time did.
    realised_r, cost_r : float64, shape (n,)
        Before costs; and what a way in and out costs.
    """

    session: Rows
    target: Flags
    stop: Flags
    realised_r: Floats
    cost_r: Floats

    def at(self, rows: Flags) -> EventTrades:
        """Return these rows."""
        return EventTrades(*(getattr(self, name)[rows] for name in ("session", "target", "stop", "realised_r", "cost_r")))


def by_regime(score: Floats, trades: EventTrades, market: Floats) -> tuple[RegimeFigures, ...]:
    """Direction less one half in each kind of market that a judged session was of; `market`, (T,), are its returns."""
    kinds, hit = regimes(market)[trades.session], trades.target | trades.stop
    found = []
    for regime in Regime:
        inside = hit & (kinds == regime.value)
        if len(np.unique(trades.target[inside])) == 2:
            one = auc(score[inside], trades.target[inside], trades.session[inside])
            skill = Mean(one.mean - 0.5, one.standard_error, one.t, one.sessions)
            found.append(RegimeFigures(regime.value, one.sessions, skill, skill))
    return tuple(found)


def taken(score: Floats, trades: EventTrades, target_r: float) -> tuple[Flags, Flags]:
    """(Later half, the events of it that are let through): P(target first) pays the cost, by a map of the earlier half.

    A trade pays where p target_r - (1 - p) exceeds its cost; time that ends one counts as a loss, which is against the gate.
    """
    middle = np.median(np.unique(trades.session))
    early, later = trades.session < middle, trades.session >= middle
    came = trades.target.astype(np.float64)
    if not 0.0 < (came[early].mean() if early.any() else 0.0) < 1.0:
        return later, np.zeros(len(score), np.bool_)
    said = fit_platt(score[early], came[early]).probability(score)
    return later, later & (said > (1.0 + trades.cost_r) / (1.0 + target_r))


def gate_figures(score: Floats, trades: EventTrades, target_r: float) -> GateFigures:
    """Judge scores, shape (n,), none NaN."""
    hit = trades.target | trades.stop
    later, chosen = taken(score, trades, target_r)
    net = trades.realised_r - trades.cost_r
    return GateFigures(
        auc(score, trades.target, trades.session),
        auc(score, trades.stop, trades.session),
        auc(score[hit], trades.target[hit], trades.session[hit]),
        int(chosen.sum()),
        per_event(net[chosen], trades.session[chosen]),
        per_event(net[later], trades.session[later]),
    )
