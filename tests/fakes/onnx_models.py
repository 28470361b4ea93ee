"""ONNX files written byte by byte, so that the device's tests need no ONNX library and can break every rule."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 5, 6, 7, 8


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def floats_attribute(name: str, values: Iterable[float]) -> bytes:
    body = b"".join(varint(7 << 3 | 5) + struct.pack("<f", v) for v in values)
    return block(5, block(1, name) + body + number(20, FLOATS))


def ints_attribute(name: str, values: Iterable[int]) -> bytes:
    return block(5, block(1, name) + b"".join(number(8, v) for v in values) + number(20, INTS))


def strings_attribute(name: str, values: Iterable[str]) -> bytes:
    return block(5, block(1, name) + b"".join(block(9, v) for v in values) + number(20, STRINGS))


def string_attribute(name: str, value: str) -> bytes:
    return block(5, block(1, name) + block(4, value) + number(20, STRING))


def int_attribute(name: str, value: int) -> bytes:
    return block(5, block(1, name) + number(3, value) + number(20, INT))


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", attributes: bytes = b"") -> bytes:
    names = b"".join(block(1, i) for i in inputs) + b"".join(block(2, o) for o in outputs)
    return names + block(4, operator) + attributes + (block(7, domain) if domain else b"")


def value_info(name: str, shape: Sequence[int | str], element: int = 1) -> bytes:
    dims = b"".join(block(1, block(2, d) if isinstance(d, str) else number(1, d)) for d in shape)
    return block(1, name) + block(2, block(1, number(1, element) + block(2, dims)))


def model(
    nodes: Sequence[bytes],
    width: int,
    *,
    opsets: Sequence[tuple[str, int]] = (("", 13), ("ai.onnx.ml", 3)),
    extra_graph: bytes = b"",
    extra_model: bytes = b"",
    inputs: bytes | None = None,
    outputs: bytes | None = None,
) -> bytes:
    graph = b"".join(block(1, n) for n in nodes) + block(2, "g")
    graph += inputs if inputs is not None else block(11, value_info("features", ["N", width]))
    graph += outputs if outputs is not None else block(12, value_info("score", ["N", 1]))
    imports = b"".join(block(8, (block(1, d) if d else b"") + number(2, v)) for d, v in opsets)
    return number(1, 8) + block(7, graph + extra_graph) + imports + extra_model


def stump_node(width: int, *, trees: int = 12, seed: int = 3, output: str = "score") -> bytes:
    """Stumps: tree i adds +w_i where feature f_i <= v_i (or is NaN), else -w_i; w_i is that of `stump_scores`."""
    feature, threshold, weight = stumps(width, trees, seed)
    spread = [(t, n) for t in range(trees) for n in range(3)]
    branch = [n == 0 for _, n in spread]
    attributes = b"".join(
        (
            int_attribute("n_targets", 1),
            ints_attribute("nodes_treeids", [t for t, _ in spread]),
            ints_attribute("nodes_nodeids", [n for _, n in spread]),
            ints_attribute("nodes_featureids", [0 if n else int(feature[t]) for t, n in spread]),
            floats_attribute("nodes_values", [0.0 if n else float(threshold[t]) for t, n in spread]),
            floats_attribute("nodes_hitrates", [1.0] * len(spread)),
            strings_attribute("nodes_modes", ["BRANCH_LEQ" if b else "LEAF" for b in branch]),
            ints_attribute("nodes_truenodeids", [1 if b else 0 for b in branch]),
            ints_attribute("nodes_falsenodeids", [2 if b else 0 for b in branch]),
            ints_attribute("nodes_missing_value_tracks_true", [1 if b else 0 for b in branch]),
            ints_attribute("target_treeids", [t for t, n in spread if n]),
            ints_attribute("target_nodeids", [n for _, n in spread if n]),
            ints_attribute("target_ids", [0] * (2 * trees)),
            floats_attribute("target_weights", [float(weight[t]) * (1 if n == 1 else -1) for t, n in spread if n]),
            string_attribute("post_transform", "NONE"),
        )
    )
    return node("TreeEnsembleRegressor", ["features"], [output], "ai.onnx.ml", attributes)


def stumps(width: int, trees: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    threshold = rng.normal(size=trees).astype(np.float32)
    return rng.integers(0, width, trees), threshold, rng.uniform(0.01, 0.1, trees).astype(np.float32)


def stump_scores(inputs: np.ndarray, *, trees: int = 12, seed: int = 3) -> np.ndarray:
    """What `stump_model` computes, in numpy: the independent oracle; float64 (n,)."""
    feature, threshold, weight = stumps(inputs.shape[1], trees, seed)
    chosen = inputs[:, feature]
    left = (chosen <= threshold) | np.isnan(chosen)
    return np.where(left, weight, -weight).astype(np.float64).sum(axis=1)


def stump_model(width: int, *, trees: int = 12, seed: int = 3) -> bytes:
    return model([stump_node(width, trees=trees, seed=seed)], width)


def nan_model(width: int) -> bytes:
    """A well-formed model whose every score is 0 / 0."""
    nodes = [
        node("Sub", ["features", "features"], ["zero"]),
        node("Div", ["zero", "zero"], ["nan"]),
        node("ReduceMean", ["nan"], ["score"], attributes=ints_attribute("axes", [1])),
    ]
    return model(nodes, width)


def last_of_windows(length: int, width: int) -> bytes:
    """A model that gives the features of a window's last session: `score` float32 (n, width)."""
    index = block(5, number(2, 7) + block(8, "i") + block(9, struct.pack("<q", length - 1)))
    return model(
        [node("Gather", ["features", "i"], ["score"], attributes=int_attribute("axis", 1))],
        width,
        inputs=block(11, value_info("features", ["N", length, width])),
        outputs=block(12, value_info("score", ["N", width])),
        extra_graph=index,
        opsets=(("", 13),),
    )
