"""The task `event_quantiles`: quantiles of what follows an event, walking forward, and their figures.

The score is the median of the return over k bars, in ATR, seen from the event's side. Published with it are heads of kind
`quantiles`: bands of returns, the distance of a stop and that of a target, each an exact export.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
from pydantic import Field

from signals.events.recorded import ANALOGS, STOP, TARGET, OutcomeRules
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import Head, QuantilesHead, ScoreHead
from signals.models.inference import SCORE
from signals.text.documents import to_json
from trainer.labels.horizon import Labels
from trainer.learners.base import FitDevice, Learner
from trainer.learners.export import export
from trainer.learners.joined_graphs import ordered_graph
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig, Objective
from trainer.recipes.base import RecipeConfig
from trainer.runs import artefacts
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, at_least, at_most
from trainer.samples.samples import Material, Samples, before_seal, rows_of, seal_holdout
from trainer.search.arena import SearchMetric
from trainer.search.trial_log import Series
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure, plain_report, without_ratios
from trainer.tasks.events import AnalogTrade, EventTask, event_labels, played, rows_in, thirds
from trainer.validation.clustered import NONE, interval, low, per_event
from trainer.validation.forecasts import advantage, coverage, mean_loss, pinball, session_mean
from trainer.validation.ic import Mean, persistent_mean, rank_ic
from trainer.validation.splits.oof import Step, fit_all, folds, walk_forward

FAR = 1000.0  # ATR: barriers that no trade meets, which leave the return over the patience
BAND, STOP_LEVEL, TARGET_LEVEL, MEDIAN = (0.1, 0.9), 0.7, 0.6, 0.5
TARGET_BARS, FIXED_TARGET, TARGETS = 30, 2.0, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # R
FEWEST = 5  # events of a session whose share is shown
RETURN, ADVERSE, FAVOURABLE = "return", "mae_atr", "mfe_r"


@dataclass(frozen=True)
class OutcomeQuantiles:
    """An outcome over some bars, and the levels that are forecast of it.

    `is_asked` says whether its coverage decides; that of outcomes over many bars is printed, because storms last and a quantile of
    all sessions is none of a storm's.
    """

    name: str
    of: str
    bars: int
    levels: tuple[float, ...]
    is_asked: bool = True

    def labels(self, bars: Bars, actions: Iterable[Action], stop_atr: float) -> Labels:
        """Label each event by the outcome; a row that needs the whole patience is known when that is over."""
        table, (made,) = played(bars, actions, OutcomeRules(FAR if self.of == RETURN else stop_atr, 1.0, self.bars))
        if self.of == RETURN:
            return event_labels(bars, table, made.realised_r * FAR, made.t1)
        return event_labels(bars, table, made.mae_atr if self.of == ADVERSE else made.mfe_r, made.seen_to)


def forecasts_of(k: int) -> tuple[OutcomeQuantiles, ...]:
    """Bands of the return over 1 and k bars in ATR, the stop that 70 % of events do not reach, the target that 40 % exceed in R."""
    returns = (OutcomeQuantiles(f"return_{bars}", RETURN, bars, BAND) for bars in dict.fromkeys((1, k)))
    return (
        *returns,
        OutcomeQuantiles(STOP, ADVERSE, 4, (STOP_LEVEL,)),
        OutcomeQuantiles("stop_24", ADVERSE, 24, (STOP_LEVEL,), is_asked=False),
        OutcomeQuantiles(TARGET, FAVOURABLE, TARGET_BARS, (TARGET_LEVEL,), is_asked=False),
    )


@dataclass(frozen=True)
class LevelFigures:
    """One level of an outcome, walking forward.

    Attributes
    ----------
    share : Mean
        Of outcomes at or below the forecast: the level, where it means what it says.
    low, high : float
        Tenth and ninetieth percentile of that share over sessions of five events and more: a quantile is no conditional one.
    gain : float
        Pinball loss saved against the constant one of all earlier events, as a share of the constant's.
    advantage : Mean
        The same in units of the outcome, by session.
    """

    name: str
    is_asked: bool
    level: float
    share: Mean
    low: float
    high: float
    gain: float
    advantage: Mean

    @property
    def miss(self) -> float:
        """Distance of the share from the level."""
        return abs(self.share.mean - self.level)


@dataclass(frozen=True)
class TargetFigures:
    """A forecast of the target, walking forward.

    Attributes
    ----------
    smape : float
        Mean of 2 |forecast - came| / (|forecast| + |came|): 0 is perfect, 2 the worst.
    uplift : Mean
        R an event of a trade to the forecast target, the nearest of `TARGETS`, above that of one to 2 R, in pairs.
    analogs : Mean
        Pinball loss that `sim_conf` and `hist_rr_pct` save, by session, against the same forecast without them.
    """

    smape: float = np.nan
    uplift: Mean = NONE
    analogs: Mean = NONE


def target_figures(rows: Samples, forecast: Floats, played_r: Floats, without: Floats | None = None) -> TargetFigures:
    """Judge forecasts of the target, float64 (n,), by the R of the trades to each of `TARGETS`, float64 (targets, n).

    `without` is the forecast without the analogs.
    """
    came, seen = rows.label, np.isfinite(forecast) & np.isfinite(played_r).all(axis=0)
    size = np.abs(forecast) + np.abs(came)
    missed = np.divide(2.0 * np.abs(forecast - came), size, out=np.zeros(len(came)), where=size > 0.0)
    nearest = np.abs(np.array(TARGETS)[:, None] - forecast[None, seen]).argmin(axis=0)
    chosen = np.take_along_axis(played_r[:, seen], nearest[None], axis=0)[0]
    saved = NONE
    if without is not None:
        losses = [rows.by_day(pinball(came, said, TARGET_LEVEL)) for said in (forecast, without)]
        saved = advantage(losses[0], losses[1], TARGET_BARS)
    uplift = per_event(chosen - played_r[TARGETS.index(FIXED_TARGET), seen], rows.day[seen], rows.end_day[seen])
    return TargetFigures(float(missed[np.isfinite(forecast)].mean()), uplift, saved)


def trades_to(rows: Samples, bars: Bars, stop_atr: float, actions: Iterable[Action]) -> Floats:
    """R of each row's trade to each of `TARGETS`, float64 (targets, n), NaN while one is not over."""
    table, made = played(bars, actions, *(OutcomeRules(stop_atr, target, TARGET_BARS) for target in TARGETS))
    mine = rows_in(table, bars, rows.t0, rows.column)
    return np.array([one.realised_r[mine] for one in made])


