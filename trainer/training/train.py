"""The training pipeline: read, build rows, validate, fit, export, write.

Two models are fitted on top of the cross-validation's. The one that is published learns from every row whose label had
ended: a device must not trade on a model that is a year old, and nothing chooses between models by the rows of the
sealed holdout. The other (`model_before_holdout.txt`) stops at the seal; it is what a promotion opens the seal for.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from signals.features.panel import FeaturePanel
from signals.files import sha256_of
from signals.indicators.regimes import fitted_on
from signals.market.bars import Floats
from signals.minutes.stretch import DecisionBars
from signals.monitoring.drift import reference
from signals.scoring.evidence import Holdout
from signals.sleeves.bars import BarsSleeve
from signals.text.documents import to_json
from trainer.curation import mortality
from trainer.learners.base import FitDevice, Learner
from trainer.learners.export import export
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs import artefacts, looks
from trainer.runs.evidence import DatasetUsed, Evidence, Folds, LeakCertificate, LearnerUsed, Retraining, TrainingRows
from trainer.runs.run_folder import TrainedRange, TrainingSettings, canonical_json, checkpoints_of, refuse_existing, write_run
from trainer.samples.intraday import evenings
from trainer.samples.samples import Material, Range, Samples, prepare, seal_holdout
from trainer.samples.source import accepted, accepted_warnings, unknown_warnings
from trainer.search import trial_log
from trainer.search.run import SearchRequest, TrialRun, figures, searched
from trainer.search.run import steps as search_steps
from trainer.search.trial_log import TRAIN, asked, begin, data_of, trial_hash
from trainer.tasks.base import Fitted, TaskFindings, TrainingCase
from trainer.tasks.recipes import agreed, task_of
from trainer.training.stages import STAGES, Stages
from trainer.validation.proof import Proof, fits, prove
from trainer.validation.splits.oof import Step, fit_all


def evidence(case: TrainingCase, found: TaskFindings) -> Evidence:
    """Assemble the document."""
    config, request, proof = case.config, case.request, case.proof
    source, rows, sleeve = case.material.source, case.material.rows, case.recipe.sleeve
    manifest = source.manifest
    return Evidence(
        sleeve=sleeve.name,
        seed=request.seed,
        learner=LearnerUsed(str(config.learner), str(case.learner.device)),
        label=config.label.kind,
        horizon=config.label.k,
        entry=str(config.label.entry),
        spec_hash=sleeve.spec_hash,
        first_training_session=_day(rows, int(rows.t0.min())),
        last_training_session=_day(rows, int(rows.t0.max())),
        last_label_session=_day(rows, int(rows.t1.max())),
        training=TrainingRows(
            rows=len(rows),
            sessions=len(np.unique(rows.t0)),
            symbols=len(np.unique(rows.column)),
            rows_with_nan=int(np.isnan(rows.features).any(axis=1).sum()),
        ),
        snapshot_id=manifest.snapshot_id,
        dataset=DatasetUsed(
            name=manifest.name,
            version=manifest.version,
            vendor=manifest.vendor,
            basis=str(manifest.basis),
            survivorship=str(manifest.universe_state),
            universe_why=manifest.universe_why,
            ends=mortality.document(source.bars, source.actions),
            eligibility=manifest.eligibility_rule,
            red_accepted=tuple(accepted(source)),
            calendar=manifest.calendar.name,
        ),
        config_hash=config.fingerprint(),
        code_version=request.code_version,
        cpcv=_folds(config, proof),
        holdout=_holdout(proof),
        leak_certificate=LeakCertificate(int(proof.oof.leaks.sum()), tuple(proof.oof.leaks.tolist())),
        parity=case.fitted.exported.parity,
        promotion_bars=request.bars_hash or None,
        lineage=None if request.compare is None else request.compare(case.material.panel, case.fitted.exported.onnx),
        warnings=(*found.warnings, *accepted_warnings(source), *unknown_warnings(source)),
        **{**found.fields, **_others(case, found)},
    )


def _others(case: TrainingCase, found: TaskFindings) -> dict[str, Any]:
    """The task's own figures with the snapshots of other datasets and what a search by its metric found; nothing without either."""
    snapshots = dict(case.material.source.datasets)
    searched_by = figures(case.request.data, case.config.study, case.question.key, case.material.rows)
    own: dict[str, Any] = dict(found.fields.get("others", {}))
    own |= {**({"datasets": snapshots} if snapshots else {}), **({"search": to_json(searched_by)} if searched_by else {})}
    if case.recipe.task.has_metrics:
        head = case.recipe.task.head_of(case.config)
        made = artefacts.metrics(case.proof.rows, case.recipe.sleeve.spec_hash, head, found.fields.get("calibration"))
        own["metrics"] = {**made, **own.get("metrics", {})}
    return {"others": own} if own else {}


