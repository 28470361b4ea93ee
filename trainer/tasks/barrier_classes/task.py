"""Labels, evaluator and report of the task `barrier_classes`.

A decision at the END of a bar enters at the next open; up and down barriers are average true ranges away from it, and what ends
the trade is its class: long, short, or neutral. Skill is direction: the information coefficient of the score, P(long) - P(short),
with the session as unit, and the log loss of long against short. A model that sees the clock alone is in the same table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.minutes.stretch import DecisionBars
from signals.models.heads import ClassesHead
from signals.scoring.evidence import Mean
from signals.serving.outlook import LIMITS, MEANS
from signals.sleeves.bars import clock_alone
from signals.text.documents import from_json, to_json
from trainer.labels.horizon import Labels
from trainer.labels.triple_barrier import BarrierChoice, BarrierLabels, Barriers, search_barriers, triple_barrier_labels
from trainer.learners.base import EveryOutput, FitDevice, Learner, Numbered
from trainer.learners.ensembles.chosen import Chosen
from trainer.learners.fanout import RowSet
from trainer.learners.table import learner_named
from trainer.recipes.base import RecipeConfig
from trainer.runs.artefacts import PARAMETERS, arrays
from trainer.runs.evidence import BarResult, Evidence, EvidenceFields, OutOfFoldIc, WalkForward, at_least
from trainer.samples.samples import DEFAULT_VIEW, Material, Samples
from trainer.search.arena import SearchMetric
from trainer.search.trial_log import Series
from trainer.tasks.barrier_classes.config import BarsRecipe, barriers_of
from trainer.tasks.barrier_classes.decisions import KNOWS_NOTHING, Decisions, direction_loss
from trainer.tasks.barrier_classes.horizons import days_of, decisions_of
from trainer.tasks.base import Task, TaskFindings, TrainingCase, series_report, without_ratios
from trainer.validation.probabilities import ClassFigures, class_figures
from trainer.validation.splits.oof import SHARES, parts, score_unseen, walk_forward
from trainer.validation.splits.selection import FEATURE_SETS, FeatureSelection

CLASSES = ClassesHead(("short", "neutral", "long"))
SURE_T = 2.0
BPS = 1e-4
CLOCK_LEARNER = "lightgbm"
CAPTION = "Cumulative information coefficient by session. A steady slope is skill; one step is one episode."
OPEN_SHARES = (SHARES[0] / sum(SHARES), SHARES[1] / sum(SHARES))  # of the decisions that are not sealed
MOST_PATIENCE = 3  # horizons, in a search of barriers


def direction_bar(case: Any, bars: Any) -> BarResult:
    """Bar on the information coefficient of direction, walking forward."""
    return at_least("direction", case.evidence.forward_ic.t, SURE_T, "t of the direction's information coefficient, walking forward")


@dataclass(frozen=True)
class ScoredDirection:
    """Of scores of decisions: IC, edge of a trade in their direction, log loss of long against short and of its base rate."""

    ic: Mean
    edge_bps: Mean
    log_loss: float
    base_log_loss: float


@dataclass(frozen=True)
class BarriersUsed:
    """The barriers of the labels, in units of ATR, their patience in bars, and what happens overnight."""

    up: float
    down: float
    max_bars: int
    overnight: str


@dataclass(frozen=True)
class ValidationIc:
    """IC on the validation part."""

    ic: Mean


@dataclass(frozen=True)
class DirectionEvidence:
    """The task's own part of the evidence."""

    barriers: BarriersUsed
    validation: ValidationIc
    direction: Mapping[str, ScoredDirection]
    classes: ClassFigures


