"""Labels, evaluator and forecasts of the task `volatility`.

The model that ranks forecasts the volatility over k sessions; the other horizons, the bands and the drawdown quantile are
published with it, each an exact export and a head of its own of the bundle.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import Head, QuantilesHead, ScoreHead
from signals.models.inference import SCORE
from signals.text.documents import to_json
from trainer.labels.horizon import Labels
from trainer.labels.risk import volatility_labels
from trainer.learners.base import FitDevice, Learner
from trainer.learners.export import export
from trainer.learners.lgbm import LightGbm
from trainer.recipes.base import RecipeConfig
from trainer.runs import artefacts
from trainer.runs.evidence import BarResult, Evidence, EvidenceFields, OutOfFoldIc, at_least, at_most
from trainer.samples.samples import Material, Samples
from trainer.search.arena import SearchMetric
from trainer.search.trial_log import Series
from trainer.tasks.base import Task, TaskFindings, TrainingCase, without_ratios
from trainer.tasks.volatility.config import VolatilityRecipe
from trainer.tasks.volatility.proof import (
    BASELINE,
    HAR,
    NO_MEAN,
    DrawdownEvidence,
    DrawdownFigures,
    DrawdownProof,
    Forecasting,
    HorizonEvidence,
    VolatilityFigures,
    VolatilityProof,
    drawdown_figures,
    ewma_volatility,
    gains,
    own_learner,
    prove_drawdown,
    prove_volatility,
    steps,
    volatility_figures,
)
from trainer.tasks.volatility.report import report_files, rows_of
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import fit_all

if TYPE_CHECKING:
    from trainer.promotion.bars.config import Case, PromotionConfig


def against_har(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than HAR does; HAR itself need not."""
    if _own(case).own == HAR:
        return BarResult("QLIKE against HAR", None, bars.volatility.min_qlike_t, True, "does not apply: it is HAR")
    return _against("QLIKE against HAR", HAR, case, bars)


