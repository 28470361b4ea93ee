"""Labels, evaluator and bars of the task `hedged_pnl`.

What is learned is the profit of a delta-hedged straddle at the money over k sessions, in vol points of its vega. The score ranks
underliers too, and that is what a blend trades: as such it is judged like any ranking of returns, by the returns of the
underliers. A vertical and a calendar have a model of their own each, on the same rows.

A forecast is traded where its size exceeds the half spreads that were last seen, on the side of its sign, one vega a name:

    net_t = mean over traded names of  sign(s) y - c        vol points; y the profit of the bought position, c the half spreads

k cohorts are held at a time; the size of a vega is such that a name's is at most its cap and that of all together at most theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from signals.errors import DataNotUsable, TooLittleHistory
from signals.indicators.recurrence import shifted
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.scoring.evidence import NAN
from signals.text.documents import to_json
from trainer.labels.horizon import EntryPrice, Labels, horizon_labels
from trainer.learners.export import export
from trainer.learners.parameters import LightGbmConfig, Objective
from trainer.options.positions import MOST_HORIZON, TEMPLATES, VegaCaps
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.reports.plots import running_sums
from trainer.reports.training import Lines
from trainer.runs.evidence import Evidence, EvidenceFields, at_least, at_most
from trainer.samples.samples import Samples
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure
from trainer.tasks.rank_return import RankReturn
from trainer.validation.calibration import brier_score, fit_platt
from trainer.validation.forecasts import session_mean
from trainer.validation.ic import Mean, overlapping_mean
from trainer.validation.probabilities import halves
from trainer.validation.significance.power import LEVEL, mean_seen
from trainer.validation.splits.oof import fit_all, walk_forward

STRADDLE = TEMPLATES[0]
PICTURE, PROFITS = "plots/hedged_profits.png", "Hedged profit net of half spreads, walking forward"
MOST_POINTS = 20.0  # of a label: a crash teaches no more than its sign and that it was large
LEAST_SESSIONS = 504  # of a history that is evidence
Z_95 = float(ndtri(1.0 - LEVEL))
NO_MEAN = Mean()


@dataclass(frozen=True)
class TemplateFigures:
    """One template, walking forward; profits in vol points a position.

    `bound` is the lower one-sided 95 % bound of `net`, `unknown` the positions without an outcome, which no figure holds; None in runs
    that did not count them. `said_brier` and `base_brier` are the Brier scores, in the later half of the
    sessions, of the earlier half's map and of its base rate; NaN where either half lacks one of the outcomes. `slope` and `intercept`
    are Platt's map from the size of a forecast to P(net profit > 0), over all positions.
    """

    net: Mean = NO_MEAN
    gross: Mean = NO_MEAN
    bound: float = NAN
    trades: int = 0
    unknown: int | None = None
    said_brier: float = NAN
    base_brier: float = NAN
    slope: float = NAN
    intercept: float = NAN


@dataclass(frozen=True)
class HedgedEvidence:
    """The task's own part of the evidence: each template's figures, and the largest share of a cap of vega that was used."""

    straddle: TemplateFigures | None = None
    vertical: TemplateFigures | None = None
    calendar: TemplateFigures | None = None
    vega_used: float = NAN


class HedgedLabel(LabelConfig):
    """The holding of a hedged position: k sessions, from the close of the session after the score.

    With fewer than `min_sessions` with outcomes nothing is trained: they would be no evidence. The `caps` choose a position's size.
    """

    kind: Literal["hedged_pnl"] = "hedged_pnl"
    k: int = Field(default=5, ge=1, le=MOST_HORIZON)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    min_sessions: int = Field(default=LEAST_SESSIONS, ge=2)
    caps: VegaCaps = VegaCaps()


class HedgedRecipe(RecipeConfig):
    """A recipe that learns hedged profits."""

    label: HedgedLabel = HedgedLabel()
    lightgbm: LightGbmConfig = LightGbmConfig(objective=Objective.REGRESSION, num_leaves=15, min_data_in_leaf=100, lambda_l2=10.0)

    @model_validator(mode="after")
    def _learns_points(self) -> Self:
        if self.lightgbm.objective is not Objective.REGRESSION:
            raise ValueError("hedged profits are learned in vol points: lightgbm.objective is regression")
        return self


def _own(known: Evidence) -> HedgedEvidence:
    return known.part("hedged", HedgedEvidence, HedgedEvidence())


class HedgedPnl(RankReturn):
    """The profit of a delta-hedged straddle over k sessions."""

    name = "hedged_pnl"
    kind = "hedged_pnl"
    config = HedgedRecipe
    bars = (
        on_figure(at_least, "hedged profit", 0.0, "lower 95 % bound out of sample", lambda own: getattr(_own(own).straddle, "bound", None)),
        on_figure(at_most, "vega", 1.0 + 1e-9, "largest share of a cap of vega that the book used", lambda known: _own(known).vega_used),
    )

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the underlier's return; the hedged profit is what is learned.

        A name whose hedged profit is not known is scored and judged, and not learned from: its chain may end because it does.

        Raises `DataNotUsable` where the bars come without outcomes of options, and `TooLittleHistory` where fewer sessions have them
        than are evidence; the message says what they could have shown.
        """
        own = cast(HedgedRecipe, config).label
        name = f"{STRADDLE}_{own.k}"
        if name not in bars.joined:
            raise DataNotUsable("there are no outcomes of options beside these bars", fix="Train the sleeve options_vol")
        gross = bars.joined[name]
        if (sessions := int(np.isfinite(gross).any(axis=1).sum())) < own.min_sessions:
            raise TooLittleHistory(refusal(session_mean(bars.joined[f"{STRADDLE}_1"]), own.min_sessions, counted=sessions))
        found = horizon_labels(bars, own.k, delistings=actions, entry=own.entry)
        ends = np.arange(len(gross))[:, None] + own.k + 1
        labelled = found.ends >= 0
        known = labelled & np.isfinite(gross)
        share = known.sum(axis=1, keepdims=True) / np.maximum(labelled.sum(axis=1, keepdims=True), 1)
        return replace(
            found,
            ends=np.where(known, np.maximum(found.ends, ends), found.ends),
            target=np.where(known, np.clip(gross, -MOST_POINTS, MOST_POINTS), 0.0),
            quality=np.divide(known, share, out=np.zeros(known.shape), where=share > 0.0),
        )

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge as a ranking of returns, and each template by its hedged net profit."""
        found, own = super().judge(case), cast(HedgedRecipe, case.config).label
        bars, rows = case.material.source.bars, case.proof.rows
        figures, files, series, warned = dict[str, TemplateFigures](), dict[str, bytes](), dict[str, Floats](), list[str]()
        for template in TEMPLATES:
            forward = case.proof.walk_forward
            try:
                if template != STRADDLE:
                    forward, files[f"{template}.onnx"] = _of_template(case, template, own.k)
            except TooLittleHistory as error:  # chains of one expiry have no calendars: what else there is can be learned
                warned.append(f"no {template} is learned: {error.what}")
                continue
            figures[template], series[template] = template_figures(rows, forward, bars, template, own.k)
        used = vega_used(positions_of(rows.dense(case.proof.walk_forward), bars, STRADDLE, own.k)[0], own.k, own.caps)
        for name, one in figures.items():
            if not one.trades:
                warned.append(f"no forecast of the {name} exceeds its half spreads: nothing is traded")
            elif not one.bound > 0.0:
                earned = f"{one.net.mean:+.2f} vol points net, bound {one.bound:+.2f}"
                warned.append(f"the hedged {name} earns {earned}: not distinguishable from nothing")
        fields: EvidenceFields = {**found.fields, "others": {"hedged": to_json({**figures, "vega_used": used})}}

        def report(known: Evidence) -> Mapping[str, bytes]:
            return {**found.report(known), PICTURE: running_sums(PROFITS, "sum, vol points", rows.sessions, series)}

        return replace(found, fields=fields, warnings=(*found.warnings, *warned), files={**found.files, **files}, report=report)

    def extra_lines(self, known: Evidence) -> Lines:
        """Lines about hedged profits."""
        own = _own(known)
        return tuple((f"Hedged {name}, net", _line(found)) for name in TEMPLATES if (found := getattr(own, name)))


def positions_of(forward: Floats, bars: Bars, template: str, k: int) -> tuple[Floats, Floats, Floats]:
    """Take the side of each forecast that exceeds the half spreads known at its session.

    Returns the sides taken, their profits and half spreads, vol points, float64 (T, N) as the bars; NaN where nothing was traded, and the
    profit where it has no outcome.
    """
    outcome, cost = bars.joined[f"{template}_{k}"], bars.joined[f"{template}_cost_{k}"]
    known = shifted(cost, k + 1)  # the half spreads of a position that has ended by the session's close
    with np.errstate(invalid="ignore"):
        side = np.where(np.abs(forward) > known, np.sign(forward), np.nan)
    return side, side * outcome, np.abs(side) * cost


def template_figures(rows: Samples, forward: Floats, bars: Bars, template: str, k: int) -> tuple[TemplateFigures, Floats]:
    """Figures of a template's forecasts, shape (n,), and the mean net profit of each session, (T,)."""
    side, gross, cost = positions_of(rows.dense(forward), bars, template, k)
    series = session_mean(gross - cost)
    mean = overlapping_mean(series, k)
    net = (gross - cost)[rows.t0, rows.column]
    chosen, size, came = np.isfinite(net), np.abs(forward), (net > 0.0).astype(np.float64)
    unknown = int((np.isfinite(side) & ~np.isfinite(gross)).sum())
    traded = (mean, overlapping_mean(session_mean(gross), k), mean.mean - Z_95 * mean.standard_error, int(chosen.sum()), unknown)
    early, late = (half & chosen for half in halves(rows.t0, rows.t1))
    if any(len(np.unique(came[half])) < 2 for half in (early, late)):
        return TemplateFigures(*traded), series
    said = fit_platt(size[early], came[early]).probability(size[late])
    base, whole = np.full(int(late.sum()), came[early].mean()), fit_platt(size[chosen], came[chosen])
    return TemplateFigures(*traded, brier_score(came[late], said), brier_score(came[late], base), whole.slope, whole.intercept), series


