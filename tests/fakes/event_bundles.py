"""Bundles that judge events: stumps of a gate, of quantiles or of offsets, one output a head, whose oracle is `stump_scores`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.golden import Golden
from signals.bundle.manifest import FEATURES, HeadLine, ModelForm, Part
from signals.events.recorded import ANALOGS, OFFSETS, STOP, TARGET, TARGET_FIRST
from signals.models.heads import Head, QuantilesHead, ScoreHead
from signals.sleeves import SLEEVES
from tests.fakes.bundles import Recipe, golden_inputs
from tests.fakes.onnx_models import block, model, stump_node, stump_scores, value_info

LABEL = {"stop_atr": 1.0, "target_r": 1.0, "k": 30}
MAP = PlattMap(slope=2.0, intercept=-0.1)
HEADS: Mapping[str, Mapping[str, Head]] = {
    "event_gate": {"score": ScoreHead()},
    "event_quantiles": {"score": ScoreHead(), STOP: QuantilesHead((0.7,)), TARGET: QuantilesHead((0.6,))},
    "event_arms": {name: ScoreHead() for name in OFFSETS},
}


def said(sleeve: str, head: str, inputs: np.ndarray) -> np.ndarray:
    """What a head of the bundle says of rows of features, before any map."""
    return stump_scores(inputs, seed=3 + list(HEADS[sleeve]).index(head))


def recipe(sleeve: str, *, label: object = LABEL, event: str = TARGET_FIRST, net: str | None = None, **changes: Any) -> Recipe:
    """A bundle of one of the sleeves; without an `event` a gate has no map, with a `net` it reads what past events made by it."""
    spec = (SLEEVES[sleeve].given(ANALOGS) if net else SLEEVES[sleeve]).spec
    heads, width = HEADS[sleeve], len(spec)
    nodes = [stump_node(width, seed=3 + place, output=name) for place, name in enumerate(heads)]
    graph = model(nodes, width, outputs=b"".join(block(12, value_info(name, ["N", 1])) for name in heads))
    rows = golden_inputs(width)
    mapped = AppliedCalibration(event=event, map=MAP) if sleeve == "event_gate" and event else None
    lines = tuple(HeadLine(name=name, head=head, calibration=mapped) for name, head in heads.items())
    training = json.dumps({"config": {"label": label}}).encode()
    made = replace(
        Recipe(),
        files={**Recipe().files, "model.onnx": (Part.MODEL, graph), "training.json": (Part.TRAINING, training)},
        golden=Golden({FEATURES: rows}, {name: said(sleeve, name, rows)[:, None] for name in heads}),
        form=ModelForm(heads=lines),
        spec=spec,
        sleeve=sleeve,
        analogs_sha256=net,
    )
    return replace(made, **changes)
