"""Builds `evidence.json`: what is known of every trained model, with what its task found out."""

from datetime import date
from typing import Any

import numpy as np

from signals.scoring.evidence import Holdout
from trainer.curation import mortality
from trainer.recipes.base import RecipeConfig
from trainer.runs.evidence import DatasetUsed, Evidence, Folds, LeakCertificate, LearnerUsed, TrainingRows
from trainer.samples.joined_datasets import snapshots_of
from trainer.samples.samples import Samples
from trainer.samples.source import accepted, accepted_warnings, unknown_warnings
from trainer.tasks.base import TaskFindings, TrainingCase
from trainer.validation.proof import Proof


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
        **{**found.fields, **_others(found, snapshots_of(sleeve, request.data))},
    )


def _others(found: TaskFindings, snapshots: dict[str, str]) -> dict[str, Any]:
    """The task's own figures with the snapshots of other datasets; nothing where the sleeve reads no other."""
    return {"others": {**found.fields.get("others", {}), "datasets": snapshots}} if snapshots else {}


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
    day: date = rows.sessions[row].astype("datetime64[D]").astype(object)
    return day.isoformat()