def vega_used(forward: Floats, k: int, caps: VegaCaps) -> float:
    """Largest share of a cap that the book of all cohorts uses, a vega of each name sized as a structure is.

    `forward` are the sides taken, float64 (T, N), NaN where none; a position is held for k sessions.
    """
    held = np.isfinite(forward)
    vega = held * caps.units(k, held.sum(axis=1))[:, None]
    book = np.array([vega[max(0, t - k + 1) : t + 1].sum(axis=0) for t in range(len(vega))])
    return float(max(book.max() / caps.name_usd, book.sum(axis=1).max() / caps.total_usd)) if book.size else 0.0


def refusal(profits: Floats, least: int = LEAST_SESSIONS, unit: str = "vol points", counted: int | None = None) -> str:
    """Say that so few sessions are no evidence, and how many a mean as large as that of `profits` would take.

    They are of each session, float64 (T,), NaN where there is none; `counted` are the sessions with the outcome that is asked for.
    """
    n = int(np.isfinite(profits).sum())
    said = f"{n if counted is None else counted} sessions of hedged profits are no evidence of a premium; {least} are asked for"
    return said + (f". {mean_seen(profits, unit)}" if n > 1 else "")


def _of_template(case: TrainingCase, template: str, k: int) -> tuple[Floats, bytes]:
    """Walk-forward forecasts of a template on the rows that have its outcome, (n,), and the model of all of them."""
    outcome = np.clip(case.material.source.bars.joined[f"{template}_{k}"], -MOST_POINTS, MOST_POINTS)

    def taught(rows: Any) -> Any:
        target = outcome[rows.t0, rows.column]
        return replace(rows, target=np.nan_to_num(target), weight=np.where(np.isfinite(target), rows.weight, 0.0))

    shape = {"groups": case.config.cpcv.groups, "workers": case.request.workers}
    forward = walk_forward(taught(case.proof.rows), case.learner, **shape, step=lambda name: None)
    rows = taught(case.material.rows)
    return forward, export(fit_all(rows, case.learner), rows.inputs()).onnx


def _line(found: TemplateFigures) -> str:
    profit = f"{found.net.mean:+.2f} vol points (bound {found.bound:+.2f}), {found.trades} positions"
    profit += f", {found.unknown} more without an outcome" * bool(found.unknown)
    brier = f"; Brier {found.said_brier:.4f} against {found.base_brier:.4f} of the base rate" if np.isfinite(found.said_brier) else ""
    return (profit if found.trades else "no position") + brier


HEDGED_PNL = HedgedPnl()
