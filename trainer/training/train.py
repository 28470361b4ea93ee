"""The training pipeline: read, build rows, validate, fit, export, write.

Two models are fitted on top of the cross-validation's. The one that is published learns from every row whose label had
ended: a device must not trade on a model that is a year old, and nothing chooses between models by the rows of the
sealed holdout. The other (`model_before_holdout.txt`) stops at the seal; it is what a promotion opens the seal for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from signals.features.panel import FeaturePanel
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.market.dataset import load_bars, read_manifest
from signals.market.holding import Opens
from signals.monitoring.drift import reference
from trainer.backtest.policy_book import policy_book
from trainer.leaks import battery
from trainer.leaks.checks import Fitting, LeakSubject
from trainer.learners.base import FitDevice, Learner, Model
from trainer.learners.export import Exported, export
from trainer.recipes.base import Recipe, RecipeConfig, learner_of, scores_log_odds
from trainer.reports.training import ReportSubject as Reported
from trainer.reports.training import report_files
from trainer.runs import artefacts, looks
from trainer.runs.documents import canonical_json
from trainer.runs.evidence import Evidence, LeakFindings, LearnerUsed, Retraining
from trainer.runs.run_folder import refuse_existing, write_run
from trainer.runs.settings import TrainedRange, TrainingSettings
from trainer.samples.prepare import Material, Range, prepare
from trainer.samples.samples import Samples, seal_holdout
from trainer.samples.source import TrainingBars
from trainer.search import store
from trainer.search.question import TRAIN, Series, asked, begin, data_of, end
from trainer.search.run import steps as search_steps
from trainer.search.tried import SearchRequest, TrialRun, searched, tried
from trainer.training.evidence import Proven, evidence
from trainer.training.expectation import expectation
from trainer.training.regime_figures import by_regime
from trainer.validation.book import BookReturns, book_returns, next_opens
from trainer.validation.deciles import trading_conditions
from trainer.validation.importance import Importance, importance
from trainer.validation.likeness import null_of
from trainer.validation.probabilities import calibrate
from trainer.validation.proof import Proof, ProofFigures, figures, fits, prove
from trainer.validation.splits.oof import Step, fit_all, scored

FINAL_FITS = 2


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on.

    Attributes
    ----------
    data, run : Path
        A curated dataset; the run folder to write, which must not exist.
    start, end : date or None
        First features' session and last session that a label may end at; None is the dataset's own.
    symbols : tuple of str
        Empty for all.
    seed, workers : int
        The result depends on the seed; never on how many models are fitted at a time.
    code_version : str
    device : FitDevice
        Where to fit, as far as the learner has the choice.
    search : SearchRequest or None
        A search that chooses the learner's parameters first.
    bars_hash : str
        Of the promotion bars that hold, which the evidence names.
    compare : callable or None
        For a retraining: given the panel and the exported model, returns what the evidence says of its lineage.
    second : Path or None
        Dataset of another vendor's bars of the same names, which the leak battery compares.
    importance : bool
        Whether to permute features out of fold, which takes a model per group and a scoring per feature.
    lineage : str
        Key of the trial whose recipe is trained again on later data (`trials.trial` of its evidence); such a training
        is recorded and counts as no further trial.
    """

    data: Path
    run: Path
    start: date | None
    end: date | None
    symbols: tuple[str, ...]
    seed: int
    workers: int
    code_version: str
    device: FitDevice = FitDevice.AUTO
    search: SearchRequest | None = None
    bars_hash: str = ""
    importance: bool = False
    compare: Callable[[FeaturePanel, bytes], Retraining] | None = None
    second: Path | None = None
    lineage: str = ""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The model that is published, its exact export, and the model that never saw the holdout."""

    model: Model
    exported: Exported
    before_holdout: Model


def steps(config: RecipeConfig, *, trials: int = 0, is_explained: bool = False) -> int:
    """How often `train` calls `step` at most."""
    searching = search_steps(config, trials) if trials else 0
    return fits(config.cpcv) + FINAL_FITS + battery.FITS + searching + (config.cpcv.groups if is_explained else 0)


def train(recipe: Recipe, config: RecipeConfig, request: TrainingRequest, step: Step) -> Evidence:
    """Train `recipe`, write the run folder and return its evidence.

    The trial is on the dataset's record before anything of it is known, with its returns before they are judged.

    Parameters
    ----------
    recipe : Recipe
    config : RecipeConfig
        The recipe's own, or a person's.
    request : TrainingRequest
    step : callable
        Told the name of each model when it is fitted.

    Raises
    ------
    FixInput, DataNotUsable
        The run folder exists, the range is no range of the dataset, too short, or holds a RED session.
    InvariantBroken
        A leak certificate is not 0, or the export is not exact. Nothing was written.
    """
    refuse_existing(request.run)
    chosen_range = Range(request.data, request.start, request.end, request.symbols)
    material = prepare(recipe, config, chosen_range)
    source, panel, rows = material.source, material.panel, material.rows
    following = next_opens(source.bars, source.actions)
    store.known(request.data).require(config.study)
    config, shared = _chosen(recipe, config, material, following, request, step)
    learner = learner_of(config, request.seed, request.device)
    open_rows, _ = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    question = asked(
        TRAIN,
        data_of(recipe, source, open_rows),
        config,
        seed=request.seed,
        device=learner.device,
        bars_hash=request.bars_hash,
        lineage=request.lineage,
    )
    begin(request.data, question)

    proof = prove(rows, learner, config.cpcv, workers=request.workers, step=step)
    worth = figures(proof, source.bars, config.label.k)
    forward = proof.rows.dense(proof.walk_forward)
    book = book_returns(forward, following, config.label.k)
    expected = expectation(forward, following, trading_conditions(source.bars), config.label.k, request.seed)
    owned = policy_book(request.data, source, forward, worth.ic_walk_forward, config.label.k)
    series = Series(proof.rows.sessions[book.rows], book.net)
    end(request.data, question, series)
    known_trials = tried(request.data, question, rows, series, study=config.study, shared=shared)
    drivers = _importance(proof.rows, learner, config, request, step)
    suspected = _leaks(recipe, config, material, proof, Fitting(learner, request.workers, step), request)

    fitted = _fit(rows, proof.rows, learner, step)
    # One path's scores, each of one model as the published one is: the paths' mean has a smaller scale than any model.
    calibration = calibrate(
        proof.rows,
        proof.oof.scores[0],
        scored(fitted.model, proof.rows.features),
        k=config.label.k,
        model_sha256=(sha256_of(fitted.exported.onnx),),
        is_log_odds=scores_log_odds(config),
    )
    known = evidence(
        Proven(
            recipe=recipe,
            config=config,
            source=source,
            rows=rows,
            proof=proof,
            worth=worth,
            learner=LearnerUsed(str(config.learner), str(learner.device)),
            parity=fitted.exported.parity,
            trials=known_trials.document,
            importance=drivers,
            calibration=calibration,
            regimes=by_regime(source.bars, worth, config.label.k),
            expectation=expected,
            policy_book=owned,
            leaks=suspected,
            seed_null=null_of(fitted.model, panel),
            lineage=None if request.compare is None else request.compare(panel, fitted.exported.onnx),
        ),
        seed=request.seed,
        code_version=request.code_version,
        bars_hash=request.bars_hash,
    )
    files = _files(recipe, config, material, proof, fitted, known, chosen_range)
    model = sha256_of(fitted.exported.onnx)
    looks.record(request.data, looks.of_rows("train", recipe.sleeve.name, model, rows, config.cpcv))
    shown = _report(recipe, source, panel, proof, worth, fitted.model, known, book, known_trials.sharpes)
    write_run(request.run, {**files, **shown})
    return known


def _chosen(
    recipe: Recipe, config: RecipeConfig, material: Material, following: Opens, request: TrainingRequest, step: Step
) -> tuple[RecipeConfig, Floats | None]:
    """Return the recipe that a search found, with its returns in shared bins, or the one that was given."""
    if request.search is None:
        return config, None
    found, shared = searched(
        recipe, config, material, following, request.search, TrialRun(request.data, request.seed, request.device, request.workers), step
    )
    return found.config, shared


def _leaks(
    recipe: Recipe, config: RecipeConfig, material: Material, proof: Proof, fitting: Fitting, request: TrainingRequest
) -> LeakFindings:
    """Run the leak battery over the open rows; the second vendor's bars are read as they are, RED sessions left out."""
    subject = LeakSubject(
        rows=proof.rows,
        scores=proof.oof.scores.mean(axis=0),
        forward=proof.walk_forward,
        panel=material.panel,
        bars=material.source.bars,
        k=config.label.k,
        groups=config.cpcv.groups,
    )
    second = None
    if request.second is not None:
        manifest = read_manifest(request.second)
        second = load_bars(request.second, manifest, manifest.first, manifest.last)
    return battery.battery(subject, recipe.sleeve, fitting, recipe.leaks, seed=request.seed, second=second)


