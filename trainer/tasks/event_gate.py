"""The task `event_gate`: whether the trade that an event proposes meets its target before its stop.

The label of an event is the R that its trade realises; what is learned is whether the target comes before the stop, and a calibrated map
makes a probability of the score. It is judged on direction and net R, never on AUC alone: where barriers are near, a score of volatility
ranks `target first` and the mirrored `stop first` alike. Direction is the AUC among the events that hit either barrier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np
from sklearn.metrics import average_precision_score

from portfolio.config import CvarMethod
from portfolio.risk.cvar import historical_cvar, session_cvar
from signals.errors import TooLittleHistory
from signals.events.outcomes import Exit, Outcomes
from signals.events.panel import EventBars, Kind
from signals.events.recorded import TARGET_FIRST, OutcomeRules
from signals.features.history import market_return
from signals.indicators.regimes import Regime, regimes
from signals.market.actions import Action
from signals.market.bars import Bars, Flags, Floats
from signals.scoring.evidence import NAN
from signals.text.documents import to_json
from trainer.labels.horizon import Labels, Rows
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import RecipeConfig
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, RegimeFigures, WalkForward, at_least
from trainer.samples.samples import Material, Samples
from trainer.search.arena import SearchMetric, area
from trainer.search.trial_log import Series
from trainer.tasks.base import TaskFindings, TrainingCase, calibration_of, importance_of, on_figure, plain_report, without_ratios
from trainer.tasks.events import TREES, AnalogTrade, EventTask, event_labels, played, rows_in, session_sums, thirds
from trainer.validation.calibration import fit_platt
from trainer.validation.clustered import NONE, auc, interval, low, per_event
from trainer.validation.ic import Mean
from trainer.validation.probabilities import halves

ALIKE = 0.02  # of AUC: a mirrored one as near as that is the same
BEST_OF_A_SESSION, BEST_OF_A_SYMBOL = 3, 10
TOP_SHARES, LEVEL = (0.5, 0.2, 0.1, 0.05), 0.95


@dataclass(frozen=True)
class Precision:
    """Share of targets among the `k` best events of each group with more than k, mean over `groups`, and among all events of these.

    A score without skill has the second.
    """

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
        """Whether the score ranks the mirrored label as well as its own, or better although it ranks its own."""
        own, mirrored = self.auc.mean, self.mirrored.mean
        return bool(abs(own - mirrored) <= ALIKE or mirrored > own > 0.5)


@dataclass(frozen=True, eq=False)
class EventTrades:
    """Trades of events, one row each, in the order of their sessions.

    Attributes
    ----------
    session, ends, symbol : int64, shape (n,)
        Session of the event and that in which its trade ended, and the event's column.
    target, stop : bool, shape (n,)
        Which barrier ended it; neither where time did.
    realised_r, cost_r : float64, shape (n,)
        Before costs; and what a way in and out costs.
    """

    session: Rows
    ends: Rows
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
            one = auc(score[inside], trades.target[inside], trades.session[inside], trades.ends[inside])
            skill = replace(one, mean=one.mean - 0.5)
            found.append(RegimeFigures(regime.value, one.sessions, skill, skill))
    return tuple(found)


def taken(score: Floats, trades: EventTrades, target_r: float) -> tuple[Flags, Flags, Floats | None]:
    """(Later half, the events of it that are let through, P(target first)), by a map of the trades that ended in the earlier half.

    There is no probability where these have one outcome alone.
    """
    (early, later), came = halves(trades.session, trades.ends), trades.target.astype(np.float64)
    if not 0.0 < (came[early].mean() if early.any() else 0.0) < 1.0:
        return later, np.zeros_like(later), None
    said = fit_platt(score[early], came[early]).probability(score)
    return later, later & (said > OutcomeRules(target_r=target_r).least_probability(trades.cost_r)), said


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
    later, chosen, said = taken(score, trades, target_r)
    net = trades.realised_r - trades.cost_r
    least = np.quantile(said[later], [1.0 - share for share in TOP_SHARES]).tolist() if said is not None else ()
    above = [(one, later & (said >= one)) for one in least]
    return GateFigures(
        auc(score, trades.target, trades.session, trades.ends),
        auc(score, trades.stop, trades.session, trades.ends),
        auc(score[hit], trades.target[hit], trades.session[hit], trades.ends[hit]),
        int(chosen.sum()),
        per_event(net[chosen], trades.session[chosen], trades.ends[chosen]),
        per_event(net[later], trades.session[later], trades.ends[later]),
        float(average_precision_score(trades.target, score)) if trades.target.any() else NAN,
        float(trades.target.mean()),
        precision_at(BEST_OF_A_SESSION, score, trades.target, trades.session),
        precision_at(BEST_OF_A_SYMBOL, score, trades.target, trades.symbol),
        tuple(AboveThreshold(one, int(at.sum()), per_event(net[at], trades.session[at], trades.ends[at])) for one, at in above),
    )


@dataclass(frozen=True)
class KindTail:
    """Expected shortfall at 95 % of the trades of one kind; `method` is `evt`, or `historical` where no tail can be fitted."""

    kind: str
    trades: int
    es_r: float
    method: str


def tails(kind: Floats, net_r: Floats) -> tuple[KindTail, ...]:
    """Return the tail of each kind that has trades, in the order of `Kind`, whose numbers are `kind`; float64 (n,) both."""
    return tuple(_tail(one, net_r[kind == one]) for one in Kind if (kind == one).any())


def _tail(kind: Kind, net_r: Floats) -> KindTail:
    name, history = kind.name.lower(), historical_cvar(-net_r, LEVEL)
    try:
        found = session_cvar(net_r, LEVEL, CvarMethod.EVT)
    except TooLittleHistory:
        return KindTail(name, len(net_r), history, "historical")
    is_fitted = np.isfinite(found) and found != history
    return KindTail(name, len(net_r), found if is_fitted else history, "evt" if is_fitted else "historical")


class GateLabel(AnalogTrade):
    """The trade of an event."""

    kind: Literal["event_gate"] = "event_gate"


class GateRecipe(RecipeConfig):
    """A recipe that learns a gate of events."""

    label: GateLabel = GateLabel()
    lightgbm: LightGbmConfig = TREES


def figures_of(known: Evidence) -> GateFigures:
    """Return the task's own part of the evidence."""
    return known.part("gate", GateFigures)