class BarrierClasses(Task):
    """Which barrier is met first."""

    name = "barrier_classes"
    kind = "barrier_classes"
    config = BarsRecipe
    head = CLASSES
    min_names = 1
    leaves_doubted_out = False
    is_traded = False
    bars = (direction_bar,)

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the trade's return; its class is what is learned."""
        own, used = cast(BarsRecipe, config).label, _barriers(config, bars.symbols[0])
        found = barrier_labels(cast(DecisionBars, bars), BarrierChoice(used.up, used.down, used.max_bars), own.overnight)
        quality = _quality(found, training_end(bars, config)) if own.quality else None
        return replace(found.labels, target=found.side.astype(np.float64), quality=quality)

    def settled(self, bars: Bars, config: RecipeConfig) -> tuple[RecipeConfig, Mapping[str, object]]:
        """Search barriers on the training part, where they are not given."""
        own = cast(BarsRecipe, config).label
        if not own.search or own.up is not None or own.down is not None or own.max_bars is not None:
            return config, {}
        found, tried = search_barriers(
            partial(barrier_labels, cast(DecisionBars, bars), overnight=own.overnight),
            horizon=own.k,
            before=training_end(bars, config),
            cost=own.cost_bps * BPS,
            trials=own.search,
        )
        changed = config.model_copy(update={"label": own.model_copy(update=asdict(found))})
        return changed, {"barriers": to_json(found), "trials": [to_json(one) for one in tried]}

    def shares(self, bars: Bars, config: RecipeConfig) -> Mapping[str, float]:
        """Return the shares of short, neutral and long."""
        found = self.labels(bars, config, ())
        side = cast(Floats, found.target)[found.ends >= 0]
        return {name: float(np.mean(side == value)) for name, value in zip(CLASSES.names, (-1.0, 0.0, 1.0), strict=True)}

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return what is fitted to the classes, on a feature set where the recipe names one."""
        learner, wish = super().learner(config, seed, device, checkpoints), config.minutes.features if config.minutes else ""
        if wish:
            ranker = learner_named(CLOCK_LEARNER, config, seed, FitDevice.CPU, head=CLASSES)
            own = cast(BarsRecipe, config).label
            learner = Chosen(learner, FeatureSelection(ranker, FEATURE_SETS[wish], own.max_bars or own.k, seed))
        return Numbered(learner)

    def steps(self, config: RecipeConfig) -> int:
        """One fit for the validation part, and a walk forward of the clock."""
        return config.cpcv.groups

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge direction out of fold, walking forward and on the validation part, next to the clock."""
        bars, rows, proof = cast(DecisionBars, case.material.source.bars), case.proof.rows, case.proof
        what = decisions_of(rows, bars)
        oof = proof.oof.scores.mean(axis=0)
        series, walked = (what.by_session(what.products(score)) for score in (oof, proof.walk_forward))
        tried = case.recorded(_edges(what, proof.walk_forward, bars))
        validation = self._validated(case)
        clock = self._clock(case, rows)
        table = {"model": _direction(what, rows, proof.walk_forward), "clock alone": _direction(what, rows, clock)}
        ic, ahead = what.mean(series), what.mean(walked)
        classes = class_figures(rows, proof.oof.scores[0])
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, lag=what.lag, sessions=ic.sessions),
            "walk_forward": WalkForward(ahead, case.config.cpcv.groups - 1),
            "trials": without_ratios(tried),
            "others": {
                "barriers": to_json(_barriers(case.config, bars.symbols[0])),
                "validation": {"ic": to_json(validation)},
                "settled": case.material.settled,
                "direction": {name: to_json(row) for name, row in table.items()},
                "classes": to_json(classes),
            },
        }
        warned = []
        if not ahead.t >= SURE_T:
            warned.append(f"walking forward the direction's t is {ahead.t:.2f}: not distinguishable from no skill")
        if not table["model"].log_loss < table["model"].base_log_loss:
            warned.append("the score does not tell long from short better than their base rate does")
        report = partial(series_report, task=self, caption=CAPTION, sessions=days_of(bars, what), series=series, forward=walked)
        return TaskFindings(fields, tuple(warned), report, oof, {PARAMETERS: arrays(_outlook(case, bars))})

    def _validated(self, case: TrainingCase) -> Mean:
        """Information coefficient on the last part of what is open, by a model of the training part."""
        rows, bars = case.proof.rows, cast(DecisionBars, case.material.source.bars)
        found = parts(rows.t0, rows.t1, embargo=case.config.cpcv.embargo_sessions, shares=OPEN_SHARES)
        scores = score_unseen(rows, case.learner, RowSet.of(found.train), RowSet.of(found.validation))
        case.step("model of the training part")
        return decisions_of(rows, bars).at(found.validation).information(scores)

    def _clock(self, case: TrainingCase, rows: Samples) -> Floats:
        """Walk-forward scores of a model that sees the clock alone."""
        learner = Numbered(learner_named(CLOCK_LEARNER, case.config, case.request.seed, FitDevice.CPU, head=CLASSES))
        blind = replace(rows, panel=clock_alone(rows.panel), view=DEFAULT_VIEW)
        return walk_forward(blind, learner, groups=case.config.cpcv.groups, workers=case.request.workers, step=case.step)

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the log loss of long against short that is saved against 0.6931, which knows nothing."""
        bars = cast(DecisionBars, material.source.bars)
        what = decisions_of(rows, bars)

        def saved(outputs: Floats) -> Series:
            found = what.by_session(KNOWS_NOTHING - direction_loss(what, CLASSES.probabilities(outputs)))
            return Series.known(days_of(bars, what), found)

        return SearchMetric("log loss of long against short saved", saved, EveryOutput)

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return what a trade in the direction of the sealed decisions' scores earned, by session."""
        bars = cast(DecisionBars, material.source.bars)
        return _edges(decisions_of(material.rows, bars), scores, bars)

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        from trainer.reports.training import provenance

        found = from_json(DirectionEvidence, known.others)
        model, clock, valid = found.direction["model"], found.direction["clock alone"], found.validation.ic
        barriers, classes = found.barriers, found.classes
        return [
            ("Barriers", f"{barriers.up:g} up, {barriers.down:g} down, {barriers.max_bars} bars, {barriers.overnight}"),
            ("Direction, out of fold", f"IC {known.ic.mean:+.4f} (t {known.ic.t_newey_west:+.2f}, {known.ic.sessions} sessions)"),
            ("Direction, walking forward", f"IC {model.ic.mean:+.4f} (t {model.ic.t:+.2f}), {_edge(model)}"),
            ("Direction of the clock alone", f"IC {clock.ic.mean:+.4f} (t {clock.ic.t:+.2f}), {_edge(clock)}"),
            ("Direction on the validation part", f"IC {valid.mean:+.4f} (t {valid.t:+.2f}, {valid.sessions} sessions)"),
            ("Log loss of long against short, base rate's, clock's", ", ".join(_losses(model, clock))),
            ("Trades that end long, short, neutral", f"{classes.profit:.1%}, {classes.stop:.1%}, {classes.time:.1%}"),
            ("Trials that count", str(known.trials.n_trials)),
            *provenance(known),
        ]


