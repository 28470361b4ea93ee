"""The definition of a task: labels, head, evaluator and promotion bars of what is learned.

A task is a module or a folder of `trainer/tasks`; the pipeline (`trainer/training/train.py`) is one for all of them. A task knows what its
label is, what is learned of it, and what a model's scores of it are worth; nothing else does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from signals.errors import FixInput, InvariantBroken
from signals.files import sha256_of
from signals.market.actions import Action
from signals.market.bars import Bars, Days, Floats
from signals.models.heads import Head, ScoreHead
from trainer.labels.horizon import MIN_NAMES, Labels
from trainer.learners.base import FitDevice, Learner, Model
from trainer.learners.export import Exported
from trainer.recipes.base import Recipe, RecipeConfig, learner_of, scores_log_odds
from trainer.runs.evidence import BarResult, ClusterLoss, FeatureLoss, ImportanceFigures
from trainer.runs.trials import EvidenceTrials
from trainer.samples.samples import Material, Samples
from trainer.search.arena import SearchMetric
from trainer.search.run import Tried, tried
from trainer.search.trial_log import OneTrial, Series, end
from trainer.validation.importance import importance
from trainer.validation.probabilities import CalibrationDocument, calibrate
from trainer.validation.proof import Proof
from trainer.validation.splits.oof import Step, scored

if TYPE_CHECKING:
    from trainer.promotion.bars.config import Judge
    from trainer.runs.evidence import Evidence, EvidenceFields
    from trainer.training.train import TrainingRequest

    Figure = Callable[[Evidence], float | None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The model that is published, its exact export, and the model that never saw the holdout."""

    model: Model
    exported: Exported
    before_holdout: Model


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """Everything that a task judges: what was asked, the rows, the scores of rows unseen, and the fitted models.

    `shared` are a search's returns of the recipe in shared bins; None without a search.
    """

    recipe: Recipe
    config: RecipeConfig
    request: TrainingRequest
    material: Material
    learner: Learner
    proof: Proof
    fitted: Fitted
    question: OneTrial
    step: Step
    shared: Floats | None = None

    def recorded(self, series: Series) -> Tried:
        """Put the series by which the training is judged on record, before it is, and return all that was tried."""
        end(self.request.data, self.question, series)
        return tried(self.request.data, self.question, self.material.rows, series, study=self.config.study, shared=self.shared)


@dataclass(frozen=True, eq=False)
class TaskFindings:
    """Findings of a task on a training.

    Attributes
    ----------
    fields : EvidenceFields
        Beyond those of every training.
    warnings : tuple of str
        What a reader must not overlook.
    report : callable
        Evidence to the files of the report: relative path -> content.
    unseen : float64, shape (n,)
        Scores of the open rows by models that had not seen them, by which drift is measured; NaN where there is none.
    files : mapping of relative path to content
        Further files of the run.
    """

    fields: EvidenceFields
    warnings: tuple[str, ...]
    report: Callable[[Evidence], Mapping[str, bytes]]
    unseen: Floats
    files: Mapping[str, bytes] = field(default_factory=dict)


