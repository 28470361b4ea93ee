"""E6: a hostile or damaged ONNX model is refused in bounded time and memory, and costs its child at most its life."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from signals.bundle.child_inference import DATA_BYTES, INPUT_COPIES, data_bytes, infer_in_child
from signals.bundle.graph import check_model
from signals.errors import BundleRefused
from signals.models.inference import FEATURES, SCORE, GraphMember
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import golden_inputs
from tests.fuzz.models import HOSTILE, WHOLE, WIDTH

ROOT = Path(__file__).resolve().parents[2]
CASES = 400
# What the static check lets through, because each operator and field of it is allowed: the child has to refuse these.
LEFT_TO_THE_CHILD = {
    "widths that double forty times",
    "a tree whose branch leads to itself",
    "a tree whose leaves lead back",
    "a tree that leads nowhere",
    "a node twice",
    "a billion targets",
    "targets below zero",
    "a target that is not there",
    "a feature that is not there",
    "lists of different lengths",
    "a shape of 2^60 cells",
    "a shape below zero",
    "a reshape to 2^40 rows",
    "a reshape to nothing",
    "a circle of nodes",
    "widths that double eighteen times",
}


def test_damaged_models_neither_hang_nor_crash_nor_outgrow_their_limits() -> None:
    """Four hundred mutated models and every hostile one; the campaign `make fuzz-models` verifies ten thousand."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.models", "--cases", str(CASES), "--seed", "7"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == [] and found["whole"] == {"scored": len(WHOLE)}
    assert sum(found["fates"].values()) == CASES + len(HOSTILE)
    assert min(found["fates"].get(word, 0) for word in ("refused", "failed", "scored")) > 10, "all three are reached"


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - LEFT_TO_THE_CHILD))
def test_what_no_learner_of_ours_exports_is_refused_without_running_it(name: str) -> None:
    with pytest.raises(BundleRefused):
        check_model(HOSTILE[name](), "model.onnx")


@pytest.mark.parametrize("name", ["widths that double forty times", "a reshape to 2^40 rows", "a billion targets", "a circle of nodes"])
def test_what_only_running_it_shows_is_refused_by_the_child_and_the_device_goes_on(name: str) -> None:
    model = HOSTILE[name]()
    check_model(model, "model.onnx")
    with pytest.raises(BundleRefused):
        infer_in_child([GraphMember(model)], {FEATURES: golden_inputs(WIDTH)})


def test_every_hostile_model_is_somebody_s_to_refuse() -> None:
    assert set(HOSTILE) >= LEFT_TO_THE_CHILD
    for name in LEFT_TO_THE_CHILD:
        check_model(HOSTILE[name](), name)


def test_the_child_s_memory_grows_with_the_model_and_suffices_for_a_large_one() -> None:
    """Thirty thousand trees, 3.4 MB: scored within 24 bytes a byte of the model beside the runtime's own."""
    model = onnx.stump_model(WIDTH, trees=30_000)
    inputs = {FEATURES: golden_inputs(WIDTH)}
    assert data_bytes([GraphMember(model)], inputs) == DATA_BYTES + 24 * len(model) + INPUT_COPIES * inputs[FEATURES].nbytes
    scores = infer_in_child([GraphMember(model)], inputs)[SCORE][:, 0]
    expected = onnx.stump_scores(golden_inputs(WIDTH), trees=30_000)
    assert abs(scores - expected).max() < 1e-2  # thirty thousand float32 additions
