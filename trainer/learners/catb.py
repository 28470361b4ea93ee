"""The CatBoost learner, with its JSON model form and ONNX export.

Its borders are float32 and its leaves sum like ours, so the export is exact for numeric features. What it writes beside
the trees (times, identifiers, the thread count) would make equal models differ and is left out.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import onnx
from catboost.utils import get_gpu_device_count
from onnx import helper

from signals.errors import FixInput, InvariantBroken, LearnerFailed
from signals.market.bars import Floats
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Matrix, Rows, check_rows, has_gpu_driver, on_cpu_alone
from trainer.learners.boosted import BoostedModel
from trainer.learners.objectives import directions, group_means, learned, newest_apart
from trainer.learners.parameters import CatBoostConfig, Objective
from trainer.learners.trees import written

NUMERIC_ONLY = "float_features"


@dataclass(frozen=True)
class CatBoost:
    """The learner, on one thread: the same rows, seed and device, the same model.

    With `classes`, two or more, targets are the numbers of classes, whatever the objective.
    """

    config: CatBoostConfig
    seed: int
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> CatBoostModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        rows, trees = np.arange(len(target)), self.config.trees
        if self.config.patience:
            fitted, newest = newest_apart(sessions, len(target), self.config)
            whole = (features, target, weight, sessions)
            held = self._pool(*whole, names, newest)
            trees = self._train(self._pool(*whole, names, fitted), names, trees, held).get_best_iteration() + 1
        model = self._train(self._pool(features, target, weight, sessions, names, rows), names, trees, None)
        return CatBoostModel(canonical(_saved(model, "json")), names)

    def _pool(
        self, features: Matrix, target: Floats, weight: Floats, sessions: Rows | None, names: tuple[str, ...], rows: Rows
    ) -> catboost.Pool:
        """The chosen rows with what the objective makes of their targets."""
        rows, label, sizes = learned(self.config, self.classes, rows, target, sessions)
        if sizes is not None and sessions is not None:
            by_group = np.repeat(group_means(weight[rows], sizes), sizes)
            return catboost.Pool(features[rows], label, group_id=sessions[rows], group_weight=by_group, feature_names=list(names))
        if self.classes or self.config.objective is Objective.EXTREMES:
            label = label.astype(np.int64)  # ONNX knows no classes named by fractions
        return catboost.Pool(features[rows], label, weight=weight[rows], feature_names=list(names))

    def _train(self, pool: catboost.Pool, names: tuple[str, ...], trees: int, held: catboost.Pool | None) -> catboost.CatBoost:
        """Fit; where rows are `held` back, until they got no better for as long as patience lasts."""
        patience = {} if held is None else {"eval_set": held, "early_stopping_rounds": self.config.patience}
        constraints = {"monotone_constraints": directions(names, self.config)} if self.config.monotone else {}
        model = catboost.CatBoost({**self._parameters(), **constraints, "iterations": trees})
        try:
            model.fit(pool, **patience)
        except catboost.CatBoostError as error:
            raise LearnerFailed(f"CatBoost: {reason_of(error)}", fix="Correct the parameters or the features") from None
        return model

    def _parameters(self) -> dict[str, object]:
        config = self.config
        loss = {
            Objective.REGRESSION: "RMSE",
            Objective.QUANTILE: f"Quantile:alpha={config.quantile!r}",
            Objective.RANK: "YetiRank",
            Objective.EXTREMES: "Logloss",
        }[config.objective]
        # CatBoost's default leaves for quantiles ("Exact") ignore the rows' weights.
        leaves: dict[str, object] = {"leaf_estimation_method": "Gradient"} if config.objective is Objective.QUANTILE else {}
        if self.classes:
            loss, leaves = "MultiClass", {"classes_count": self.classes}
        on_gpu = {"task_type": "GPU", "devices": "0"} if self.device is FitDevice.CUDA else {"rsm": config.rsm}
        return {
            **on_gpu,
            **leaves,
            "loss_function": loss,
            "learning_rate": config.learning_rate,
            "depth": config.depth,
            "subsample": config.subsample,
            "l2_leaf_reg": config.l2_leaf_reg,
            "border_count": config.border_count,
            "bootstrap_type": "Bernoulli",
            "boosting_type": "Plain",
            "random_seed": self.seed,
            "thread_count": 1,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }


@dataclass(frozen=True)
class CatBoostModel(BoostedModel):
    """Fitted trees, held as CatBoost's JSON, sorted, without what says when and where it was fitted."""

    @cached_property
    def _native(self) -> catboost.CatBoost:
        model = catboost.CatBoost()
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(self.text.encode())
            file.flush()
            model.load_model(file.name, format="json")
        return model

    def to_onnx(self) -> bytes:
        """CatBoost's own ONNX export with our names and shapes, without its labels and ZipMap."""
        return raw_score_graph(onnx.load_from_string(_saved(self._native, "onnx")), len(self.names), self.head.width)

    def _width(self) -> int:
        biases = json.loads(self.text)["scale_and_bias"][1]
        return len(biases) if isinstance(biases, list) else 1

    def _sums(self, features: Matrix) -> Floats:
        return np.asarray(self._native.predict(features, prediction_type="RawFormulaVal", thread_count=1))

    def _gains(self) -> Floats:
        return np.asarray(self._native.get_feature_importance(type="PredictionValuesChange"))

    def _shap(self, features: Matrix) -> Floats:
        pool = catboost.Pool(features, feature_names=list(self.names))
        return np.asarray(self._native.get_feature_importance(pool, type="ShapValues", thread_count=1))