def of_quantile(config: LightGbmConfig, level: float, seed: int) -> LightGbm:
    """Return the learner of a quantile."""
    return LightGbm(config.model_copy(update={"objective": Objective.QUANTILE, "quantile": level}), seed)


def constant(rows: Samples, groups: int, level: float) -> Floats:
    """Quantile of the events known before each row's group, shape (n,), sessions weighing alike; NaN of the first group."""
    found = np.full(len(rows), np.nan)
    for train, test in folds(rows.t0, rows.t1, groups):
        found[test] = weighted_quantile(rows, train, level)
    return found


def weighted_quantile(rows: Samples, chosen: np.ndarray, level: float) -> float:
    """Quantile of the labels of some rows by their weights."""
    return float(np.quantile(rows.label[chosen], level, weights=rows.weight[chosen], method="inverted_cdf"))


def walked(asked: OutcomeQuantiles, rows: Samples, *, config: LightGbmConfig, groups: int, seed: int, workers: int, step: Step) -> Floats:
    """Forecast the open rows walking forward: float64 (levels, n), NaN in the first group; ascending, for trees fitted apart may cross."""
    learners = [of_quantile(config, level, seed) for level in asked.levels]
    return np.sort([walk_forward(rows, learner, groups=groups, workers=workers, step=step) for learner in learners], axis=0)


def judged(asked: OutcomeQuantiles, rows: Samples, found: Floats, groups: int) -> list[LevelFigures]:
    """Judge forecasts, float64 (levels, n), against the constant."""
    outcome = rows.by_day(rows.label)
    return [
        level_figures(outcome, rows.by_day(forecast), rows.by_day(constant(rows, groups, level)), level, asked)
        for level, forecast in zip(asked.levels, found, strict=True)
    ]


