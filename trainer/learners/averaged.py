"""Seed averaging: one learner fitted with several seeds, scored by the mean of its models.

What one seed rather than another does to a model is chance. The mean of several holds less of it, so that a model that
is trained again on a week more ranks names nearly as the one before. A bundle carries each model as an ONNX file of its
own; whoever scores takes their mean (`signals.inference.predict`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from trainer.learners.base import FitDevice, Learner, Matrix, Model, Rows

STRIDE = 100_003  # between the seeds of one average: those of two neighbouring `--seed` never meet


@dataclass(frozen=True)
class Averaged:
    """Learners that differ in their seed."""

    members: tuple[Learner, ...]

    @property
    def device(self) -> FitDevice:
        """Where they fit."""
        return self.members[0].device

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> AveragedModel:
        """Fit each on all rows."""
        return AveragedModel(tuple(member.fit(features, target, weight, names, sessions) for member in self.members))


@dataclass(frozen=True)
class AveragedModel:
    """Fitted models whose mean is the score."""

    members: tuple[Model, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names."""
        return self.members[0].names

    def predict(self, features: Matrix) -> Floats:
        """Mean of the members' scores, float64, shape (n,)."""
        mean: Floats = np.mean([member.predict(features) for member in self.members], axis=0)
        return mean

    def to_onnx(self) -> bytes:
        """ONNX graph of all members, whose scores meet in one mean."""
        return mean_graph([member.to_onnx() for member in self.members])

    def to_text(self) -> str:
        """A JSON list of the members' texts."""
        return json.dumps([member.to_text() for member in self.members])

    def importance(self) -> Floats:
        """Mean of the members' shares."""
        mean: Floats = np.mean([member.importance() for member in self.members], axis=0)
        return mean

    def contributions(self, features: Matrix) -> Floats:
        """Mean of the members' SHAP values, which sum to the mean score."""
        mean: Floats = np.mean([member.contributions(features) for member in self.members], axis=0)
        return mean


def seeds_of(seed: int, count: int) -> tuple[int, ...]:
    """Return the seeds of an average of `count`; the first is `seed` itself."""
    return tuple(seed + number * STRIDE for number in range(count))


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