def catboost_device(wish: FitDevice) -> FitDevice:
    """Device for `wish`; "cuda" without a CUDA device is an error, never a silent fallback."""
    # Without NVIDIA's driver CatBoost's own count complains on standard error at every call.
    if wish is not FitDevice.CPU and has_gpu_driver() and get_gpu_device_count() > 0:
        return FitDevice.CUDA
    return on_cpu_alone(wish, "CatBoost")


def canonical(content: bytes) -> str:
    """CatBoost's JSON with sorted keys, of the trees and what they need only.

    Raises
    ------
    InvariantBroken
        Categorical, text or embedding features, or trees that are not symmetric: no export of them is exact.
    """
    document: dict[str, Any] = json.loads(content)
    kinds = [kind for kind, members in document["features_info"].items() if members and kind != NUMERIC_ONLY]
    if kinds or document.get("ctr_data"):
        raise InvariantBroken(f"a CatBoost model with {', '.join(kinds) or 'target statistics'} has no exact export")
    if "oblivious_trees" not in document:
        raise InvariantBroken("a CatBoost model without symmetric trees has no exact export")
    known = document["model_info"]
    document["model_info"] = {key: known[key] for key in ("class_params",) if key in known}
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def raw_score_graph(exported: onnx.ModelProto, feature_count: int, width: int = 1) -> bytes:
    """One TreeEnsembleRegressor of raw scores, `features` [n, F] -> `score` [n, width], from what CatBoost exports.

    A classifier's graph gives labels and probabilities through a ZipMap; its leaves hold the raw score once for each
    class, and of two that one score tells apart those of class 1 are the score.
    """
    ensemble = exported.graph.node[0]
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in ensemble.attribute}
    if ensemble.op_type == "TreeEnsembleClassifier":
        values = _of_classes(values, [1] if width == 1 else list(range(width)))
    elif ensemble.op_type != "TreeEnsembleRegressor":
        raise FixInput(f"CatBoost exported a {ensemble.op_type}", fix="Report this model")
    values |= {"post_transform": "NONE", "n_targets": width, "aggregate_function": "SUM"}
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["score"], domain="ai.onnx.ml", **dict(sorted(values.items())))
    return written([node], feature_count, width)


def _of_classes(values: dict[str, Any], classes: list[int]) -> dict[str, Any]:
    """What a regressor of these classes' raw scores has, from what the classifier of all of them has."""
    kept = {name: value for name, value in values.items() if name.startswith("nodes_")}
    at = [place for place, label in enumerate(values["class_ids"]) if label in classes]
    for there, here in (("treeids", "target_treeids"), ("nodeids", "target_nodeids"), ("weights", "target_weights")):
        kept[here] = [values[f"class_{there}"][place] for place in at]
    kept["target_ids"] = [classes.index(values["class_ids"][place]) for place in at]
    if values.get("base_values"):
        kept["base_values"] = list(values["base_values"])[-len(classes) :]
    return kept


def _saved(model: catboost.CatBoost, form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model.save_model(str(path), format=form)
        return path.read_bytes()
