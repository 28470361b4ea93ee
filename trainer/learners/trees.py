r"""Tree ensembles as arrays: parses LightGBM's text format, adapts thresholds to float32 and writes ONNX.

LightGBM compares float64 thresholds with features that the device holds in float32. A threshold that is not a float32
becomes one on export, and rows between the two go the other way: silently wrong by up to a leaf. Replacing every
threshold c by the largest float32 <= c first changes no decision for float32 features x, because no float32 is in
between: x <= c exactly when x <= floor32(c).

LightGBM also reads every |x| <= 1e-35 as 0. `read_trees` moves thresholds inside that band to its edge, where an
ordinary comparison decides as LightGBM does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from signals.errors import InvariantBroken
from trainer.learners.base import Matrix

CATEGORICAL_BIT, DEFAULT_LEFT_BIT, MISSING_SHIFT = 1, 2, 2
MISSING_AS_ZERO, MISSING_IS_NAN = 1, 2  # of decision_type's bits 2 and 3; 0: a NaN is compared as 0
ZERO_BAND = np.float32(1e-35)  # LightGBM's kZeroThreshold
OPSET, ML_OPSET, IR_VERSION = 18, 3, 9
Columns = dict[str, list[float | int | str]]


@dataclass(frozen=True, eq=False)
class Tree:
    """One regression tree: m inner nodes, m + 1 leaves.

    Attributes
    ----------
    feature : int64, shape (m,)
    threshold : float64, shape (m,)
        A row goes left when its value <= threshold.
    left, right : int64, shape (m,)
        Inner node, or ~leaf when negative.
    nan_goes_left : bool, shape (m,)
    leaf : float64, shape (m + 1,) or (m + 1, width)
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    nan_goes_left: NDArray[np.bool_]
    leaf: NDArray[np.float64]


def leaves_of(tree: Tree, features: Matrix) -> NDArray[np.int64]:
    """Leaf of each row float32 (n, F)."""
    node = np.zeros(len(features), dtype=np.int64) if len(tree.feature) else np.full(len(features), ~0)
    while len(inner := np.flatnonzero(node >= 0)):
        at = node[inner]
        values = features[inner, tree.feature[at]]
        goes_left = (values <= tree.threshold[at]) | (np.isnan(values) & tree.nan_goes_left[at])
        node[inner] = np.where(goes_left, tree.left[at], tree.right[at])
    return ~node


def floor_to_float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest float32 that is <= each value, as float64."""
    nearest = values.astype(np.float32)
    above = nearest.astype(np.float64) > values
    return np.where(above, np.nextafter(nearest, np.float32(-np.inf)), nearest).astype(np.float64)


def with_float32_thresholds(text: str) -> str:
    """Return LightGBM's model text with every threshold floored to float32.

    The byte sizes of the trees, which the flooring changes, are left out: LightGBM then reads the trees in sequence.
    """
    lines = []
    for line in text.split("\n"):
        if line.startswith("threshold="):
            floored = floor_to_float32(_numbers(line.removeprefix("threshold=")))
            lines.append("threshold=" + " ".join(f"{value:.17g}" for value in floored))
        elif not line.startswith("tree_sizes="):
            lines.append(line)
    return "\n".join(lines)


def read_trees(text: str) -> tuple[Tree, ...]:
    """Read the trees of LightGBM's model text.

    Raises
    ------
    InvariantBroken
        Categorical splits, linear leaves or zero-as-missing: shapes that no export of ours reproduces.
    """
    body = text.split("\nend of trees", 1)[0]
    trees = []
    for block in body.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.split("\n")[1:] if "=" in line)
        trees.append(_tree(fields, where=f"tree {block.split(chr(10), 1)[0]}"))
    return tuple(trees)


def _tree(fields: dict[str, str], *, where: str) -> Tree:
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise InvariantBroken("categorical splits and linear leaves have no exact export", where=where)
    if int(fields["num_leaves"]) == 1:
        none = np.zeros(0, dtype=np.int64)
        return Tree(none, np.zeros(0), none, none, np.zeros(0, dtype=bool), _numbers(fields["leaf_value"]))
    decision = _numbers(fields["decision_type"]).astype(np.int64)
    missing = (decision >> MISSING_SHIFT) & 3
    if bool(np.any(decision & CATEGORICAL_BIT)) or bool(np.any(missing == MISSING_AS_ZERO)):
        raise InvariantBroken("categorical or zero-as-missing decisions have no exact export", where=where)
    threshold = _outside_zero_band(_numbers(fields["threshold"]))
    default_left = (decision & DEFAULT_LEFT_BIT) != 0
    return Tree(
        feature=_numbers(fields["split_feature"]).astype(np.int64),
        threshold=threshold,
        left=_numbers(fields["left_child"]).astype(np.int64),
        right=_numbers(fields["right_child"]).astype(np.int64),
        nan_goes_left=np.where(missing == MISSING_IS_NAN, default_left, threshold >= 0.0),
        leaf=_numbers(fields["leaf_value"]),
    )


def _outside_zero_band(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds that send all of [-1e-35, 1e-35] the way that 0 goes."""
    below = np.float64(np.nextafter(-ZERO_BAND, np.float32(-np.inf)))
    moved: NDArray[np.float64] = np.where((threshold >= -np.float64(ZERO_BAND)) & (threshold < 0.0), below, threshold)
    return np.where((moved >= 0.0) & (moved < ZERO_BAND), np.float64(ZERO_BAND), moved)


