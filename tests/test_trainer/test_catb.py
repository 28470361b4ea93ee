"""CatBoost as we use it: equal models have equal bytes, and what it would export wrongly is refused."""

from __future__ import annotations

import json

import catboost
import numpy as np
import onnxruntime
import pytest

from signals.errors import FixInput, InvariantBroken, LearnerFailed
from trainer.learners.catb import CatBoost, CatBoostModel, canonical
from trainer.learners.parameters import CatBoostConfig, Objective

SMALL = CatBoostConfig(trees=8, depth=3)
NAMES = ("a", "b")


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1000, 2)).astype(np.float32)
    return features, features[:, 0] + rng.normal(size=1000)


def saved(model: catboost.CatBoost, tmp_path) -> bytes:  # type: ignore[no-untyped-def]
    path = tmp_path / "model.json"
    model.save_model(str(path), format="json")
    return path.read_bytes()


def native(**more: object) -> catboost.CatBoost:
    quiet = {"iterations": 3, "allow_writing_files": False, "logging_level": "Silent", "thread_count": 1}
    return catboost.CatBoost({**quiet, **more})


def test_the_text_says_nothing_of_when_and_where_it_was_fitted() -> None:
    model = CatBoost(SMALL, 1).fit(*rows(), np.ones(1000), NAMES)
    assert set(json.loads(model.to_text())) == {"features_info", "model_info", "oblivious_trees", "scale_and_bias"}
    assert json.loads(model.to_text())["model_info"] == {}


def test_a_classifier_s_graph_gives_the_raw_score_without_labels_or_zipmap() -> None:
    features, target = rows()
    config = SMALL.model_copy(update={"objective": Objective.EXTREMES})
    model = CatBoost(config, 1).fit(features, target, np.ones(1000), NAMES)
    session = onnxruntime.InferenceSession(model.to_onnx(), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["score"]
    scores = session.run(None, {"features": features})[0]
    assert scores.shape == (1000, 1) and scores.min() < 0 < scores.max()
    np.testing.assert_allclose(scores[:, 0], model.predict(features), atol=1e-6)


def test_categorical_features_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    features, target = rows()
    codes = np.column_stack([features[:, 0].astype(object), (features[:, 1] > 0).astype(int).astype(str)])
    model = native()
    model.fit(catboost.Pool(codes, target, cat_features=[1]))
    with pytest.raises(InvariantBroken, match="no exact export"):
        canonical(saved(model, tmp_path))


def test_trees_that_are_not_symmetric_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = native(grow_policy="Lossguide", max_leaves=5)
    model.fit(*rows())
    with pytest.raises(InvariantBroken, match="symmetric"):
        canonical(saved(model, tmp_path))


def test_what_the_library_refuses_is_said_in_our_words() -> None:
    flat = np.ones((100, 1), dtype=np.float32)
    with pytest.raises(LearnerFailed, match=r"CatBoost: .*constant"):
        CatBoost(SMALL, 1).fit(flat, np.arange(100.0), np.ones(100), ("flat",))


def test_another_seed_gives_another_model() -> None:
    one, two = (CatBoost(SMALL, seed).fit(*rows(), np.ones(1000), NAMES) for seed in (1, 2))
    assert isinstance(one, CatBoostModel) and one.to_text() != two.to_text()


def test_a_graph_of_another_kind_is_refused() -> None:
    import onnx
    from onnx import TensorProto, helper

    from trainer.learners.catb import raw_score_graph

    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info], [info])
    with pytest.raises(FixInput, match="Relu"):
        raw_score_graph(onnx.helper.make_model(graph), 1)
