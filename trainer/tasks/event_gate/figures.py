"""Figures of a gate's scores of events: ranking of hits, of the mirrored label, of direction, and net R of the trades it lets through.

The AUC of a score on `target first` says little alone: where barriers are near, a score of volatility has it too. The same score's
AUC on the mirrored label, `stop first`, tells: a score of volatility has both alike. Direction is the AUC among the events that hit
either barrier. Errors take the events of a session together (`trainer.validation.clustered`).

Precision at k is the share of targets among the k best events of each session, or of each symbol, that has more than k; next to it the
share among all of theirs, which a score without skill has.

The tail of a kind of events is the mean loss of its worst trades, in R after costs; `size_for` is the size that a budget of it allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import average_precision_score

from portfolio.config import CvarMethod
from portfolio.risk.cvar import historical_cvar, session_cvar
from signals.errors import TooLittleHistory
from signals.events.panel import Kind
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Flags, Floats
from signals.scoring.evidence import NAN
from trainer.labels.horizon import Rows
from trainer.runs.evidence import RegimeFigures
from trainer.validation.calibration import fit_platt
from trainer.validation.clustered import NONE, auc, per_event
from trainer.validation.ic import Mean

ALIKE = 0.02  # of AUC: a mirrored one as near as that is the same
BEST_OF_A_SESSION, BEST_OF_A_SYMBOL = 3, 10
TOP_SHARES = (0.5, 0.2, 0.1, 0.05)
LEVEL = 0.95


@dataclass(frozen=True)
class Precision:
    """Share of targets among the `k` best events of each group with more than k, mean over `groups`, and among all events of these."""

    k: int = 0
    groups: int = 0
    share: float = NAN
    base: float = NAN


@dataclass(frozen=True)
class AboveThreshold:
    """Events of the later half whose probability is `probability` or more, and their net R."""

    probability: float
    events: int
    net_r: Mean


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
    precision_recall, base_rate : float
        Area under precision and recall of `target first`, and what it is by chance.
    by_session, by_symbol : Precision
    thresholds : tuple of AboveThreshold
        At the probabilities that `TOP_SHARES` of the later half reach.
    """

    auc: Mean = NONE
    mirrored: Mean = NONE
    direction: Mean = NONE
    taken: int = 0
    net_r: Mean = NONE
    all_net_r: Mean = NONE
    precision_recall: float = NAN
    base_rate: float = NAN
    by_session: Precision = Precision()
    by_symbol: Precision = Precision()
    thresholds: tuple[AboveThreshold, ...] = ()

    @property
    def is_volatility(self) -> bool:
        """Whether the score ranks the mirrored label as well as its own."""
        return bool(abs(self.auc.mean - self.mirrored.mean) <= ALIKE)


@dataclass(frozen=True, eq=False)
class EventTrades:
    """Trades of events, one row each, in the order of their sessions.

    Attributes
    ----------
    session, symbol : int64, shape (n,)
        Row and column of the event.
    target, stop : bool, shape (n,)
        Which barrier ended it; neither where time did.
    realised_r, cost_r : float64, shape (n,)
        Before costs; and what a way in and out costs.
    """

    session: Rows
    symbol: Rows
    target: Flags
    stop: Flags
    realised_r: Floats
    cost_r: Floats

    def at(self, rows: Flags) -> EventTrades:
        """Return these rows."""
        return EventTrades(*(values[rows] for values in vars(self).values()))


def by_regime(score: Floats, trades: EventTrades, market: Floats) -> tuple[RegimeFigures, ...]:
    """Direction less one half in each kind of market that a judged session was of; `market`, (T,), are its returns."""
    kinds, hit = regimes(market)[trades.session], trades.target | trades.stop
    found = []
    for regime in Regime:
        inside = hit & (kinds == regime.value)
        if len(np.unique(trades.target[inside])) == 2:
            one = auc(score[inside], trades.target[inside], trades.session[inside])
            skill = replace(one, mean=one.mean - 0.5)
            found.append(RegimeFigures(regime.value, one.sessions, skill, skill))
    return tuple(found)


