"""Builds `evidence.json`: everything known of a trained model."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from trainer.curation import mortality
from trainer.leaks.battery import failures
from trainer.learners.base import FitDevice
from trainer.learners.export import Parity
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars, accepted, accepted_warnings, unknown_warnings
from trainer.validation.importance import Importance
from trainer.validation.probabilities import Calibration
from trainer.validation.proof import Proof, ProofFigures, leaves_rows

FORMAT = "trademl-evidence-1"
LEAK_IC = 0.05  # daily cross-sections of liquid stocks do not rank better than this out of sample
SURE_T = 2.0
FOLD_DEPENDENCE = 1.4  # sqrt 2: each pair of groups meets twice, once either way round; measured 1.5 on 24 noise panels
MATERIAL_GAP = 0.5  # of the IC that the long embargo may take before it counts as a warning


def evidence(
    recipe: Recipe,
    config: RecipeConfig,
    source: TrainingBars,
    rows: Samples,
    proof: Proof,
    worth: ProofFigures,
    parity: Parity,
    *,
    seed: int,
    code_version: str,
    device: FitDevice,
    trials: dict[str, Any],
    importance: Importance | None,
    bars_hash: str,
    calibration: Calibration | None,
    regimes: list[dict[str, Any]],
    expected: dict[str, Any] | None,
    owned: dict[str, Any],
    leaks: dict[str, Any],
) -> dict[str, Any]:
    """Assemble the document; `rows` are all training rows, `proof.rows` those that the figures come from."""
    return {
        "format": FORMAT,
        "sleeve": recipe.sleeve.name,
        "seed": seed,
        "learner": {"kind": str(config.learner), "device": str(device)},
        "label": str(config.label.kind),
        "horizon": config.label.k,
        "entry": str(config.label.entry),
        "spec_hash": recipe.sleeve.spec_hash,
        "first_training_session": _day(rows, int(rows.t0.min())),
        "last_training_session": _day(rows, int(rows.t0.max())),
        "last_label_session": _day(rows, int(rows.t1.max())),
        "training": {
            "rows": len(rows),
            "sessions": len(np.unique(rows.t0)),
            "symbols": len(np.unique(rows.column)),
            "rows_with_nan": int(np.isnan(rows.features).any(axis=1).sum()),
        },
        "snapshot_id": source.manifest.snapshot_id,
        "dataset": {
            "name": source.manifest.name,
            "version": source.manifest.version,
            "vendor": source.manifest.vendor,
            "basis": str(source.manifest.basis),
            "survivorship": str(source.manifest.universe_state),
            "universe_why": source.manifest.universe_why,
            "ends": mortality.document(source.bars, source.actions),
            "eligibility": source.manifest.eligibility_rule,
            "red_accepted": accepted(source),
        },
        "config_hash": config.fingerprint(),
        "code_version": code_version,
        "ic": {**_ic(worth), "embargoes": _embargoes(recipe, config, proof)},
        "walk_forward": {"ic": _mean(worth.ic_walk_forward), "groups": config.cpcv.groups - 1},
        "deciles": {"curve": worth.curve.tolist(), "spread": _mean(worth.spread), "extreme_labels": worth.extreme_labels},
        "turnover": asdict(worth.turnover),
        "capacity": asdict(worth.capacity),
        "cpcv": _cpcv(config, proof),
        "holdout": _holdout(proof),
        "leak_certificate": {"total": int(proof.oof.leaks.sum()), "by_split": proof.oof.leaks.tolist()},
        "leaks": leaks,
        "parity": asdict(parity),
        "trials": trials,
        "calibration": None if calibration is None else calibration.document(),
        "promotion_bars": bars_hash or None,
        "regimes": regimes,
        "expectation": expected,
        "policy_book": owned,
        "importance": None if importance is None else _importance(importance, rows.names),
        "warnings": warnings(worth, proof, config, str(source.manifest.universe_state))
        + [f"LEAK SUSPECTED: {sentence}" for sentence in failures(leaks)]
        + accepted_warnings(source)
        + unknown_warnings(source),
    }


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


def _ic(worth: ProofFigures) -> dict[str, Any]:
    return {
        "mean": worth.ic.mean,
        "standard_error": worth.ic.standard_error,
        "t_newey_west": worth.ic.t,
        "lag": worth.ic_lag,
        "sessions": worth.ic.sessions,
        "by_path": [_mean(path) for path in worth.ic_by_path],
        "by_offset": [_mean(offset) for offset in worth.ic_by_offset],
        "long_embargo": None if worth.ic_long_embargo is None else _mean(worth.ic_long_embargo),
    }


def _embargoes(recipe: Recipe, config: RecipeConfig, proof: Proof) -> dict[str, Any]:
    """Sessions of the long embargo, those that the longest look-back needs, and whether the history has room."""
    needed, long = recipe.sleeve.lookback_sessions, config.cpcv.long_embargo_sessions
    is_measured = proof.long_embargo is not None and long >= needed
    return {
        "needed": needed,
        "long": long if proof.long_embargo is not None else 0,
        "is_possible": is_measured or leaves_rows(proof.rows, config.cpcv, needed),
    }


def _mean(figure: Any) -> dict[str, Any]:  # a `Mean`
    return asdict(figure)


def _cpcv(config: RecipeConfig, proof: Proof) -> dict[str, Any]:
    rows = proof.rows
    return {
        **config.cpcv.model_dump(),
        "splits": len(proof.oof.leaks),
        "paths": len(proof.oof.scores),
        "rows": len(rows),
        "first": _day(rows, int(rows.t0.min())),
        "last": _day(rows, int(rows.t0.max())),
        "train_rows_by_split": proof.oof.train_rows.tolist(),
    }


def _importance(found: Importance, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "ic": _mean(found.ic),
        "by_feature": [{"feature": loss.features[0], **_mean(loss.loss)} for loss in found.by_feature],
        "by_cluster": [{"features": list(loss.features), **_mean(loss.loss)} for loss in found.by_cluster],
        "shap": None if found.shap is None else dict(zip(names, found.shap.tolist(), strict=True)),
    }


def _holdout(proof: Proof) -> dict[str, Any] | None:
    if proof.seal is None:
        return None
    return {
        "first": _day(proof.rows, proof.seal.first),
        "last": _day(proof.rows, proof.seal.last),
        "sessions": proof.seal.sessions,
        "rows": proof.seal.rows,
        "opened": 0,
    }


def _day(rows: Samples, row: int) -> str:
    day: date = rows.sessions[row].astype(object)
    return day.isoformat()
