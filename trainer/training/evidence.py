"""Builds `evidence.json`: everything known of a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from signals.monitoring.expectation import Expectation
from signals.scoring.evidence import Deciles, Holdout, PolicyBook
from trainer.curation import mortality
from trainer.learners.export import Parity
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs.evidence import (
    ClusterLoss,
    DatasetUsed,
    Embargoes,
    Evidence,
    FeatureLoss,
    Folds,
    ImportanceFigures,
    LeakCertificate,
    LeakFindings,
    LearnerUsed,
    OutOfFoldIc,
    RegimeFigures,
    Retraining,
    TrainingRows,
    WalkForward,
)
from trainer.runs.trials import EvidenceTrials
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars, accepted, accepted_warnings, unknown_warnings
from trainer.validation.importance import Importance
from trainer.validation.likeness import SeedNull
from trainer.validation.probabilities import Calibration
from trainer.validation.proof import Proof, ProofFigures, leaves_rows

LEAK_IC = 0.05  # daily cross-sections of liquid stocks do not rank better than this out of sample
SURE_T = 2.0
FOLD_DEPENDENCE = 1.4  # sqrt 2: each pair of groups meets twice, once either way round; measured 1.5 on 24 noise panels
MATERIAL_GAP = 0.5  # of the IC that the long embargo may take before it counts as a warning


@dataclass(frozen=True, eq=False)
class Proven:
    """What a training found out; the evidence is made of it.

    `rows` are all training rows, `proof.rows` those that the figures come from.
    """

    recipe: Recipe
    config: RecipeConfig
    source: TrainingBars
    rows: Samples
    proof: Proof
    worth: ProofFigures
    learner: LearnerUsed
    parity: Parity
    trials: EvidenceTrials
    importance: Importance | None
    calibration: Calibration | None
    regimes: tuple[RegimeFigures, ...]
    expectation: Expectation | None
    policy_book: PolicyBook
    leaks: LeakFindings
    seed_null: SeedNull | None
    lineage: Retraining | None


def evidence(found: Proven, *, seed: int, code_version: str, bars_hash: str) -> Evidence:
    """Assemble the document."""
    config, rows, proof, worth, manifest = found.config, found.rows, found.proof, found.worth, found.source.manifest
    sleeve = found.recipe.sleeve
    return Evidence(
        sleeve=sleeve.name,
        seed=seed,
        learner=found.learner,
        label=str(config.label.kind),
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
            ends=mortality.document(found.source.bars, found.source.actions),
            eligibility=manifest.eligibility_rule,
            red_accepted=tuple(accepted(found.source)),
        ),
        config_hash=config.fingerprint(),
        code_version=code_version,
        ic=_ic(worth, _embargoes(found.recipe, config, proof)),
        walk_forward=WalkForward(worth.ic_walk_forward, config.cpcv.groups - 1),
        deciles=Deciles(tuple(worth.curve.tolist()), worth.spread, worth.extreme_labels),
        turnover=worth.turnover,
        capacity=worth.capacity,
        cpcv=_folds(config, proof),
        holdout=_holdout(proof),
        leak_certificate=LeakCertificate(int(proof.oof.leaks.sum()), tuple(proof.oof.leaks.tolist())),
        leaks=found.leaks,
        parity=found.parity,
        trials=found.trials,
        calibration=None if found.calibration is None else found.calibration.document(),
        promotion_bars=bars_hash or None,
        regimes=found.regimes,
        expectation=found.expectation,
        policy_book=found.policy_book,
        importance=None if found.importance is None else _importance(found.importance, rows.names),
        seed_null=found.seed_null,
        lineage=found.lineage,
        warnings=(
            *warnings(worth, proof, config, str(manifest.universe_state)),
            *(f"LEAK SUSPECTED: {sentence}" for sentence in found.leaks.failures),
            *accepted_warnings(found.source),
            *unknown_warnings(found.source),
        ),
    )


def warnings(worth: ProofFigures, proof: Proof, config: RecipeConfig, survivorship: str) -> list[str]:
    """Say what a reader must not overlook."""
    found = []
    if abs(worth.ic.mean) > LEAK_IC or abs(worth.ic_walk_forward.mean) > LEAK_IC:
        found.append(
            f"LEAK SUSPECTED: out-of-fold IC {worth.ic.mean:.4f}, walk-forward {worth.ic_walk_forward.mean:.4f}; "
            f"beyond {LEAK_IC} it is a leak until proven otherwise"
        )
    if not worth.ic.t >= SURE_T * FOLD_DEPENDENCE:
        found.append(
            f"the IC's t is {worth.ic.t:.2f}; folds that train on each other give noise a t of standard deviation "
            f"{FOLD_DEPENDENCE}, so this is not distinguishable from no skill"
        )
    if not worth.ic_walk_forward.t >= SURE_T:
        found.append(f"walking forward, without hindsight, the IC's t is {worth.ic_walk_forward.t:.2f}: not distinguishable from no skill")
    if worth.extreme_labels:
        found.append(f"{worth.extreme_labels} labels are beyond 100 % and count in full: a decile figure may be theirs alone")
    if worth.ic_long_embargo is not None and worth.ic_long_embargo.mean < (1.0 - MATERIAL_GAP) * worth.ic.mean:
        found.append(
            f"IC {worth.ic.mean:.4f} falls to {worth.ic_long_embargo.mean:.4f} with an embargo of "
            f"{config.cpcv.long_embargo_sessions} sessions"
        )
    if config.cpcv.long_embargo_sessions and proof.long_embargo is None:
        found.append("history too short for a cross-validation with the long embargo")
    if proof.seal is None:
        found.append("no sealed holdout: this run cannot be promoted")
    if survivorship != "point-in-time":
        found.append(f"universe: {survivorship}; names that died may be missing, which flatters every figure")
    return found


def _ic(worth: ProofFigures, embargoes: Embargoes) -> OutOfFoldIc:
    return OutOfFoldIc(
        mean=worth.ic.mean,
        standard_error=worth.ic.standard_error,
        t_newey_west=worth.ic.t,
        lag=worth.ic_lag,
        sessions=worth.ic.sessions,
        by_path=tuple(worth.ic_by_path),
        by_offset=tuple(worth.ic_by_offset),
        long_embargo=worth.ic_long_embargo,
        embargoes=embargoes,
    )


def _embargoes(recipe: Recipe, config: RecipeConfig, proof: Proof) -> Embargoes:
    """Sessions of the long embargo, those that the longest look-back needs, and whether the history has room."""
    needed, long = recipe.sleeve.lookback_sessions, config.cpcv.long_embargo_sessions
    is_measured = proof.long_embargo is not None and long >= needed
    return Embargoes(
        needed=needed,
        long=long if proof.long_embargo is not None else 0,
        is_possible=is_measured or leaves_rows(proof.rows, config.cpcv, needed),
    )


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


def _importance(found: Importance, names: tuple[str, ...]) -> ImportanceFigures:
    return ImportanceFigures(
        ic=found.ic,
        by_feature=tuple(FeatureLoss(**vars(loss.loss), feature=loss.features[0]) for loss in found.by_feature),
        by_cluster=tuple(ClusterLoss(**vars(loss.loss), features=loss.features) for loss in found.by_cluster),
        shap=None if found.shap is None else dict(zip(names, found.shap.tolist(), strict=True)),
    )


def _holdout(proof: Proof) -> Holdout | None:
    if (seal := proof.seal) is None:
        return None
    return Holdout(_day(proof.rows, seal.first), _day(proof.rows, seal.last), seal.sessions, seal.rows)


def _day(rows: Samples, row: int) -> str:
    day: date = rows.sessions[row].astype(object)
    return day.isoformat()
