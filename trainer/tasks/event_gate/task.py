"""Labels, evaluator and bars of the task `event_gate`.

The label of an event is the R that its trade realises (`signals.events.outcomes`); what is learned is whether the target comes before
the stop. A calibrated map makes a probability of the score. Nothing trades on it: it is judged on direction and net R, never on AUC.
"""

from dataclasses import replace
from functools import partial
from typing import Literal, cast

import numpy as np

from signals.events.outcomes import Exit, Outcomes
from signals.features.history import market_return
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.text.documents import to_json
from trainer.labels.events import cost_r, event_labels, played, rows_in
from trainer.labels.horizon import Labels
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import RecipeConfig
from trainer.recipes.event_trades import TREES, AnalogTrade
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, WalkForward, at_least
from trainer.samples.samples import Material, Samples
from trainer.search.trial_log import Series
from trainer.tasks.base import TaskFindings, TrainingCase, calibration_of, on_figure, plain_report, without_ratios
from trainer.tasks.event_gate.figures import EventTrades, GateFigures, KindTail, Precision, by_regime, gate_figures, size_for, tails, taken
from trainer.tasks.events import EventTask, session_sums, thirds
from trainer.validation.clustered import interval, low

EVENT = "the target is met before the stop"


class GateLabel(AnalogTrade):
    """The trade of an event."""

    kind: Literal["event_gate"] = "event_gate"


class GateRecipe(RecipeConfig):
    """A recipe that learns a gate of events."""

    label: GateLabel = GateLabel()
    lightgbm: LightGbmConfig = TREES


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
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(skill.mean, skill.standard_error, skill.t, sessions=skill.sessions),
            "walk_forward": WalkForward(skill, case.config.cpcv.groups - 1),
            "trials": without_ratios(tried),
            "others": {"gate": to_json(found), "tails": to_json(worst), "thirds": thirds(proof.rows)},
            "calibration": calibration_of(case, EVENT),
            "regimes": by_regime(forward[seen], trades.at(seen), market_return(source.bars.total_return, source.bars.eligible)),
        }
        return TaskFindings(fields, tuple(warnings(found)), partial(plain_report, task=self), proof.oof.scores[0])

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the net R of what is let through in the sealed sessions, by session."""
        label = cast(GateRecipe, config).label
        trades = trades_of(material.rows, material.source.bars, label, material.source.actions)
        return _net_series(material.rows, scores, trades, label.target_r)

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the gate."""
        found, judged = figures_of(known), known.calibration.judged if known.calibration else None
        slope = "n/a"
        if judged is not None:
            slope = f"slope {judged.slope:.2f} ± {judged.slope_error:.2f}, said {judged.said:.1%}, came {judged.came:.1%}"
        return [
            ("AUC of target first", interval(found.auc)),
            ("AUC of the same score on the mirrored label", interval(found.mirrored)),
            ("Direction, given that a barrier was hit", interval(found.direction)),
            ("Precision and recall, area", f"{found.precision_recall:.3f} (chance {found.base_rate:.3f})"),
            (f"Precision at {found.by_session.k} of a session", _precision(found.by_session, "sessions")),
            (f"Precision at {found.by_symbol.k} of a symbol", _precision(found.by_symbol, "symbols")),
            ("Reliability", slope),
            ("Net R an event let through", f"{interval(found.net_r)}, {found.taken} events"),
            ("Net R of every event", interval(found.all_net_r)),
            *(
                (f"Net R from a probability of {one.probability:.3f}", f"{interval(one.net_r)}, {one.events} events")
                for one in found.thresholds
            ),
            *((f"Direction in a market {one.regime}", interval(replace(one.ic, mean=one.ic.mean + 0.5))) for one in known.regimes),
            *((f"Worst 5 % of {one.kind} trades", _tail(one)) for one in known.part("tails", tuple[KindTail, ...], ())),
        ]


def trades_of(rows: Samples, bars: Bars, label: GateLabel, actions: tuple[Action, ...]) -> EventTrades:
    """Trades of labelled events, in the order of the rows."""
    table, (made,) = played(bars, actions, label.rules)
    mine = rows_in(table, bars, rows.t0, rows.column)
    target, stop = _met(made)
    cost = cost_r(bars, table, label.cost_bps, label.stop_atr)
    return EventTrades(rows.t0, rows.column, target[mine], stop[mine], made.realised_r[mine], cost[mine])


def figures_of(known: Evidence) -> GateFigures:
    """Return the task's own part of the evidence."""
    return known.part("gate", GateFigures, GateFigures())


def _precision(found: Precision, groups: str) -> str:
    return f"{found.share:.1%} (of all their events {found.base:.1%}), mean of {found.groups} {groups}"


def _tail(one: KindTail) -> str:
    size = size_for(1.0, one.es_r, 1.0)
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
    later, chosen = taken(scores[seen], kept, target_r)
    gained = np.full(len(rows), np.nan)
    gained[np.flatnonzero(seen)[later]] = np.where(chosen, kept.realised_r - kept.cost_r, 0.0)[later]
    return session_sums(rows, gained)


EVENT_GATE = EventGate()