def _folds(config: RecipeConfig, proof: Proof) -> Folds:
    rows = proof.rows
    return Folds(
        **config.cpcv.model_dump(),
        splits=len(proof.oof.leaks),
        paths=len(proof.oof.scores),
        rows=len(rows),
        first=_day(rows, int(rows.t0.min())),
        last=_day(rows, int(rows.t0.max())),
        train_rows_by_split=tuple(proof.oof.train_rows.tolist()),
    )


def _holdout(proof: Proof) -> Holdout | None:
    if (seal := proof.seal) is None:
        return None
    return Holdout(_day(proof.rows, seal.first), _day(proof.rows, seal.last), seal.sessions, seal.rows)


def _day(rows: Samples, row: int) -> str:
    return str(rows.sessions[row].astype("datetime64[D]"))


FINAL_FITS, METRICS = 2, "metrics.json"


@dataclass(frozen=True)
class TrainingRequest:
    """Data, range and settings of a training; `start` is the first features' session, `end` the last that a label may end at.

    Attributes
    ----------
    seed, workers : int
        The result depends on the seed; never on how many models are fitted at a time.
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


def steps(config: RecipeConfig, *, trials: int = 0, is_explained: bool = False) -> int:
    """How often `train` calls `step` at most."""
    searching = search_steps(config, trials) if trials else 0
    staged = 0 if config.minutes is None else len(STAGES)
    return staged + fits(config.cpcv) + FINAL_FITS + task_of(config).steps(config) + searching + (config.cpcv.groups if is_explained else 0)


def train(recipe: Recipe, config: RecipeConfig, request: TrainingRequest, step: Step) -> Evidence:
    """Train `recipe`, write the run folder and return its evidence.

    The trial is on the dataset's record before anything of it is known, with its series before that is judged.
    `config` is the recipe's own, or a person's; its label chooses the task. `step` gets the name of each model that is fitted.

    Raises
    ------
    BadConfig
        The parts of the recipe disagree.
    FixInput, DataNotUsable
        The task has not what is asked for, the run folder exists, the range is no range of the dataset, too short, or holds a RED session.
    InvariantBroken
        A leak certificate is not 0, or the export is not exact. Nothing was written.
    """
    refuse_existing(request.run)
    wishes = {"--importance": request.importance, "--second-vendor": request.second}
    recipe = agreed(recipe, config, request.device, tuple(option for option, wish in wishes.items() if wish))
    stages = Stages(request.run, step, request.code_version)
    material = prepare(recipe, config, Range(request.data, request.start, request.end, request.symbols), stages)
    recipe, config = replace(recipe, sleeve=material.sleeve, config=material.config), material.config
    trial_log.known(request.data).require(config.study)
    config, shared = _chosen(recipe, config, material, request, step)
    checkpoints = checkpoints_of(request.run)
    own = checkpoints / trial_hash({"code_version": request.code_version})  # epochs of another program are not gone on from
    learner = recipe.task.learner(config, request.seed, request.device, own)
    open_rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    question = asked(
        TRAIN,
        data_of(recipe, material.source, open_rows),
        config,
        seed=request.seed,
        device=learner.device,
        bars_hash=request.bars_hash,
        lineage=request.lineage,
    )
    begin(request.data, question)
    proof = _proof(material, learner, config, request, stages, question.key, step)
    fitted = _fit(material.rows, proof.rows, learner, step)
    case = TrainingCase(recipe, config, request, material, learner, proof, fitted, question, step, shared)
    found = recipe.task.judge(case)
    known = evidence(case, found)
    files = {**_files(case, found, known), **found.files, **found.report(known)}
    if isinstance(recipe.sleeve, BarsSleeve):
        stages("report", {"files": len(files), "warnings": len(known.warnings)})
        files |= stages.files()
    look = looks.of_rows(looks.TRAIN, recipe.sleeve.name, sha256_of(fitted.exported.onnx), material.rows, config.cpcv)
    looks.record(request.data, replace(look, made=looks.made(files)))
    write_run(request.run, files)
    shutil.rmtree(checkpoints, ignore_errors=True)
    stages.close()
    return known


def _proof(
    material: Material, learner: Learner, config: RecipeConfig, request: TrainingRequest, stages: Stages, key: str, step: Step
) -> Proof:
    """Prove; a training of one instrument's minutes that broke off goes on from what it had proved."""

    def proved() -> Proof:
        return prove(material.rows, learner, config.cpcv, workers=request.workers, step=step)

    if not isinstance(material.sleeve, BarsSleeve) or config.cpcv.long_embargo_sessions:
        return proved()
    rows, cpcv = material.rows, config.cpcv
    stages("scale", {"by": "the learner, on the rows of each fit", "view": config.view.kind})
    stages("dataset", {"rows": len(rows), "decisions_of": int(rows.t1.max()) + 1, "weight_of_the_heaviest": float(rows.weight.max())})
    found = stages.proved(rows, cpcv.holdout_sessions, cpcv.embargo_sessions, key, proved)
    open_rows, leaks = len(found.rows), int(found.oof.leaks.sum())
    stages("validate", {"open_rows": open_rows, "splits": len(found.oof.leaks), "leaks": leaks, "models": fits(cpcv)})
    return found


