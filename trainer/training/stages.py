"""The stages of a training on minutes: the findings of each, written as soon as they are known, next to the run folder.

`<run>.stages/NN_<stage>.json` holds a stage's figures, `proof_<key>.npz` the scores that a broken-off training had; the same
question of the same rows takes them up again in the same program, another one does not know them. A finished run keeps the
figures in its folder `stages`.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from signals.errors import FixInput, TrademlError
from signals.files import write_atomic
from signals.models.inference import FEATURES, SCORE, GraphMember, infer
from signals.text.strict_json import loads
from signals.text.wording import reason_of
from trainer.runs.artefacts import features_of
from trainer.runs.evidence import read_evidence
from trainer.runs.run_folder import canonical_json
from trainer.samples.samples import Samples, seal_holdout
from trainer.search.trial_log import trial_hash
from trainer.tasks.recipes import agreed, config_of, recipe_named
from trainer.validation.proof import Proof
from trainer.validation.splits.oof import OutOfFold

STAGES = (
    *("ingest", "clean", "sessions", "features", "regime", "ladder", "label"),
    *("optimise", "relabel", "split", "scale", "dataset", "validate", "report"),
)
FOLDER = "stages"


class Stages:
    """Finished stages of one training; called with a stage and its figures. What another program had proved is not taken up."""

    def __init__(self, run: Path, step: Callable[[str], None], code_version: str) -> None:
        self.folder, self._step, self._code_version = run.with_name(f"{run.name}.{FOLDER}"), step, code_version

    def __call__(self, stage: str, figures: Mapping[str, object]) -> None:
        """Write down what a stage found."""
        number = STAGES.index(stage) + 1
        write_atomic(self.folder / f"{number:02d}_{stage}.json", canonical_json({"stage": stage, "number": number, **figures}))
        self._step(f"stage {number} of {len(STAGES)}: {stage}")

    def proved(self, rows: Samples, holdout: int, embargo: int, key: str, make: Callable[[], Proof]) -> Proof:
        """Return the proof that a broken-off training of the question `key` had of these rows, else make and keep it."""
        known = trial_hash({"trial": key, "code_version": self._code_version, "rows": rows.fingerprint()})
        path = self.folder / f"proof_{known}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as held:
                oof = OutOfFold(held["scores"], held["train_rows"], held["leaks"])
                return Proof(*seal_holdout(rows, holdout, embargo), oof, None, held["walk_forward"])
        proof, buffer = make(), io.BytesIO()
        oof = proof.oof
        np.savez(buffer, scores=oof.scores, train_rows=oof.train_rows, leaks=oof.leaks, walk_forward=proof.walk_forward)
        write_atomic(path, buffer.getvalue())
        return proof

    def files(self) -> dict[str, bytes]:
        """Return the figures as files of the run."""
        return {f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(self.folder.glob("*.json"))}

    def close(self) -> None:
        """Drop the copy next to the run: it is in the run now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_stages(run: Path) -> list[dict[str, object]]:
    """Figures of every stage that is done, of a finished run or of one that is under way, in their order.

    Raises
    ------
    FixInput
        There are none, or one cannot be read.
    """
    folder = run / FOLDER if run.exists() else run.with_name(f"{run.name}.{FOLDER}")
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(dict(loads(path.read_bytes(), decimals=float)))
        except (ValueError, json.JSONDecodeError) as error:
            raise FixInput("the stage cannot be read", where=str(path), fix="Train again") from error
    if not found:
        raise FixInput("no stage of this run is known", where=str(folder), fix="Name a run of a sleeve of minutes")
    return found


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
