"""No model leaves that its ONNX form does not reproduce."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from signals.bundle.graph import check_model
from signals.errors import InvariantBroken
from signals.models.inference import predict
from tests.test_trainer.test_lgbm import NAMES, SMALL, fit, rows
from trainer.learners.export import TOLERANCE, export
from trainer.learners.lgbm import LightGbm, LightGbmConfig, LightGbmModel
from trainer.learners.trees import Tree, read_trees, trees_to_onnx


def test_native_and_onnx_agree_on_nan_rows_raw_dollar_volumes_and_epoch_seconds() -> None:
    """The features at which a plain conversion goes wrong by up to a leaf."""
    features, _ = rows(seed=11, count=20_000)
    features[::9] = np.nan
    features[1::9, 1] = 0.0
    features[2::9, 1] = np.float32(3e38)
    exported = export(fit(), features)
    assert exported.parity.rows == 20_000
    assert exported.parity.rows_with_nan > 2_000
    assert exported.parity.max_difference <= 1e-6 < TOLERANCE


def test_rows_exactly_on_and_next_to_every_threshold_agree() -> None:
    model = fit()
    features, _ = rows()
    base = features[np.isfinite(features).all(axis=1)][0]
    near = []
    for tree in read_trees(model.to_text()):
        for feature, threshold in zip(tree.feature, tree.threshold.astype(np.float32), strict=True):
            for value in (threshold, np.nextafter(threshold, np.float32(np.inf)), np.nextafter(threshold, np.float32(-np.inf))):
                row = base.copy()
                row[feature] = value
                near.append(row)
    assert export(model, np.array(near, dtype=np.float32)).parity.max_difference <= 1e-6


def test_a_nan_where_training_saw_none_is_compared_as_zero_by_both() -> None:
    """LightGBM reads a NaN as 0 at nodes that saw no NaN; ONNX would send it right."""
    features, target = rows()
    features = np.nan_to_num(features, nan=0.5)
    model = LightGbm(SMALL, 1).fit(features, target, np.ones(len(target)), NAMES)
    features[::2, 0] = np.nan
    features[1::2, 2] = np.nan
    assert export(model, features).parity.max_difference <= 1e-6


def test_a_model_that_learned_nothing_still_exports() -> None:
    features, _ = rows()
    model = LightGbm(LightGbmConfig(trees=3, min_data_in_leaf=4000), 1).fit(features, np.ones(4000), np.ones(4000), NAMES)
    assert export(model, features).parity.max_difference <= 1e-6
    assert model.importance().tolist() == [0.0] * 4


def test_the_graph_is_one_a_device_accepts_and_the_same_every_time() -> None:
    content = fit().to_onnx()
    assert content == fit().to_onnx()
    assert check_model(content, "model.onnx").nodes == 1
    proto = onnx.load_from_string(content)
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["features", "score"]


def test_one_tree_by_hand() -> None:
    """x0 <= 1.5 ? (NaN goes left) 10 : (x1 <= -2 ? 20 : 30, NaN goes right)."""
    tree = Tree(
        feature=np.array([0, 1]),
        threshold=np.array([1.5, -2.0]),
        left=np.array([~0, ~1]),
        right=np.array([1, ~2]),
        nan_goes_left=np.array([True, False]),
        leaf=np.array([10.0, 20.0, 30.0]),
    )
    inputs = np.array([[1.5, 0], [1.6, -2], [1.6, 0], [np.nan, 0], [2, np.nan]], dtype=np.float32)
    assert predict([trees_to_onnx((tree,), 2)], inputs).tolist() == [10, 20, 30, 10, 30]


@dataclass(frozen=True)
class Liar:
    """A model whose ONNX form is another model."""

    told: LightGbmModel
    exported: LightGbmModel

    names = NAMES

    def predict(self, features: np.ndarray) -> np.ndarray:
        return self.told.predict(features)

    def to_onnx(self) -> bytes:
        return self.exported.to_onnx()

    def to_text(self) -> str:
        return self.told.to_text()

    def importance(self) -> np.ndarray:
        return self.told.importance()


def test_an_export_that_differs_is_refused() -> None:
    features, _ = rows()
    with pytest.raises(InvariantBroken, match="differ from the native ones"):
        export(Liar(fit(seed=3), fit(seed=4)), features)


def test_a_score_that_is_not_a_number_is_refused() -> None:
    class Broken(Liar):
        def predict(self, features: np.ndarray) -> np.ndarray:
            scores = self.told.predict(features)
            scores[-1] = np.nan
            return scores

    features, _ = rows()
    with pytest.raises(InvariantBroken, match="nan"):
        export(Broken(fit(), fit()), features)