def against_ewma(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether it forecasts better than RiskMetrics' volatility, which needs no learning."""
    return _against("QLIKE against EWMA", BASELINE, case, bars)


def band(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the band holds the share of outcomes that it says."""
    return _coverage("band", _own(case).coverage.mean, case.evidence.part("interval", float, math.nan), bars)


def drawdown(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the drawdown quantile is exceeded as often as it says."""
    found = case.evidence.part("drawdown", DrawdownEvidence, DrawdownEvidence())
    return _coverage("drawdown quantile", found.coverage.mean, found.level, bars)


def size(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the variance that came is as large as the one forecast, over everything: a book is scaled by it."""
    ratio = _own(case).bias
    worst = max(ratio, 1.0 / ratio) if ratio else None
    return at_most("variance", worst, bars.volatility.max_variance_ratio, "realised over forecast variance, or its inverse")


BARS = (against_har, against_ewma, band, drawdown, size)


def _own(case: Case) -> HorizonEvidence:
    """Figures of the horizon that devices use; NaN where the evidence has none."""
    rows = case.evidence.part("volatility", tuple[HorizonEvidence, ...], ())
    return next((row for row in rows if row.horizon == case.evidence.horizon), HorizonEvidence())


def _against(bar: str, forecaster: str, case: Case, bars: PromotionConfig) -> BarResult:
    gain = _own(case).advantage.get(forecaster, NO_MEAN)
    return at_least(bar, gain.t, bars.volatility.min_qlike_t, f"t of the QLIKE saved against {forecaster}, walking forward")


def _coverage(bar: str, share: float, wanted: float, bars: PromotionConfig) -> BarResult:
    return at_most(bar, abs(share - wanted), bars.volatility.max_band_miss, f"share of outcomes by which it misses {wanted:.0%}")


SURE_T = 2.0
MATERIAL_MISS = 0.05  # of outcomes: a 90 % band that holds 85 % is another band


class Volatility(Task):
    """The log of each name's annualised volatility over k sessions, its bands, and the quantile of its drawdown."""

    name = "volatility"
    kind = "volatility"
    config = VolatilityRecipe
    needs = ("log_volatility_22", "log_volatility_252")
    leaves_doubted_out = False  # returns are limited to +-50 % in label and features alike
    is_traded = False
    bars = BARS

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the log volatility over k sessions."""
        return volatility_labels(bars, config.label.k)

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return the recipe's learner, restated to the expected variance: HAR where it is ridge."""
        return own_learner(cast(VolatilityRecipe, config), seed, device, checkpoints)

    def steps(self, config: RecipeConfig) -> int:
        """How often the proofs of further forecasts, and their final fits, call `step`."""
        own = cast(VolatilityRecipe, config)
        return steps(own) + 3 * len(own.label.horizons)

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        return rows_of(known)

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge by QLIKE against what needs no learning, coverage of bands and of the drawdown quantile."""
        config, source, request = cast(VolatilityRecipe, case.config), case.material.source, case.request
        label, rows = config.label, case.material.rows
        bars, panel, fitting = source.bars, case.material.panel, (request.seed, request.workers, case.step, case.learner.device)
        given = Forecasting(bars, panel, config, source.first_row, *fitting, seal=case.proof.seal)
        proofs = {k: prove_volatility(given, k, (rows, case.proof) if k == label.k else None) for k in label.horizons}
        falls = prove_drawdown(given)
        own = proofs[label.k]
        tried = case.recorded(gains(own.realised, own.forecasts[own.own], own.forecasts[BASELINE], source.bars.sessions))
        figures = tuple(volatility_figures(proof) for proof in proofs.values())
        drawdown = drawdown_figures(falls, label.drawdown_sessions, label.drawdown_level)
        ic = next(one.ic for one in figures if one.horizon == label.k)
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, sessions=ic.sessions),
            "trials": without_ratios(tried),
            "others": {
                "volatility": to_json(figures),
                "drawdown": {"sessions": label.drawdown_sessions, "level": label.drawdown_level, **to_json(drawdown)},
                "interval": label.interval,
            },
        }
        return TaskFindings(
            fields,
            tuple(warnings(config, figures, drawdown, str(source.manifest.universe_state))),
            partial(report_files, sessions=source.bars.sessions, own=own, drawdown=falls),
            case.proof.walk_forward,
            _forecasts(case, given, proofs, falls),
        )

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the QLIKE that forecasts save against RiskMetrics' volatility."""
        realised, bars = rows.dense(np.exp(rows.label)), material.source.bars
        known = ewma_volatility(bars.total_return)
        return SearchMetric("QLIKE saved against EWMA", lambda scores: gains(realised, rows.dense(np.exp(scores)), known, bars.sessions))

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return what the sealed sessions show by the metric of a search."""
        return self.metric(material, config, material.rows).series(scores)


def warnings(
    config: VolatilityRecipe, volatility: tuple[VolatilityFigures, ...], drawdown: DrawdownFigures, survivorship: str
) -> list[str]:
    """Say where a forecast is not better than no forecast, and where a band is not what it says."""
    found = []
    for figures in volatility:
        for name, gain in figures.advantage.items():
            if not gain.t >= SURE_T:
                found.append(
                    f"over {figures.horizon} sessions the forecast's QLIKE is not better than {name}'s: "
                    f"advantage {gain.mean:+.4f}, t {gain.t:.2f}"
                )
        found += _missed(f"the {figures.horizon}-session band", figures.coverage, config.label.interval)
    found += _missed("the drawdown quantile", drawdown.coverage, config.label.drawdown_level)
    if not drawdown.advantage.t >= SURE_T:
        found.append(f"the drawdown quantile is not better than a constant: t {drawdown.advantage.t:.2f}")
    if survivorship != "point-in-time":
        found.append(f"universe: {survivorship}; names that died may be missing, and they fell furthest")
    return found


def _missed(what: str, share: Mean, wanted: float) -> list[str]:
    if abs(share.mean - wanted) <= MATERIAL_MISS:
        return []
    return [f"{what} holds {share.mean:.1%} of outcomes, not {wanted:.0%}"]


def _forecasts(case: TrainingCase, given: Forecasting, proofs: dict[int, VolatilityProof], falls: DrawdownProof) -> dict[str, bytes]:
    """Fit every forecast but the published one on all rows; return their exports, each a head of its own of the bundle."""
    config, label, rows = given.config, given.config.label, case.material.rows
    asked: dict[str, tuple[Samples, Learner, Head]] = {}
    for k, proof in proofs.items():
        if k != label.k:
            asked[f"volatility_{k}"] = proof.rows, case.learner, ScoreHead()
        for edge, level in zip(("low", "high"), label.band, strict=True):
            asked[f"volatility_{k}_{edge}"] = proof.rows, LightGbm(config.quantile(level), given.seed), QuantilesHead((level,))
    level = label.drawdown_level
    asked[f"drawdown_{label.drawdown_sessions}"] = falls.rows, LightGbm(config.quantile(level), given.seed), QuantilesHead((level,))
    heads: dict[str, tuple[Head, bytes]] = {SCORE: (ScoreHead(), case.fitted.exported.onnx)}
    for name, (own, learner, head) in asked.items():
        heads[name] = head, export(fit_all(own, learner), own.inputs()).onnx
        case.step(f"model {name}")
    return artefacts.models(rows, heads)


VOLATILITY = Volatility()
