"""A net of pictures that is a linear map of the mean of each bar: its graph, and a run of the sleeve `patterns` that holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from signals.bundle.calibration import AppliedCalibration, TemperatureMap
from signals.bundle.golden import Golden
from signals.bundle.manifest import FEATURES, Part
from signals.events.analogs import stored
from signals.models.heads import PatternHead
from signals.models.inference import GraphMember, infer
from signals.sleeves.patterns import PATTERNS
from signals.views.sample_views import BarImageView
from tests.fakes.bundles import Recipe, weekdays
from trainer.runs.artefacts import FORM, form_of_graph
from trainer.tasks.bar_pattern.labels import CLASSES

LENGTH = 8
HEAD = PatternHead(CLASSES, LENGTH)
WIDTHS = {name: part.width for name, part in HEAD.parts.items()}
ROWS = 60
DAYS = np.array(weekdays().days, dtype="datetime64[D]")
MAP = TemperatureMap(temperature=2.0, shift=(0.5, 0.0, 0.0, 0.0, -0.5))


def graph() -> bytes:
    """Outputs that are a linear map of the mean of each bar of a picture."""
    weight = np.random.default_rng(3).normal(size=(64, HEAD.width)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["bars"], axes=[1, 3], keepdims=0),
        helper.make_node("MatMul", ["bars", "weight"], ["all"]),
        helper.make_node("Split", ["all", "sizes"], list(WIDTHS), axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3, 64, 64])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in WIDTHS.items()],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array(list(WIDTHS.values()), dtype=np.int64), "sizes")],
    )
    content: bytes = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    return content


def arrays(seed: int = 5, days: Any = DAYS, spread: int = 300) -> dict[str, Any]:
    """A bank of events of the first `spread` of these days."""
    rng = np.random.default_rng(seed)
    row = np.sort(rng.integers(0, spread, ROWS))
    known = row + 1 + rng.integers(0, 30, ROWS)
    symbols = [f"S{n % 7}" for n in range(ROWS)]
    return stored(rng.normal(size=(ROWS, LENGTH)), rng.random(ROWS), rng.normal(size=ROWS), symbols, days[row], days[known])


def recipe(seq: int = 1, seed: int = 5, **changes: Any) -> Recipe:
    """A bundle of the sleeve `patterns`, with its bank."""
    content, rng = graph(), np.random.default_rng(4)
    shown = rng.integers(0, 256, (4, 3, 64, 64)).astype(np.float32) / np.float32(255)
    given = infer([GraphMember(content, WIDTHS, profile="image-1")], {FEATURES: shown})
    made = replace(
        Recipe(),
        seq=seq,
        files={**Recipe().files, "model.onnx": (Part.MODEL, content)},
        golden=Golden({FEATURES: shown}, given),
        arrays={"bank.bin": (Part.BANK, arrays(seed))},
        form=form_of_graph(BarImageView(), HEAD, AppliedCalibration(event="the shape ends here", map=MAP), "embedding"),
        spec=PATTERNS.spec,
        sleeve=PATTERNS.name,
    )
    return replace(made, **changes)


def run(folder: Path) -> Path:
    """Write the files of a run that a reader of its net needs."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph())
    (folder / FORM).write_bytes(form_of_graph(BarImageView(), HEAD, AppliedCalibration(event="the shape ends here", map=MAP)).to_bytes())
    return folder