def training_end(bars: Bars, config: RecipeConfig) -> int:
    """First row after the training part: 70 % of the bars, or where sealed decisions may begin, which are counted from the last label."""
    rows, own = len(bars.sessions), cast(BarsRecipe, config).label
    share = config.minutes.test_share if config.minutes else 0.0
    sealed = round(share * rows) if share else config.cpcv.holdout_sessions
    return min(int(SHARES[0] * rows), rows - sealed - max(own.max_bars or 0, MOST_PATIENCE * own.k))


def barrier_labels(bars: DecisionBars, choice: BarrierChoice, overnight: str) -> BarrierLabels:
    """Labels of every decision."""
    barriers, until = Barriers(choice.up, choice.down, choice.max_bars), bars.last_row if overnight == "flat" else None
    return triple_barrier_labels(bars, barriers, unit=bars.sigma, until=until, is_tie_nothing=True)


def _quality(found: BarrierLabels, before: int) -> Floats:
    """Weights of 1/2 to 3/2 by the rank of the outcome among those of the training part."""
    outcome, ends = found.outcome, found.labels.ends
    known = np.sort(outcome[(ends >= 0) & (ends < before) & np.isfinite(outcome)])
    return 0.5 + np.searchsorted(known, np.nan_to_num(outcome)) / max(1, len(known))


def _barriers(config: RecipeConfig, symbol: str) -> BarriersUsed:
    own, pair = cast(BarsRecipe, config).label, barriers_of(symbol)
    return BarriersUsed(own.up or pair[0], own.down or pair[1], own.max_bars or own.k, own.overnight)


def _direction(what: Decisions, rows: Samples, score: Floats) -> ScoredDirection:
    """Figures of the decisions that have a score; the edge is the return of a trade in its direction."""
    known = np.isfinite(score)
    classes = class_figures(rows.where(known), score[known])
    edge = what.mean(what.by_session(np.sign(score) * what.ret / BPS))
    return ScoredDirection(what.information(score), edge, classes.log_loss, classes.base_log_loss)


def _outlook(case: TrainingCase, bars: DecisionBars) -> dict[str, Floats]:
    """What an outlook reads: the worth of each class in the rows that the model learned from, and the cost that an edge must reach."""
    rows, label = case.material.rows, cast(BarsRecipe, case.config).label
    learned = decisions_of(rows, bars).at(np.flatnonzero(rows.weight > 0.0))
    return {MEANS: learned.class_means(), LIMITS: np.array([0.0, label.cost_bps * BPS])}


def _edges(what: Decisions, score: Floats, bars: DecisionBars) -> Series:
    """Mean return of a trade in the direction of the score, by session."""
    edge = what.by_session(np.sign(score) * what.ret)
    there = np.isfinite(edge)
    return Series(days_of(bars, what)[there], edge[there])


def _edge(row: ScoredDirection) -> str:
    return f"{row.edge_bps.mean:+.2f} bps a trade before costs (t {row.edge_bps.t:+.2f})"


def _losses(model: ScoredDirection, clock: ScoredDirection) -> list[str]:
    figures = (model.log_loss, model.base_log_loss, clock.log_loss)
    return ["n/a" if np.isnan(one) else f"{one:.4f}" for one in figures]


BARRIER_CLASSES = BarrierClasses()
