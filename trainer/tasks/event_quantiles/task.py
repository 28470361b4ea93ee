"""Labels, evaluator and heads of the task `event_quantiles`.

The score is the median of the return over k bars, in ATR, seen from the event's side. Published with it are heads of kind
`quantiles`: bands of returns, the distance of a stop and that of a target, each an exact export.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
from pydantic import Field

from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import Head, QuantilesHead, ScoreHead
from signals.models.inference import SCORE
from signals.sleeves.events import ANALOGS
from signals.text.documents import to_json
from trainer.labels.horizon import Labels
from trainer.learners.base import FitDevice, Learner
from trainer.learners.export import export
from trainer.learners.joined_graphs import ordered_graph
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import RecipeConfig
from trainer.recipes.event_trades import AnalogTrade
from trainer.runs import artefacts
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, at_least, at_most
from trainer.runs.picture_bank import digest_of_net
from trainer.samples.samples import Material, Samples, rows_of, seal_holdout
from trainer.search.trial_log import Series
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure, plain_report, without_ratios
from trainer.tasks.event_quantiles.forecasts import (
    FAVOURABLE,
    MEDIAN,
    RETURN,
    LevelFigures,
    OutcomeQuantiles,
    QuantileFigures,
    TargetFigures,
    constant,
    forecasts_of,
    judged,
    of_quantile,
    target_figures,
    trades_to,
    walked,
    weighted_quantile,
)
from trainer.tasks.events import EventTask, thirds
from trainer.validation.clustered import NONE, interval, low
from trainer.validation.forecasts import pinball, session_mean
from trainer.validation.ic import persistent_mean, rank_ic
from trainer.validation.splits.oof import fit_all

MOST_MISS = 0.02


class QuantilesLabel(AnalogTrade):
    """The return over k bars that is the score; `stop_atr` is the R in which a target is counted."""

    kind: Literal["event_quantiles"] = "event_quantiles"
    k: int = Field(default=6, ge=1, le=60)


class QuantilesRecipe(RecipeConfig):
    """A recipe that learns quantiles of events; objective and quantile of `lightgbm` are set for each."""

    label: QuantilesLabel = QuantilesLabel()
    learner: Literal["lightgbm"] = "lightgbm"
    lightgbm: LightGbmConfig = LightGbmConfig(trees=80, num_leaves=7, min_data_in_leaf=300)


coverage_bar = on_figure(
    at_most,
    "coverage",
    MOST_MISS,
    "largest distance of a share of outcomes from its level",
    lambda known: max((level.miss for level in _asked(known)), default=None),
)
pinball_bar = on_figure(
    at_least,
    "pinball",
    0.0,
    "lower bound of the least pinball loss saved against a constant",
    lambda known: min((low(level.advantage) for level in _asked(known)), default=None),
)


class EventQuantiles(EventTask):
    """Quantiles of what follows an event."""

    name = kind = "event_quantiles"
    config = QuantilesRecipe
    bars = (coverage_bar, pinball_bar)

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label each event by its return over k bars, in ATR."""
        label = cast(QuantilesRecipe, config).label
        return OutcomeQuantiles(SCORE, RETURN, label.k, (MEDIAN,)).labels(bars, actions, label.stop_atr)

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return the learner of the median."""
        return of_quantile(config.lightgbm, MEDIAN, seed)

    def steps(self, config: RecipeConfig) -> int:
        """How many models `judge` fits walking forward."""
        own = cast(QuantilesRecipe, config).label
        levels = sum(len(one.levels) for one in forecasts_of(own.k)) + bool(own.analogs)
        return levels * (config.cpcv.groups - 1)

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge by coverage with its spread over sessions, and by pinball loss against a constant."""
        config, source, request = cast(QuantilesRecipe, case.config), case.material.source, case.request
        figures, heads = list[QuantileFigures](), dict[str, tuple[Head, bytes]]()
        heads[SCORE] = ScoreHead(), case.fitted.exported.onnx
        target = TargetFigures(np.nan, NONE)

        def walking(asked: OutcomeQuantiles, rows: Samples) -> Floats:
            shape = {"groups": config.cpcv.groups, "seed": request.seed, "workers": request.workers}
            return walked(asked, rows, config.lightgbm, **shape, step=case.step)

        for asked in forecasts_of(config.label.k):
            labels = asked.labels(source.bars, source.actions, config.label.stop_atr)
            rows = rows_of(labels, self, config, source, case.material.panel)
            opened, _ = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
            found = walking(asked, opened)
            figures.append(judged(asked, opened, found, config.cpcv.groups))
            if asked.of == FAVOURABLE:
                without = walking(asked, without_analogs(opened))[0] if config.label.analogs else None
                target = target_figures(opened, found[0], trades_to(opened, source.bars, config.label.stop_atr, source.actions), without)
            heads[asked.name] = QuantilesHead(asked.levels), _graph(asked, rows, config, request.seed)
        proof, lag = case.proof, 2 * (config.label.k - 1)
        against = constant(proof.rows, config.cpcv.groups, MEDIAN)
        tried = case.recorded(_saved(proof.rows, proof.walk_forward, against))
        ic = persistent_mean(rank_ic(proof.rows.dense(proof.walk_forward), proof.rows.dense(proof.rows.label)), lag)
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, lag=lag, sessions=ic.sessions),
            "trials": without_ratios(tried),
            "others": {
                "quantiles": to_json(figures),
                "target": to_json(target),
                "thirds": thirds(proof.rows),
                **({"analogs_sha256": digest_of_net(Path(config.label.analogs))} if config.label.analogs else {}),
            },
        }
        files = artefacts.models(case.material.rows, heads)
        return TaskFindings(fields, tuple(warnings(figures)), partial(plain_report, task=self), proof.oof.scores[0], files)

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the pinball loss that the sealed sessions' medians save against the median of the open ones."""
        rows, cpcv = material.rows, config.cpcv
        opened, _ = seal_holdout(rows, cpcv.holdout_sessions, cpcv.embargo_sessions)
        return _saved(rows, scores, np.full(len(rows), weighted_quantile(opened, np.arange(len(opened)), MEDIAN)))

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the quantiles."""
        lines = [(_what(one, level), _line(one, level)) for one in figures_of(known) for level in one.levels]
        target = known.part("target", TargetFigures, TargetFigures(np.nan, NONE))
        lines.append(("Forecast target: R above a fixed 2 R, in pairs", f"{interval(target.uplift)}; SMAPE {target.smape:.2f}"))
        if target.analogs.sessions:
            lines.append(("Forecast target: pinball that sim_conf and hist_rr_pct save", f"{interval(target.analogs)} R"))
        return lines


def figures_of(known: Evidence) -> tuple[QuantileFigures, ...]:
    """Return the task's own part of the evidence."""
    return known.part("quantiles", tuple[QuantileFigures, ...], ())