def _chosen(
    recipe: Recipe, config: RecipeConfig, material: Material, request: TrainingRequest, step: Step
) -> tuple[RecipeConfig, Floats | None]:
    """Return the recipe that a search found, with its returns in shared bins, or the one that was given."""
    if request.search is None:
        return config, None
    run = TrialRun(request.data, request.seed, request.device, request.workers)
    found, shared = searched(recipe, config, material, request.search, run, step)
    return found.config, shared


def _fit(rows: Samples, open_rows: Samples, learner: Learner, step: Step) -> Fitted:
    before = fit_all(open_rows, learner)
    step("model before the holdout")
    model = fit_all(rows, learner)
    step("model")
    return Fitted(model, export(model, rows.inputs()), before)


def _files(case: TrainingCase, found: TaskFindings, known: Evidence) -> Mapping[str, bytes]:
    training_cfg = TrainingSettings(
        sleeve=case.recipe.sleeve.name,
        seed=known.seed or 0,
        trial=known.trials.trial,
        config=case.config.document(),
        device=known.learner.device,
        config_hash=known.config_hash,
        code_version=known.code_version,
        snapshot_id=known.snapshot_id,
        dataset_version=case.material.source.manifest.version,
        first_training_session=known.first_training_session,
        last_label_session=known.last_label_session,
        symbols=case.material.rows.symbols,
        range=TrainedRange(case.request.start, case.request.end, case.request.symbols),
    )
    groups, rows, head = case.config.cpcv.groups, case.material.rows, case.recipe.task.head_of(case.config)
    history = artefacts.unseen_history(case.material.panel, case.material.rows, case.proof.rows, found.unseen, groups)
    if isinstance(bars := case.material.source.bars, DecisionBars):
        history = evenings(bars, *history)
    return {
        "model.onnx": case.fitted.exported.onnx,
        "model.txt": case.fitted.model.to_text().encode(),
        "model.pkl": artefacts.pickled(case.fitted.model),
        "model_before_holdout.txt": case.fitted.before_holdout.to_text().encode(),
        "feature_list.json": artefacts.feature_list(case.recipe.sleeve),
        "training_cfg.json": canonical_json(training_cfg),
        "oof.parquet": artefacts.oof_parquet(case.proof.rows, case.proof.oof),
        "walk_forward.parquet": artefacts.walk_forward_parquet(case.proof.rows, case.proof.walk_forward),
        "golden.npz": artefacts.golden(rows.inputs(artefacts.golden_rows(rows.features))[:], case.fitted.exported.onnx, head),
        **artefacts.model_form(rows.view, head),
        **({artefacts.PARAMETERS: artefacts.arrays(fitted_on(bars))} if case.config.regime else {}),
        "drift_reference.json": canonical_json(reference(*history)),
        "evidence.json": canonical_json(known),
        **({METRICS: canonical_json(known.others["metrics"])} if case.recipe.task.has_metrics else {}),
    }