def level_figures(outcome: Floats, forecast: Floats, against: Floats, level: float, asked: OutcomeQuantiles) -> LevelFigures:
    """Figures of one level; all (T, N), NaN where there is no forecast."""
    known = np.isfinite(forecast) & np.isfinite(outcome)
    below = np.where(known, (outcome <= forecast).astype(np.float64), np.nan)
    shares = session_mean(below)[known.sum(axis=1) >= FEWEST]
    ours, theirs = pinball(outcome, forecast, level), pinball(outcome, against, level)
    least, most = np.quantile(shares, (0.1, 0.9)) if shares.size else (np.nan, np.nan)
    better, share = advantage(ours, theirs, asked.bars), coverage(outcome, np.where(known, -np.inf, np.nan), forecast, asked.bars)
    gain = better.mean / mean_loss(theirs, asked.bars).mean
    return LevelFigures(asked.name, asked.is_asked, level, share, float(least), float(most), gain, better)


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
    lambda known: max((one.miss for one in figures_of(known) if one.is_asked), default=None),
)
pinball_bar = on_figure(
    at_least,
    "pinball",
    0.0,
    "lower bound of the least pinball loss saved against a constant",
    lambda known: min((low(one.advantage) for one in figures_of(known) if one.is_asked), default=None),
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
        figures, heads = list[LevelFigures](), dict[str, tuple[Head, bytes]]()
        heads[SCORE] = ScoreHead(), case.fitted.exported.onnx
        target, groups = TargetFigures(), config.cpcv.groups
        walking = partial(walked, config=config.lightgbm, groups=groups, seed=request.seed, workers=request.workers, step=case.step)
        for asked in forecasts_of(config.label.k):
            labels = asked.labels(source.bars, source.actions, config.label.stop_atr)
            rows = rows_of(labels, self, config, source, case.material.panel)
            opened = before_seal(rows, case.proof.seal, config.cpcv.embargo_sessions)  # a seal of its own labels would begin later
            found = walking(asked, opened)
            figures += judged(asked, opened, found, groups)
            if asked.of == FAVOURABLE:
                without, plain = None, [name for name in opened.names if name not in ANALOGS]
                if config.label.analogs:
                    without = walking(asked, replace(opened, panel=opened.panel.only(plain)))[0]
                target = target_figures(opened, found[0], trades_to(opened, source.bars, config.label.stop_atr, source.actions), without)
            heads[asked.name] = QuantilesHead(asked.levels), _graph(asked, rows, config, request.seed)
        proof, lag = case.proof, 2 * (config.label.k - 1)
        tried = case.recorded(self.metric(case.material, config, proof.rows).series(proof.walk_forward))
        ic = persistent_mean(rank_ic(proof.rows.by_day(proof.walk_forward), proof.rows.by_day(proof.rows.label)), lag)
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, lag=lag, sessions=ic.sessions),
            "trials": without_ratios(tried),
            "others": {"quantiles": to_json(figures), "target": to_json(target), "thirds": thirds(proof.rows), **config.label.net()},
        }
        files = artefacts.models(case.material.rows, heads)
        return TaskFindings(fields, tuple(warnings(figures)), partial(plain_report, task=self), proof.oof.scores[0], files)

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the pinball loss of the median that is saved."""
        known = constant(rows, config.cpcv.groups, MEDIAN)
        return SearchMetric("pinball loss of the median saved against a constant, ATR", partial(_saved, rows, against=known))

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the pinball loss that the sealed sessions' medians save against the median of the open ones."""
        rows, cpcv = material.rows, config.cpcv
        opened, _ = seal_holdout(rows, cpcv.holdout_sessions, cpcv.embargo_sessions)
        return _saved(rows, scores, np.full(len(rows), weighted_quantile(opened, np.arange(len(opened)), MEDIAN)))

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the quantiles."""
        lines = [(_what(one), _line(one)) for one in figures_of(known)]
        target = known.part("target", TargetFigures)
        lines.append(("Forecast target: R above a fixed 2 R, in pairs", f"{interval(target.uplift)}; SMAPE {target.smape:.2f}"))
        if target.analogs.sessions:
            lines.append(("Forecast target: pinball that sim_conf and hist_rr_pct save", f"{interval(target.analogs)} R"))
        return lines


def figures_of(known: Evidence) -> tuple[LevelFigures, ...]:
    """Return the task's own part of the evidence."""
    return known.part("quantiles", tuple[LevelFigures, ...], ())


def warnings(figures: list[LevelFigures]) -> list[str]:
    """Say which level is missed, and which is no better than a constant."""
    told = []
    for one in figures:
        if one.is_asked and not one.miss <= MOST_MISS:
            told.append(f"{_what(one)} holds {one.share.mean:.1%} of outcomes, not {one.level:.0%}")
        if not low(one.advantage) > 0.0:
            told.append(f"{_what(one)} is not better than a constant: pinball {one.gain:+.1%}, t {one.advantage.t:.2f}")
    return told


def _graph(asked: OutcomeQuantiles, rows: Samples, config: QuantilesRecipe, seed: int) -> bytes:
    """Export a model of each level, fitted on all rows, as one graph whose outputs ascend."""
    graphs = [export(fit_all(rows, of_quantile(config.lightgbm, level, seed)), rows.inputs()).onnx for level in asked.levels]
    return graphs[0] if len(graphs) == 1 else ordered_graph(graphs[0], graphs[1])


def _saved(rows: Samples, scores: Floats, against: Floats) -> Series:
    """Pinball loss of the median that is saved, by session."""
    gain = session_mean(rows.by_day(pinball(rows.label, against, MEDIAN) - pinball(rows.label, scores, MEDIAN)))
    return Series.known(rows.days, gain)


def _what(one: LevelFigures) -> str:
    kind, bars = one.name.rsplit("_", 1)
    unit = "R" if kind == "target" else "ATR"
    return f"{100 * one.level:g} % quantile of the {kind} over {bars} bar{'s' * (bars != '1')}, {unit}"


def _line(one: LevelFigures) -> str:
    hit = f"the stop is hit in {1.0 - one.share.mean:.1%} of trades, said {1.0 - one.level:.0%}; " if one.name.startswith("stop") else ""
    return (
        f"{hit}{one.share.mean:.1%} ± {one.share.standard_error:.1%} of outcomes, {one.low:.0%} to {one.high:.0%} by session; "
        f"pinball {one.gain:+.1%} against a constant (t {one.advantage.t:+.2f})"
    )


EVENT_QUANTILES = EventQuantiles()
