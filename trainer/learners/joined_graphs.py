"""Graphs made of graphs: those of an ensemble's members, joined by what ends them, and one that reads some features of all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from signals.errors import InvariantBroken


def with_output(content: bytes, name: str) -> bytes:
    """Return the graph with its one output under another name: a bundle's heads each have their own."""
    model = onnx.load_from_string(content)
    [given] = model.graph.output
    for node in model.graph.node:
        node.output[:] = [name if output == given.name else output for output in node.output]
    given.name = name
    return _checked(model)


def with_columns(content: bytes, columns: Sequence[int], count: int) -> bytes:
    """Return the graph on some columns of `count` features: the last axis of its input is gathered first."""
    model = onnx.load_from_string(content)
    [given] = model.graph.input
    for node in model.graph.node:
        node.input[:] = ["chosen" if name == given.name else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Gather", [given.name, "columns"], ["chosen"], axis=-1))
    model.graph.initializer.append(numpy_helper.from_array(np.array(columns, dtype=np.int64), "columns"))
    given.type.tensor_type.shape.dim[-1].dim_value = count
    return _checked(model)


def mean_graph(graphs: Sequence[bytes]) -> bytes:
    """Join graphs into one that gives the mean of their outputs; the same bytes every time."""
    width = _shape(onnx.load_from_string(graphs[0]).graph.output[0])[1]
    return joined(graphs, lambda outputs: [helper.make_node("Mean", outputs, ["score"])], {}, width)


def mixed_graph(graphs: Sequence[bytes], weights: np.ndarray[Any, Any], constant: np.ndarray[Any, Any]) -> bytes:
    """Join graphs into one that gives [outputs of all] @ weights + constant, weights (sum of widths, width)."""

    def ending(outputs: list[str]) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Concat", outputs, ["members"], axis=1),
            helper.make_node("MatMul", ["members", "weights"], ["mixed"]),
            helper.make_node("Add", ["mixed", "constant"], ["score"]),
        ]

    numbers = {"weights": weights.astype(np.float32), "constant": constant.astype(np.float32)}
    return joined(graphs, ending, numbers, weights.shape[1])


def ordered_graph(one: bytes, other: bytes) -> bytes:
    """Join two graphs of one output each into one that gives the lower and the higher of the two."""

    def ending(outputs: list[str]) -> list[onnx.NodeProto]:
        ends = [helper.make_node(kind, outputs, [name]) for kind, name in (("Min", "low"), ("Max", "high"))]
        return [*ends, helper.make_node("Concat", ["low", "high"], ["score"], axis=1)]

    return joined((one, other), ending, {}, 2)


def joined(graphs: Sequence[bytes], ending: Any, constants: Mapping[str, np.ndarray[Any, Any]], width: int | None) -> bytes:
    """Join graphs that read the same `features`, ended by the operators that `ending` makes of the names of their outputs.

    Raises
    ------
    InvariantBroken
        They read other shapes, or were written for other versions of the operators.
    """
    models = [onnx.load_from_string(content) for content in graphs]
    versions: dict[str, set[int]] = {}
    for one in models:
        for opset in one.opset_import:
            versions.setdefault(opset.domain, set()).add(opset.version)
    reads = {tuple((value.name, _shape(value)) for value in one.graph.input) for one in models}
    is_one_input = len(reads) == 1 and [part.name for part in models[0].graph.input] == ["features"]
    if not is_one_input or any(len(found) > 1 for found in versions.values()):
        raise InvariantBroken("graphs of different inputs or versions have no mean, nor any other mixture")
    nodes, tensors, outputs = list[onnx.NodeProto](), list[onnx.TensorProto](), list[str]()
    for number, one in enumerate(models):
        for node in one.graph.node:
            inside, outside = ([_own(name, number) for name in names] for names in (node.input, node.output))
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            del copy.input[:], copy.output[:]
            copy.input.extend(inside)
            copy.output.extend(outside)
            copy.name = _own(node.name, number)
            nodes.append(copy)
        for tensor in one.graph.initializer:
            own = onnx.TensorProto()
            own.CopyFrom(tensor)
            own.name = _own(tensor.name, number)
            tensors.append(own)
        outputs.append(_own(one.graph.output[0].name, number))
    nodes += ending(outputs)
    tensors += [numpy_helper.from_array(value, name) for name, value in constants.items()]
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, width])
    graph = helper.make_graph(nodes, "score", models[0].graph.input, [score], tensors)
    opsets = [helper.make_opsetid(domain, found.pop()) for domain, found in sorted(versions.items())]
    version = max(one.ir_version for one in models)
    return _checked(helper.make_model(graph, opset_imports=opsets, ir_version=version, producer_name="trademl"))


def _checked(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Sizes of a value's axes, None where the graph leaves one open."""
    return tuple(one.dim_value if one.HasField("dim_value") else None for one in value.type.tensor_type.shape.dim)


def _own(name: str, number: int) -> str:
    """Name of a value inside one member's part; what all read, and what is left out, keep theirs."""
    return name if name in ("", "features") else f"m{number}_{name}"
