"""The XGBoost learner: deterministic fits, and trees that an ONNX graph holds exactly.

XGBoost sends a row to the left when x < c, c a float32: that is x <= the float32 before c, which is what a graph compares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import numpy as np
import xgboost

from signals.errors import LearnerFailed
from signals.market.bars import Floats
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Matrix, Rows, check_rows
from trainer.learners.boosted import BoostedModel
from trainer.learners.objectives import directions, group_means, learned, newest_apart
from trainer.learners.parameters import BOOSTED_FIELDS, Objective, XgBoostConfig
from trainer.learners.trees import Tree, trees_to_onnx

OBJECTIVES: dict[Objective, dict[str, object]] = {
    Objective.REGRESSION: {"objective": "reg:squarederror"},
    Objective.QUANTILE: {"objective": "reg:quantileerror"},
    Objective.RANK: {"objective": "rank:ndcg", "lambdarank_pair_method": "topk", "base_score": 0.0},
    Objective.EXTREMES: {"objective": "binary:logistic", "base_score": 0.5},  # even odds: their logarithm is 0
}


class XgBoostTree(TypedDict):
    """A tree of XGBoost's JSON form."""

    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    default_left: list[int]


class XgBoostDocument(TypedDict):
    """What is read of the part `learner` of XGBoost's JSON form."""

    learner_model_param: dict[str, str]
    objective: dict[str, object]
    gradient_booster: dict[str, dict[str, list[XgBoostTree]]]


@dataclass(frozen=True)
class XgBoost:
    """The learner, on one thread. With `classes`, two or more, targets are the numbers of classes, whatever the objective."""

    config: XgBoostConfig
    seed: int
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> XgBoostModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)

        def data(rows: Rows) -> xgboost.DMatrix:
            return self._data(features, target, weight, sessions, rows)

        trees = self.config.trees
        if self.config.patience:
            fitted, newest = newest_apart(sessions, len(target), self.config)
            trees = self._train(data(fitted), names, trees, data(newest)).best_iteration + 1
        booster = self._train(data(np.arange(len(target))), names, trees, None)
        return XgBoostModel(booster.save_raw("json").decode(), names)

    def _data(self, features: Matrix, target: Floats, weight: Floats, sessions: Rows | None, rows: Rows) -> xgboost.DMatrix:
        """The chosen rows with what the objective makes of their targets."""
        rows, label, sizes = learned(self.config, self.classes, rows, target, sessions)
        shares = weight[rows] if sizes is None else group_means(weight[rows], sizes)
        return xgboost.DMatrix(features[rows], label=label, weight=shares, group=sizes, nthread=1)

    def _train(self, data: xgboost.DMatrix, names: tuple[str, ...], trees: int, held: xgboost.DMatrix | None) -> xgboost.Booster:
        """Fit; where rows are `held` back, until they got no better for as long as patience lasts."""
        stop = {} if held is None else {"evals": [(held, "held")], "early_stopping_rounds": self.config.patience, "verbose_eval": False}
        constraints = {"monotone_constraints": tuple(directions(names, self.config))} if self.config.monotone else {}
        try:
            return xgboost.train({**self._parameters(), **constraints}, data, num_boost_round=trees, **stop)
        except xgboost.core.XGBoostError as error:
            raise LearnerFailed(f"XGBoost: {reason_of(error)}", fix="Correct the parameters or the features") from None

    def _parameters(self) -> dict[str, object]:
        shape: dict[str, object] = self.config.model_dump(exclude={"trees", *BOOSTED_FIELDS})
        several = {"objective": "multi:softprob", "num_class": self.classes, "base_score": 0.0}
        alpha = {"quantile_alpha": self.config.quantile} if self.config.objective is Objective.QUANTILE else {}
        asked = several if self.classes else {**OBJECTIVES[self.config.objective], **alpha}
        return {**shape, **asked, "tree_method": "hist", "device": "cpu", "seed": self.seed, "nthread": 1, "verbosity": 0}


@dataclass(frozen=True)
class XgBoostModel(BoostedModel):
    """Fitted trees, held as XGBoost's JSON; SHAP values are exact to the last bits of a float32."""

    @cached_property
    def _booster(self) -> xgboost.Booster:
        return xgboost.Booster({"nthread": 1}, model_file=bytearray(self.text.encode()))

    @cached_property
    def _document(self) -> XgBoostDocument:
        learner: XgBoostDocument = json.loads(self.text)["learner"]
        return learner

    def to_onnx(self) -> bytes:
        """ONNX graph of the same trees."""
        trees = tuple(_tree(document) for document in self._document["gradient_booster"]["model"]["trees"])
        return trees_to_onnx(trees, len(self.names), self.head.width, self._base())

    def _width(self) -> int:
        return max(1, int(self._document["learner_model_param"]["num_class"]))

    def _sums(self, features: Matrix) -> Floats:
        return np.asarray(self._booster.predict(xgboost.DMatrix(features, nthread=1), output_margin=True))

    def _gains(self) -> Floats:
        found = self._booster.get_score(importance_type="total_gain")
        return np.array([found.get(f"f{number}", 0.0) for number in range(len(self.names))])

    def _shap(self, features: Matrix) -> Floats:
        return np.asarray(self._booster.predict(xgboost.DMatrix(features, nthread=1), pred_contribs=True))

    def _base(self) -> list[float]:
        """What every row's sums begin with; XGBoost writes probabilities where it has a link."""
        written = np.atleast_1d(json.loads(self._document["learner_model_param"]["base_score"])).astype(np.float64)
        if self._document["objective"]["name"] == "binary:logistic":
            written = np.log(written / (1.0 - written))
        return np.resize(written, self.head.width).tolist()


def _tree(document: XgBoostTree) -> Tree:
    """Read a tree: inner nodes and leaves are renumbered, each in XGBoost's order."""
    left = np.array(document["left_children"], dtype=np.int64)
    is_leaf = left < 0
    number = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    inner = np.flatnonzero(~is_leaf)
    values = np.array(document["split_conditions"], dtype=np.float32)
    return Tree(
        feature=np.array(document["split_indices"], dtype=np.int64)[inner],
        threshold=np.nextafter(values[inner], np.float32(-np.inf)).astype(np.float64),
        left=number[left[inner]],
        right=number[np.array(document["right_children"], dtype=np.int64)[inner]],
        nan_goes_left=np.array(document["default_left"], dtype=bool)[inner],
        leaf=values[is_leaf].astype(np.float64),
    )