def _importance(open_rows: Samples, learner: Learner, config: RecipeConfig, request: TrainingRequest, step: Step) -> Importance | None:
    if not request.importance:
        return None
    return importance(
        open_rows, learner, groups=config.cpcv.groups, embargo=config.cpcv.embargo_sessions, k=config.label.k, seed=request.seed, step=step
    )


def _fit(rows: Samples, open_rows: Samples, learner: Any, step: Step) -> Fitted:
    before = fit_all(open_rows, learner)
    step("model before the holdout")
    model = fit_all(rows, learner)
    step("model")
    return Fitted(model, export(model, rows.features), before)


def _files(
    recipe: Recipe, config: RecipeConfig, material: Material, proof: Proof, fitted: Fitted, known: Evidence, chosen: Range
) -> Mapping[str, bytes]:
    training_cfg = TrainingSettings(
        sleeve=recipe.sleeve.name,
        seed=known.seed or 0,
        trial=known.trials.trial,
        config=config.model_dump(mode="json"),
        device=known.learner.device,
        config_hash=known.config_hash,
        code_version=known.code_version,
        snapshot_id=known.snapshot_id,
        dataset_version=material.source.manifest.version,
        first_training_session=known.first_training_session,
        last_label_session=known.last_label_session,
        symbols=material.rows.symbols,
        range=TrainedRange(chosen.start, chosen.end, chosen.symbols),
    )
    return {
        "model.onnx": fitted.exported.onnx,
        "model.txt": fitted.model.to_text().encode(),
        "model.pkl": artefacts.pickled(fitted.model),
        "model_before_holdout.txt": fitted.before_holdout.to_text().encode(),
        "feature_list.json": artefacts.feature_list(recipe.sleeve),
        "training_cfg.json": canonical_json(training_cfg),
        "oof.parquet": artefacts.oof_parquet(proof.rows, proof.oof),
        "walk_forward.parquet": artefacts.walk_forward_parquet(proof.rows, proof.walk_forward),
        "golden.npz": artefacts.golden(material.rows.features, fitted.exported.onnx),
        "drift_reference.json": canonical_json(
            reference(*artefacts.unseen_history(material.panel, material.rows, proof.rows, proof.oof.scores[0], config.cpcv.groups))
        ),
        "evidence.json": canonical_json(known),
    }


def _report(
    recipe: Recipe,
    source: TrainingBars,
    panel: FeaturePanel,
    proof: Proof,
    worth: ProofFigures,
    model: Model,
    known: Evidence,
    book: BookReturns,
    sharpes: Floats,
) -> Mapping[str, bytes]:
    subject = Reported(
        known=known,
        sessions=source.bars.sessions,
        names=recipe.sleeve.names,
        importance=model.importance(),
        series=worth.ic_series,
        forward=worth.walk_forward_series,
        eligible=panel.eligible.sum(axis=1),
        labelled=proof.rows.dense(proof.rows.label),
        book=book,
        trial_sharpes=sharpes,
    )
    return report_files(subject)