def trees_to_onnx(trees: tuple[Tree, ...], feature_count: int, width: int = 1, base: Sequence[float] = ()) -> bytes:
    """Write the sums of `trees`, and `base`, as one ONNX graph: `features` float32 [n, F] -> `score` float32 [n, width].

    With several outputs the trees belong to them by turns, unless a leaf has a value for each.
    """
    return written([tree_node(trees, "features", "score", width, base)], feature_count, width)


def tree_node(trees: tuple[Tree, ...], inputs: str, outputs: str, width: int, base: Sequence[float] = ()) -> onnx.NodeProto:
    """Return the operator that sums `trees`."""
    columns: Columns = {name: [] for name in _NODE_COLUMNS}
    targets: Columns = {name: [] for name in _TARGET_COLUMNS}
    for number, tree in enumerate(trees):
        _add_tree(number, tree, number % width, columns, targets)
    attributes: dict[str, object] = {"n_targets": width, "aggregate_function": "SUM", "post_transform": "NONE", **columns, **targets}
    if len(base):
        attributes["base_values"] = [float(value) for value in base]
    node = helper.make_node("TreeEnsembleRegressor", [inputs], [outputs], domain="ai.onnx.ml")
    node.attribute.extend(helper.make_attribute(name, value) for name, value in sorted(attributes.items()))
    return node


def written(nodes: Sequence[onnx.NodeProto], feature_count: int, width: int, constants: Mapping[str, ArrayLike] | None = None) -> bytes:
    """Write a graph of operators: `features` float32 [n, F] -> `score` float32 [n, width]; the same bytes every time."""
    graph = helper.make_graph(
        nodes,
        "score",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, feature_count])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, width])],
        initializer=[numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    domains = {"": OPSET, "ai.onnx.ml": ML_OPSET}
    used = [
        helper.make_opsetid(name, version) for name, version in domains.items() if not name or any(name == node.domain for node in nodes)
    ]
    model = helper.make_model(graph, opset_imports=used, ir_version=IR_VERSION, producer_name="trademl")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


_NODE_COLUMNS = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
_TARGET_COLUMNS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _add_tree(number: int, tree: Tree, output: int, columns: Columns, targets: Columns) -> None:
    """Append one tree: inner nodes keep their numbers, leaf l becomes node m + l."""
    inner = len(tree.feature)

    def child(index: int) -> int:
        return index if index >= 0 else inner + ~index

    rows: list[tuple[float | int | str, ...]] = [
        (
            number,
            n,
            int(tree.feature[n]),
            "BRANCH_LEQ",
            float(tree.threshold[n]),
            child(int(tree.left[n])),
            child(int(tree.right[n])),
            int(tree.nan_goes_left[n]),
        )
        for n in range(inner)
    ]
    rows += [(number, inner + leaf, 0, "LEAF", 0.0, 0, 0, 0) for leaf in range(len(tree.leaf))]
    for row in rows:
        for name, value in zip(_NODE_COLUMNS, row, strict=True):
            columns[name].append(value)
    for leaf, values in enumerate(tree.leaf.reshape(inner + 1, -1)):
        for place, value in enumerate(values):
            for name, entry in zip(targets, (number, inner + leaf, output if len(values) == 1 else place, float(value)), strict=True):
                targets[name].append(entry)


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), dtype=np.float64)
