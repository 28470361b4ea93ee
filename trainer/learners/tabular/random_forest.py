r"""The random forest: trees of random rows and features, whose mean is the score.

Of classes a leaf holds the logarithm of its smoothed shares, log((n p_k + 1 / K) / (n + 1)), so that sums of leaves are raw
scores: the trees' shares are multiplied, where the published forest adds them up. A missing feature is the mean of the
training rows, because scikit-learn's own way with one has no exact graph.

Source: Breiman 2001, "Random forests".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import helper
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from signals.errors import FixInput
from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import FitDevice, Matrix, Reduced, Rows, check_columns, check_rows, head_of_width, require_classes
from trainer.learners.parameters import RandomForestConfig
from trainer.learners.standardise import moments
from trainer.learners.trees import Tree, floor_to_float32, leaves_of, tree_node, written

FIELDS = ("feature", "threshold", "left", "right", "leaf")


@dataclass(frozen=True)
class RandomForest:
    """The learner. With `classes`, two or more, targets are the numbers of classes."""

    config: RandomForestConfig
    seed: int
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> ForestModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        config = self.config
        kind = RandomForestClassifier if self.classes else RandomForestRegressor
        if self.classes:
            require_classes(target, self.classes)
        forest = kind(
            n_estimators=config.trees,
            max_depth=config.max_depth,
            min_samples_leaf=config.min_leaf,
            max_samples=config.row_share if config.row_share < 1.0 else None,
            max_features=config.feature_share,
            random_state=self.seed,
            n_jobs=1,
        )
        mean, _ = moments(lambda: [features])
        forest.fit(np.where(np.isnan(features), mean, features), target, sample_weight=weight)
        trees = tuple(_tree(one.tree_, self.classes) for one in forest.estimators_)
        return ForestModel(names, tuple(mean.tolist()), trees, tuple(forest.feature_importances_.tolist()))


@dataclass(frozen=True, eq=False)
class ForestModel(Reduced):
    """The trees, what a missing feature is, and the share of each feature in what the splits explain."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    trees: tuple[Tree, ...]
    shares: tuple[float, ...]

    @property
    def head(self) -> Head:
        """One score, or one raw score a class."""
        return head_of_width(1 if self.trees[0].leaf.ndim == 1 else self.trees[0].leaf.shape[1])

    def outputs(self, features: Matrix) -> Floats:
        """Means of leaves, float64, shape (n, width)."""
        check_columns(features, self.names)
        filled = np.where(np.isnan(features), np.array(self.mean, dtype=np.float32), features)
        total = np.zeros((len(features), self.head.width))
        for tree in self.trees:
            total += tree.leaf.reshape(len(tree.leaf), -1)[leaves_of(tree, filled)]
        return total / len(self.trees)

    def to_onnx(self) -> bytes:
        """Three operators: fill what is missing, and sum."""
        shared = tuple(
            Tree(one.feature, one.threshold, one.left, one.right, one.nan_goes_left, one.leaf / len(self.trees)) for one in self.trees
        )
        nodes = [
            helper.make_node("IsNaN", ["features"], ["absent"]),
            helper.make_node("Where", ["absent", "mean", "features"], ["filled"]),
            tree_node(shared, "filled", "score", self.head.width),
        ]
        return written(nodes, len(self.names), self.head.width, {"mean": np.array(self.mean, dtype=np.float32)})

    def to_text(self) -> str:
        """Every number as JSON."""
        trees = [{field: getattr(tree, field).tolist() for field in FIELDS} for tree in self.trees]
        return json.dumps({"names": self.names, "mean": self.mean, "shares": self.shares, "trees": trees}, sort_keys=True)

    def importance(self) -> Floats:
        """Share of each feature in what the splits explain."""
        return np.array(self.shares)

    def contributions(self, features: Matrix) -> Floats:
        """Refuse: no library here computes a forest's exact SHAP values."""
        raise FixInput("a random forest has no exact SHAP values here", fix="Use permutation importance")


def read_forest(text: str) -> ForestModel:
    """Read what `ForestModel.to_text` wrote."""
    document = json.loads(text)
    trees = tuple(_read_tree(one) for one in document["trees"])
    return ForestModel(tuple(document["names"]), tuple(document["mean"]), trees, tuple(document["shares"]))


def _read_tree(document: Mapping[str, ArrayLike]) -> Tree:
    feature, left, right = (np.array(document[name], dtype=np.int64) for name in ("feature", "left", "right"))
    threshold, leaf = (np.array(document[name], dtype=np.float64) for name in ("threshold", "leaf"))
    return Tree(feature, threshold, left, right, np.zeros(len(feature), dtype=bool), leaf)


def _tree(fitted: Any, classes: int) -> Tree:
    """Read a tree of scikit-learn: inner nodes and leaves are renumbered, each in its order."""
    is_leaf = fitted.children_left < 0
    number = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    inner = ~is_leaf
    values = fitted.value[is_leaf, 0]
    rows = fitted.n_node_samples[is_leaf, None]
    return Tree(
        feature=fitted.feature[inner].astype(np.int64),
        threshold=floor_to_float32(fitted.threshold[inner]),
        left=number[fitted.children_left[inner]],
        right=number[fitted.children_right[inner]],
        nan_goes_left=np.zeros(int(inner.sum()), dtype=bool),
        leaf=np.log((rows * values + 1.0 / classes) / (rows + 1.0)) if classes else values[:, 0],
    )
