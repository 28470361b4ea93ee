"""What a bundle's parts refuse at their edges, each fault planted alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from signals.bundle.arrays import ArrayLine, unpacked
from signals.bundle.calibration import AppliedCalibration, IsotonicMap, probabilities
from signals.bundle.golden import read_golden
from signals.bundle.graph import check_model
from signals.bundle.manifest import BundleManifest, Part
from signals.bundle.profiles import ProfileName
from signals.errors import BundleRefused
from signals.models.heads import ScoreHead
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import SPEC, Recipe


def of_format_1() -> BundleManifest:
    """A manifest whose golden vectors are a document, as those of the format before were."""
    manifest = Recipe().manifest()
    files = tuple(file.model_copy(update={"arrays": ()}) if file.part is Part.GOLDEN else file for file in manifest.files)
    return manifest.model_copy(update={"files": files})


def test_arrays_of_another_length_than_their_shapes_are_refused() -> None:
    line = ArrayLine(name="means", dtype="float64", shape=(3,))
    assert unpacked(np.arange(3.0).tobytes(), [line], "b")["means"].tolist() == [0.0, 1.0, 2.0]
    for content in (b"", np.arange(2.0).tobytes(), np.arange(4.0).tobytes()):
        with pytest.raises(BundleRefused, match=r"bytes, not the 24 of its arrays"):
            unpacked(content, [line], "b")


def test_an_isotonic_map_rises_and_is_linear_between_its_knots() -> None:
    known = AppliedCalibration(event="it rises", map=IsotonicMap(knots=(-1.0, 1.0), levels=(0.25, 0.75)))
    said = probabilities(ScoreHead(), known, np.array([[-9.0], [0.0], [0.5], [9.0]]))
    assert said is not None
    assert said[:, 0].tolist() == [0.25, 0.5, 0.625, 0.75]
    for knots, levels, reason in (
        ((0.0,), (0.2, 0.3), "1 knots and 2 levels"),
        ((1.0, 0.0), (0.2, 0.3), "do not ascend"),
        ((0.0, 1.0), (0.3, 0.2), "or the levels fall"),
    ):
        with pytest.raises(ValidationError, match=reason):
            IsotonicMap(knots=knots, levels=levels)


def test_golden_vectors_of_the_format_before_are_read_or_refused() -> None:
    width = len(SPEC)
    good = {"inputs": [[0.0] * width, [1.0] * width], "scores": [0.5, 1.5]}
    assert read_golden(of_format_1(), json.dumps(good).encode(), "b").outputs["score"].tolist() == [[0.5], [1.5]]
    with pytest.raises(BundleRefused, match="golden vectors cannot be read"):
        read_golden(of_format_1(), b'{"scores": [1.0]}', "b")
    with pytest.raises(BundleRefused, match=rf"golden vectors of \(2,\) features, not {width}"):
        read_golden(of_format_1(), json.dumps({**good, "inputs": [[0.0, 1.0]] * 2}).encode(), "b")


def test_an_output_that_is_declared_twice_is_refused() -> None:
    twice = onnx.block(12, onnx.value_info("score", ["N", 1])) * 2
    with pytest.raises(BundleRefused, match="'score' is declared twice"):
        check_model(onnx.model([onnx.stump_node(len(SPEC))], len(SPEC), outputs=twice), "model.onnx", ProfileName.TABLE_1)


def test_a_manifest_reads_something_and_names_its_lineage() -> None:
    assert Recipe().manifest().lineage == "equities_xs evaluation 111111111111"
    with pytest.raises(ValidationError, match="the models read nothing"):
        Recipe(spec=()).manifest()
