"""Figures of a gate's scores of events: ranking of hits, of the mirrored label, of direction, and net R of the trades it lets through.

The AUC of a score on `target first` says little alone: where barriers are near, a score of volatility has it too. The same score's
AUC on the mirrored label, `stop first`, tells: a score of volatility has both alike. Direction is the AUC among the events that hit
either barrier.

Events of one session depend, and sessions near one another share trades, so that every error is that of a session series:

    AUC - E AUC = sum_s r_s,   r_s = sum_{hits i in s} (V_i - AUC) / n1 + sum_{others j in s} (V_j - AUC) / n0

with V the share of the other group that a row is ranked right against (Obuchowski 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from signals.market.bars import Floats
from signals.market.holding import Flags
from trainer.labels.panel import Rows
from trainer.validation.calibration import fit_platt
from trainer.validation.ic import Mean, persistent_mean

LAG = 5  # sessions; most trades between near barriers have ended by then
ALIKE = 0.02  # of AUC: a mirrored one as near as that is the same
Z = 1.96
NONE = Mean()


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


def auc(score: Floats, came: Flags, session: Rows) -> Mean:
    """Area under the ROC curve with its session-clustered error; t is of the difference from one half."""
    n1, n0 = int(came.sum()), int((~came).sum())
    if not n1 or not n0:
        return NONE
    within, whole = np.zeros(len(score)), rankdata(score)
    for group in (came, ~came):
        within[group] = rankdata(score[group])
    placed = np.where(came, (whole - within) / n0, 1.0 - (whole - within) / n1)
    mean = float(placed[came].mean())
    found = _by_session((placed - mean) / np.where(came, n1, n0), session)
    error = persistent_mean(found * len(found), LAG).standard_error
    return Mean(mean, error, (mean - 0.5) / error if error > 0.0 else float("nan"), int(np.isfinite(found).sum()))


def per_event(values: Floats, session: Rows) -> Mean:
    """Mean over events with its session-clustered error."""
    if not values.size:
        return NONE
    mean = float(values.mean())
    found = _by_session((values - mean) / len(values), session)
    error = persistent_mean(found * len(found), LAG).standard_error
    return Mean(mean, error, mean / error if error > 0.0 else float("nan"), int(np.isfinite(found).sum()))


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


def _by_session(values: Floats, session: Rows) -> NDArray[np.float64]:
    """Sums by session from the first to the last one, NaN where there is none."""
    place = session - session.min()
    sums = np.bincount(place, values)
    return np.where(np.bincount(place) > 0, sums, np.nan)