def said_later(score: Floats, trades: EventTrades) -> tuple[Flags, Floats | None]:
    """(Later half, P(target first) by a map of the earlier half); None where the earlier one has one outcome alone."""
    middle = np.median(np.unique(trades.session))
    early, came = trades.session < middle, trades.target.astype(np.float64)
    is_mixed = 0.0 < (came[early].mean() if early.any() else 0.0) < 1.0
    return ~early, fit_platt(score[early], came[early]).probability(score) if is_mixed else None


def taken(score: Floats, trades: EventTrades, target_r: float) -> tuple[Flags, Flags]:
    """(Later half, the events of it that are let through): P(target first) pays the cost, by a map of the earlier half.

    A trade pays where p target_r - (1 - p) exceeds its cost; time that ends one counts as a loss, which is against the gate.
    """
    later, said = said_later(score, trades)
    return later, _pays(said, later, trades, target_r)


def _pays(said: Floats | None, later: Flags, trades: EventTrades, target_r: float) -> Flags:
    return np.zeros_like(later) if said is None else later & (said > (1.0 + trades.cost_r) / (1.0 + target_r))


def precision_at(k: int, score: Floats, target: Flags, group: Rows) -> Precision:
    """Share of targets among the k highest scores of each group that has more than k events; earlier rows first where scores are equal."""
    order = np.lexsort((-score, group))
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    hits = [target[order[at : at + n]] for at, n in zip(first, count, strict=True) if n > k]
    share, base = (float(np.mean([one[:top].mean() for one in hits])) if hits else NAN for top in (k, None))
    return Precision(k, len(hits), share, base)


def gate_figures(score: Floats, trades: EventTrades, target_r: float) -> GateFigures:
    """Judge scores, shape (n,), none NaN."""
    hit = trades.target | trades.stop
    later, said = said_later(score, trades)
    chosen = _pays(said, later, trades, target_r)
    net = trades.realised_r - trades.cost_r
    least = np.quantile(said[later], [1.0 - share for share in TOP_SHARES]).tolist() if said is not None else ()
    above = [(one, later & (said >= one)) for one in least]
    return GateFigures(
        auc(score, trades.target, trades.session),
        auc(score, trades.stop, trades.session),
        auc(score[hit], trades.target[hit], trades.session[hit]),
        int(chosen.sum()),
        per_event(net[chosen], trades.session[chosen]),
        per_event(net[later], trades.session[later]),
        float(average_precision_score(trades.target, score)) if trades.target.any() else NAN,
        float(trades.target.mean()),
        precision_at(BEST_OF_A_SESSION, score, trades.target, trades.session),
        precision_at(BEST_OF_A_SYMBOL, score, trades.target, trades.symbol),
        tuple(AboveThreshold(one, int(those.sum()), per_event(net[those], trades.session[those])) for one, those in above),
    )


@dataclass(frozen=True)
class KindTail:
    """Expected shortfall at 95 % of the trades of one kind; `method` is `evt`, or `historical` where no tail can be fitted."""

    kind: str
    trades: int
    es_r: float
    method: str


def tails(kind: Floats, net_r: Floats) -> tuple[KindTail, ...]:
    """Return the tail of each kind that has trades, in the order of `Kind`.

    Parameters
    ----------
    kind : float64, shape (n,)
        Numbers of `Kind`.
    net_r : float64, shape (n,)
    """
    return tuple(_tail(one, net_r[kind == one]) for one in Kind if (kind == one).any())


def size_for(budget_usd: float, es_r: float, r_usd: float) -> float:
    """Shares whose expected shortfall is the budget, where one share risks `r_usd` to its stop; 0 where any of the three is not positive.

    Examples
    --------
    >>> size_for(300.0, 1.5, 2.0)
    100.0
    """
    if not (np.isfinite([budget_usd, es_r, r_usd]).all() and min(budget_usd, es_r, r_usd) > 0.0):
        return 0.0
    return budget_usd / (es_r * r_usd)


def _tail(kind: Kind, net_r: Floats) -> KindTail:
    name, history = kind.name.lower(), historical_cvar(-net_r, LEVEL)
    try:
        found = session_cvar(net_r, LEVEL, CvarMethod.EVT)
    except TooLittleHistory:
        return KindTail(name, len(net_r), history, "historical")
    is_fitted = np.isfinite(found) and found != history
    return KindTail(name, len(net_r), found if is_fitted else history, "evt" if is_fitted else "historical")