direction_bar = on_figure(
    at_least, "direction", 0.5, "lower bound of the AUC of direction, walking forward", lambda known: low(figures_of(known).direction)
)
net_bar = on_figure(
    at_least, "net R", 0.0, "lower bound of the net R of an event that is let through", lambda known: low(figures_of(known).net_r)
)


class EventGate(EventTask):
    """Whether the trade of an event meets its target before its stop."""

    name = kind = "event_gate"
    config = GateRecipe
    bars = (direction_bar, net_bar)
    is_explained = True

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label each event by the R that its trade realises; 1 is learned where the target came first."""
        table, (made,) = played(bars, actions, cast(GateRecipe, config).label.rules)
        return event_labels(bars, table, made.realised_r, made.t1, _met(made)[0].astype(np.float64))

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge by AUC and the mirrored AUC, direction, calibration, and net R of what is let through."""
        proof, label = case.proof, cast(GateRecipe, case.config).label
        source = case.material.source
        trades = trades_of(proof.rows, source.bars, label, source.actions)
        forward = proof.walk_forward
        seen = np.isfinite(forward)
        found = gate_figures(forward[seen], trades.at(seen), label.target_r)
        kind = source.bars.joined["event_kind"][proof.rows.t0, proof.rows.column]
        worst = tails(kind, trades.realised_r - trades.cost_r)
        tried = case.recorded(_net_series(proof.rows, forward, trades, label.target_r))
        skill = replace(found.direction, mean=found.direction.mean - 0.5)
        market = market_return(source.bars.total_return, source.bars.eligible)
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(skill.mean, skill.standard_error, skill.t, sessions=skill.sessions),
            "walk_forward": WalkForward(skill, case.config.cpcv.groups - 1),
            "trials": without_ratios(tried),
            "others": {"gate": to_json(found), "tails": to_json(worst), "thirds": thirds(proof.rows), **label.net()},
            "calibration": calibration_of(case, TARGET_FIRST),
            "importance": importance_of(case),
            "regimes": by_regime(forward[seen], trades.at(seen), market) if case.config.minutes is None else (),
        }
        return TaskFindings(fields, tuple(warnings(found)), partial(plain_report, task=self), proof.oof.scores[0])

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the AUC of `target first`."""
        return area("AUC of target first, above one half", rows, rows.target > 0.5)

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the net R of what is let through in the sealed sessions, by session."""
        label, rows, source = cast(GateRecipe, config).label, material.rows, material.source
        return _net_series(rows, scores, trades_of(rows, source.bars, label, source.actions), label.target_r)

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the gate."""
        found, judged = figures_of(known), known.calibration.judged if known.calibration else None
        above = [(f"Net R from a probability of {x.probability:.3f}", f"{interval(x.net_r)}, {x.events} events") for x in found.thresholds]
        came = f"slope {judged.slope:.2f} ± {judged.slope_error:.2f}, said {judged.said:.1%}, came {judged.came:.1%}" if judged else "n/a"
        return [
            ("AUC of target first", interval(found.auc)),
            ("AUC of the same score on the mirrored label", interval(found.mirrored)),
            ("Direction, given that a barrier was hit", interval(found.direction)),
            ("Precision and recall, area", f"{found.precision_recall:.3f} (chance {found.base_rate:.3f})"),
            (f"Precision at {found.by_session.k} of a session", _precision(found.by_session, "sessions")),
            (f"Precision at {found.by_symbol.k} of a symbol", _precision(found.by_symbol, "symbols")),
            ("Reliability", came),
            ("Net R an event let through", f"{interval(found.net_r)}, {found.taken} events"),
            ("Net R of every event", interval(found.all_net_r)),
            *above,
            *((f"Direction in a market {one.regime}", interval(replace(one.ic, mean=one.ic.mean + 0.5))) for one in known.regimes),
            *((f"Worst 5 % of {one.kind} trades", _tail_line(one)) for one in known.part("tails", tuple[KindTail, ...], ())),
        ]


def trades_of(rows: Samples, bars: Bars, label: GateLabel, actions: tuple[Action, ...]) -> EventTrades:
    """Trades of labelled events, in the order of the rows."""
    table, (made,) = played(bars, actions, label.rules)
    mine = rows_in(table, bars, rows.t0, rows.column)
    target, stop = _met(made)
    cost = label.rules.cost_r(table.atr / EventBars.of(bars).close[table.row, table.column], label.cost_bps)
    return EventTrades(rows.day, rows.end_day, rows.column, target[mine], stop[mine], made.realised_r[mine], cost[mine])


def _precision(found: Precision, groups: str) -> str:
    return f"{found.share:.1%} (of all their events {found.base:.1%}), mean of {found.groups} {groups}"


def _tail_line(one: KindTail) -> str:
    size = 1.0 / one.es_r if one.es_r > 0.0 else 0.0  # of the budget, so that the expected shortfall is the budget
    return f"{-one.es_r:+.2f} R ({one.method}, {one.trades} trades): a budget of 1 % of equity for them risks {size:.2f} % to the stop"


def warnings(found: GateFigures) -> list[str]:
    """Say what the gate is not."""
    told = []
    if found.is_volatility:
        told.append(
            f"a volatility forecast: the score ranks `stop first` (AUC {found.mirrored.mean:.3f}) as it ranks `target first` "
            f"({found.auc.mean:.3f}), so it says when a barrier is hit and not which"
        )
    if not low(found.direction) > 0.5:
        told.append(f"direction is not distinguishable from a coin: AUC {interval(found.direction)}")
    if not found.taken:
        told.append("no probability pays the cost of a trade: nothing is let through")
    elif not low(found.net_r) > 0.0:
        told.append(f"what is let through does not earn its costs: net R {interval(found.net_r)}")
    return told


def _met(made: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Whether the target, and whether the stop, ended each trade; a gap beyond one is a touch of it."""
    gap = made.exit == Exit.GAP
    return (made.exit == Exit.TARGET) | (gap & (made.realised_r > 0.0)), (made.exit == Exit.STOP) | (gap & (made.realised_r < 0.0))


def _net_series(rows: Samples, scores: Floats, trades: EventTrades, target_r: float) -> Series:
    """Sum of the net R of what is let through, by session of the events; 0 where nothing is."""
    seen = np.isfinite(scores)
    kept = trades.at(seen)
    later, chosen, _ = taken(scores[seen], kept, target_r)
    gained = np.full(len(rows), np.nan)
    gained[np.flatnonzero(seen)[later]] = np.where(chosen, kept.realised_r - kept.cost_r, 0.0)[later]
    return session_sums(rows, gained)


EVENT_GATE = EventGate()
