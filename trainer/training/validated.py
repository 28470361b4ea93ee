"""Validates a finished run folder: no row leaks, features are the sleeve's, golden rows are reproduced, no stage is missing."""

import json
from pathlib import Path

import numpy as np

from signals.errors import TrademlError
from signals.models.inference import FEATURES, SCORE, GraphMember, infer
from signals.text.wording import reason_of
from trainer.runs.artefacts import features_of
from trainer.runs.evidence import read_evidence
from trainer.tasks.recipes import agreed, config_of, recipe_named
from trainer.training.stages import STAGES, read_stages


def faults_of(run: Path) -> list[str]:
    """Return what differs, a sentence each; empty where nothing does."""
    faults = []
    for what, check in (("evidence", _certificate), ("features", _features), ("golden rows", _golden), ("stages", _stages)):
        try:
            faults += check(run)
        except TrademlError as error:
            faults.append(str(error))
        except (OSError, ValueError, KeyError) as error:
            faults.append(f"the {what} cannot be read ({reason_of(error)})")
    return faults


def _certificate(run: Path) -> list[str]:
    known = read_evidence(run)
    return [f"{known.leak_certificate.total} training rows leak into tests"] if known.leak_certificate.total else []


def _features(run: Path) -> list[str]:
    """The features are those of the sleeve as the recipe shapes it."""
    listed, settings = features_of(run), json.loads((run / "training_cfg.json").read_text())
    config = config_of(settings["config"], where=str(run / "training_cfg.json"))
    recipe = agreed(recipe_named(settings["sleeve"]), config)
    computed = recipe.sleeve.shaped_as(listed.spec).spec_hash
    return [] if computed == listed.spec_hash else ["the features are not those of this program's sleeve"]


def _golden(run: Path) -> list[str]:
    """The exported model gives the stored scores for the stored rows."""
    with np.load(run / "golden.npz", allow_pickle=False) as held:
        arrays = dict(held)
    rows = arrays.get(FEATURES, arrays.get("inputs"))
    wanted = arrays.get(SCORE, arrays.get("scores"))
    if rows is None or wanted is None:
        return ["there are no golden rows"]
    width = 1 if wanted.ndim == 1 else wanted.shape[1]
    scores = infer([GraphMember((run / "model.onnx").read_bytes(), {SCORE: width})], {FEATURES: rows})[SCORE]
    return [] if np.array_equal(scores.reshape(wanted.shape), wanted) else ["the exported model does not give the golden scores"]


def _stages(run: Path) -> list[str]:
    lacking = sorted(set(STAGES) - {str(stage["stage"]) for stage in read_stages(run)}, key=STAGES.index)
    return [f"stages not done: {', '.join(lacking)}"] if lacking else []