class Task(ABC):
    """Labels, head and evaluation of a training.

    Attributes
    ----------
    name : str
        Of its module, or of the plug-in's entry point.
    kind : str
        Of the label, which chooses the task in a recipe.
    config : type of RecipeConfig
        With the task's own label section and defaults.
    head : Head
        What the outputs of a model mean, unless the recipe says otherwise (`head_of`).
    needs : tuple of str
        Features that the sleeve must have.
    min_names : int
        Labelled names without which a session gives no rows.
    leaves_doubted_out : bool
        Whether labels over returns that nobody settled are judged and never learned from.
    is_traded : bool
        Whether scores rank names for a book, which then judges a search; only then are there a comparison, and the bars on books.
    is_explained : bool
        Whether `judge` says what each feature is worth where that is asked for (`importance_of`).
    has_metrics : bool
        Whether a run says in `metrics.json`, and its evidence, what a reader of its outputs must know (`artefacts.metrics`).
    bars : tuple of Judge
        The bars of a promotion that are the task's own, beside those on a book or in their place.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    config: ClassVar[type[RecipeConfig]] = RecipeConfig
    head: ClassVar[Head] = ScoreHead()
    needs: ClassVar[tuple[str, ...]] = ()
    min_names: ClassVar[int] = MIN_NAMES
    leaves_doubted_out: ClassVar[bool] = True
    is_traded: ClassVar[bool] = True
    is_explained: ClassVar[bool] = False
    has_metrics: ClassVar[bool] = False
    bars: ClassVar[tuple[Judge, ...]] = ()

    @abstractmethod
    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label every session and name."""

    @abstractmethod
    def judge(self, case: TrainingCase) -> TaskFindings:
        """Say what the scores are worth; the training's series is put on record before (`TrainingCase.recorded`)."""

    @abstractmethod
    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report, which the command prints too."""

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return what is fitted; a folder of checkpoints is where an interrupted fit goes on from."""
        return learner_of(config, seed, device, head=self.head_of(config), checkpoints=checkpoints)

    def head_of(self, config: RecipeConfig) -> Head:
        """Return what the outputs of a model of this recipe mean."""
        return self.head

    def steps(self, config: RecipeConfig) -> int:
        """How often `judge` calls `step`."""
        return 0

    def joined(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
        """Return the figures, float64 (T, N), that a recipe asks for and optional features of the sleeve read."""
        return {}

    def settled(self, bars: Bars, config: RecipeConfig) -> tuple[RecipeConfig, Mapping[str, object]]:
        """Return the recipe with what its training part settles before labels are made, and what is to be said of that."""
        return config, {}

    def shares(self, bars: Bars, config: RecipeConfig) -> Mapping[str, float]:
        """Return the shares of the labels' classes, for the report of a stage."""
        return {}

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the metric by which a search judges scores of `rows`; of tasks without a book."""
        raise FixInput(f"the task {self.name} names no metric to search by", where="--trials", fix="Train without a search")

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return what the sealed sessions show of scores, shape (n,), NaN where a row is not sealed; of tasks without a book."""
        raise InvariantBroken(f"the task {self.name} is judged by its book")


def on_figure(judged: Callable[[str, float | None, float, str], BarResult], name: str, limit: float, why: str, of: Figure) -> Judge:
    """Return the bar of a promotion on one figure of the evidence; `judged` is `at_least` or `at_most`."""
    return lambda case, bars: judged(name, of(case.evidence), limit, why)


def plain_report(known: Evidence, *, task: Task) -> dict[str, bytes]:
    """Return the files of a report of the task's lines and the warnings alone."""
    from trainer.reports import page

    shown = page.Page(f"Training of {known.sleeve}", tuple(task.rows(known)), known.warnings, {})
    return page.files(shown, {})


def series_report(known: Evidence, *, task: Task, caption: str, sessions: Days, series: Floats, forward: Floats) -> dict[str, bytes]:
    """Return the files of a report of the task's lines, the warnings, and two series by session, float64 (T,), summed up."""
    from trainer.reports import page, plots

    shown = page.Page(f"Training of {known.sleeve}", tuple(task.rows(known)), known.warnings, {"cumulative_ic.png": caption})
    return page.files(shown, {"cumulative_ic.png": plots.cumulative_ic(sessions, series, forward)})


def without_ratios(found: Tried) -> EvidenceTrials:
    """Return the trials of a task without a book: how many there were, and the test of the best of them; no Sharpe ratios."""
    kept = ("n_trials", "states", "blind", "retrained", "max_t", "study", "trial", "lineage", "chain")
    return replace(EvidenceTrials(), **{name: getattr(found.document, name) for name in kept})


def importance_of(case: TrainingCase) -> ImportanceFigures | None:
    """Return what each feature is worth out of fold, as evidence carries it, where the training was asked for it."""
    if not case.request.importance:
        return None
    rows, cpcv = case.proof.rows, case.config.cpcv
    shape = {"groups": cpcv.groups, "embargo": cpcv.embargo_sessions, "k": case.config.label.k, "seed": case.request.seed}
    found = importance(rows, case.learner, **shape, step=case.step)
    return ImportanceFigures(
        ic=found.ic,
        by_feature=tuple(FeatureLoss(**vars(loss.loss), feature=loss.features[0]) for loss in found.by_feature),
        by_cluster=tuple(ClusterLoss(**vars(loss.loss), features=loss.features) for loss in found.by_cluster),
        shap=None if found.shap is None else dict(zip(rows.names, found.shap.tolist(), strict=True)),
    )


def calibration_of(case: TrainingCase, event: str) -> CalibrationDocument | None:
    """Fit the maps on one path's scores, each of one model as the published one is: the paths' mean has a smaller scale."""
    rows, fitted = case.proof.rows, case.fitted
    found = calibrate(
        rows,
        case.proof.oof.scores[0],
        scored(fitted.model, rows.inputs()),
        k=case.config.label.k,
        model_sha256=(sha256_of(fitted.exported.onnx),),
        is_log_odds=scores_log_odds(case.config),
    )
    return None if found is None else found.document(event)
