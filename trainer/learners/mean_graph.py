"""The ONNX graph of an average: the graphs of its members, joined by one mean."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from signals.errors import InvariantBroken


def with_output(content: bytes, name: str) -> bytes:
    """Return the graph with its one output under another name: a bundle's heads each have their own."""
    model = onnx.load_from_string(content)
    [given] = model.graph.output
    for node in model.graph.node:
        node.output[:] = [name if output == given.name else output for output in node.output]
    given.name = name
    onnx.checker.check_model(model)
    renamed: bytes = model.SerializeToString(deterministic=True)
    return renamed


def mean_graph(graphs: Sequence[bytes]) -> bytes:
    """Join graphs of one learner into one that gives the mean of their scores; the same bytes every time.

    Raises
    ------
    InvariantBroken
        They differ in version, input or output.
    """
    models = [onnx.load_from_string(content) for content in graphs]
    first = models[0]
    heads = {
        (one.ir_version, *(part.SerializeToString(deterministic=True) for part in (*one.opset_import, *one.graph.input, *one.graph.output)))
        for one in models
    }
    if len(heads) > 1 or [part.name for part in first.graph.input] != ["features"]:
        raise InvariantBroken("graphs of different learners have no mean")
    nodes, constants = list[onnx.NodeProto](), list[onnx.TensorProto]()
    for number, one in enumerate(models):
        for node in one.graph.node:
            inputs, outputs = ([_own(name, number) for name in names] for names in (node.input, node.output))
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            del copy.input[:], copy.output[:]
            copy.input.extend(inputs)
            copy.output.extend(outputs)
            copy.name = _own(node.name, number)
            nodes.append(copy)
        for tensor in one.graph.initializer:
            own = onnx.TensorProto()
            own.CopyFrom(tensor)
            own.name = _own(tensor.name, number)
            constants.append(own)
    nodes.append(helper.make_node("Mean", [_own("score", number) for number in range(len(models))], ["score"]))
    graph = helper.make_graph(nodes, "score", first.graph.input, first.graph.output, constants)
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version, producer_name="trademl")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _own(name: str, number: int) -> str:
    """Name of a value inside one member's part; what all read, and what is left out, keep theirs."""
    return name if name in ("", "features") else f"m{number}_{name}"