def warnings(figures: list[QuantileFigures]) -> list[str]:
    """Say which level is missed, and which is no better than a constant."""
    told = []
    for one in figures:
        for level in one.levels:
            if one.is_asked and not level.miss <= MOST_MISS:
                told.append(f"{_what(one, level)} holds {level.share.mean:.1%} of outcomes, not {level.level:.0%}")
            if not low(level.advantage) > 0.0:
                told.append(f"{_what(one, level)} is not better than a constant: pinball {level.gain:+.1%}, t {level.advantage.t:.2f}")
    return told


def without_analogs(rows: Samples) -> Samples:
    """Return the rows without what the analogs say."""
    panel, kept = rows.panel, [i for i, name in enumerate(rows.names) if name not in ANALOGS]
    names = tuple(panel.names[i] for i in kept)
    return replace(rows, panel=replace(panel, names=names, values=np.ascontiguousarray(panel.values[:, :, kept])))


def _asked(known: Evidence) -> list[LevelFigures]:
    return [level for one in figures_of(known) if one.is_asked for level in one.levels]


def _graph(asked: OutcomeQuantiles, rows: Samples, config: QuantilesRecipe, seed: int) -> bytes:
    """Export a model of each level, fitted on all rows, as one graph whose outputs ascend."""
    graphs = [export(fit_all(rows, of_quantile(config.lightgbm, level, seed)), rows.inputs()).onnx for level in asked.levels]
    return graphs[0] if len(graphs) == 1 else ordered_graph(graphs[0], graphs[1])


def _saved(rows: Samples, scores: Floats, against: Floats) -> Series:
    """Pinball loss of the median that is saved, by session."""
    gain = session_mean(rows.dense(pinball(rows.label, against, MEDIAN) - pinball(rows.label, scores, MEDIAN)))
    known = np.isfinite(gain)
    return Series(rows.sessions[known], gain[known])


def _what(one: QuantileFigures, level: LevelFigures) -> str:
    kind, bars = one.name.rsplit("_", 1)
    unit = "R" if kind == "target" else "ATR"
    return f"{100 * level.level:g} % quantile of the {kind} over {bars} bar{'s' * (bars != '1')}, {unit}"


def _line(one: QuantileFigures, level: LevelFigures) -> str:
    hit = (
        f"the stop is hit in {1.0 - level.share.mean:.1%} of trades, said {1.0 - level.level:.0%}; " if one.name.startswith("stop") else ""
    )
    return (
        f"{hit}{level.share.mean:.1%} ± {level.share.standard_error:.1%} of outcomes, {level.low:.0%} to {level.high:.0%} by session; "
        f"pinball {level.gain:+.1%} against a constant (t {level.advantage.t:+.2f})"
    )


EVENT_QUANTILES = EventQuantiles()
