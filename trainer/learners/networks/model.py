"""The network learner: any family, fitted by the one loop, with an exact export to ONNX."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from signals.errors import FixInput, InvariantBroken
from signals.market.bars import Floats
from signals.models.heads import Head, PatternHead, parts_of
from trainer.learners.base import FitDevice, Inputs, Matrix, Rows
from trainer.learners.networks.layers import Shape, by_feature, direction
from trainer.learners.networks.loop import Body, Lesson, Network, Training
from trainer.learners.networks.parameters import NetworkConfig

HEAD: TypeAdapter[Head] = TypeAdapter(Head)
OPSET = 18
CHUNK_ROWS, CHUNK_VALUES = 1024, 2**22
SENSITIVITY_ROWS = 2048


@dataclass(frozen=True)
class NetworkLearner:
    """The learner. The same rows, seed and device, the same model; `checkpoints` is where an interrupted fit goes on from."""

    training: Training
    checkpoints: Path | None = None

    @property
    def device(self) -> FitDevice:
        """Where it fits."""
        return self.training.device

    def fit(self, features: Inputs, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> NetworkModel:
        """Fit on samples float32 (n, *shape); targets finite, weights positive, features finite or NaN."""
        shape = tuple(features.shape[1:])
        _check_shape(shape, names)
        if len(features) != len(target):
            raise InvariantBroken(f"{len(features)} samples and {len(target)} targets")
        lesson, training = Lesson(features, target, weight, sessions), self.training
        network = training.network(lesson, self.checkpoints)
        state = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
        sensitivity = _sensitivity(network, lesson, training.head, len(names))
        return NetworkModel(training.family, training.body, training.config, training.head, names, shape, state, sensitivity)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """Fitted weights as arrays by layer name."""

    family: str
    body: Body
    config: NetworkConfig
    head: Head
    names: tuple[str, ...]
    shape: Shape
    state: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
    sensitivity: tuple[float, ...]
    pseudo: Mapping[str, int] = field(default_factory=dict)  # rows of each class that a net before it named

    def predict(self, features: Inputs) -> Floats:
        """Scores, float64, shape (n,): the outputs reduced to what ranks."""
        return self.head.reduce(self.outputs(features))

    def outputs(self, features: Inputs) -> Floats:
        """Outputs, float64, shape (n, width), computed on the CPU in float32."""
        if tuple(features.shape[1:]) != self.shape:
            raise InvariantBroken(f"samples of shape {tuple(features.shape[1:])}, not {self.shape}")
        network, size = self._network(), min(CHUNK_ROWS, max(1, CHUNK_VALUES // prod(self.shape)))
        with torch.inference_mode():
            parts = [network(_tensor(features[start : start + size])).numpy() for start in range(0, len(features), size)]
        return np.concatenate(parts or [np.zeros((0, self.head.width))]).astype(np.float64)

    def to_onnx(self) -> bytes:
        """ONNX graph through the dynamo exporter: `features` [n, *shape] -> `score` [n, width], or the parts of a head of several."""
        network = self._network()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter uses what torch has deprecated; parity is what judges it
            program = torch.onnx.export(
                Parted(network, self.head) if isinstance(self.head, PatternHead) else network,
                (torch.zeros(2, *self.shape),),
                input_names=["features"],
                output_names=list(parts_of(self.head)),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                external_data=False,
                verbose=False,
            )
        if program is None:
            raise InvariantBroken("the exporter returned no program")
        stream = io.BytesIO()
        program.save(stream)
        return _without_traces(stream.getvalue())

    def to_text(self) -> str:
        """Family, shape, head, parameters, weights by layer name, and sensitivity as JSON."""
        document = {
            "family": self.family,
            "shape": self.shape,
            "head": HEAD.dump_python(self.head, mode="json"),
            "config": self.config.model_dump(mode="json"),
            "sensitivity": self.sensitivity,
            "state": {name: array.tolist() for name, array in sorted(self.state.items())},
        }
        return json.dumps(document)

    def importance(self) -> Floats:
        """Share of each feature in the mean absolute gradient of the score, shape (F,), summing to 1."""
        return np.array(self.sensitivity)

    def contributions(self, features: Matrix) -> Floats:
        """Refuse: a network has no exact SHAP values."""
        raise FixInput(f"the network {self.family} has no exact SHAP values", fix="Use permutation importance")

    def _network(self) -> Network:
        network = Network(self.body, self.shape, self.head, self.config)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.state.items()})
        network.eval()
        return network


class Parted(torch.nn.Module):
    """A network whose outputs leave its graph one head after another."""

    def __init__(self, network: Network, head: PatternHead) -> None:
        super().__init__()
        self.network, self.widths = network, [part.width for part in head.parts.values()]

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs (B, width) of each head."""
        parts: tuple[torch.Tensor, ...] = self.network(features).split(self.widths, dim=1)
        return parts


def read_network(text: str, names: tuple[str, ...], body: Body, config: type[NetworkConfig]) -> NetworkModel:
    """Read what `NetworkModel.to_text` wrote."""
    document = json.loads(text)
    head = HEAD.validate_json(json.dumps(document["head"]))
    shape, parameters = tuple(document["shape"]), config.model_validate(document["config"])
    fresh = Network(body, shape, head, parameters).state_dict()
    state = {name: np.array(document["state"][name], dtype=tensor.numpy().dtype) for name, tensor in fresh.items()}
    return NetworkModel(document["family"], body, parameters, head, names, shape, state, tuple(document["sensitivity"]))


def _check_shape(shape: Shape, names: tuple[str, ...]) -> None:
    """Raise `InvariantBroken` unless samples of this shape have a feature per name; one of bars of the day has one per bar and channel.

    A picture may be painted of fewer features than it has rows of pixels.
    """
    features = shape[0] * shape[1] if len(shape) == 3 else shape[-1] if shape else 0
    if len(shape) == 3 and 0 < len(names) < features:
        return
    if not features or len(names) % features or prod(shape) % len(names):
        raise InvariantBroken(f"samples of shape {shape} do not have the {len(names)} features that are named")


def _tensor(samples: Matrix) -> torch.Tensor:
    """A copy where the array cannot be read as it is: kernels sum in an order that depends on where memory begins."""
    return torch.from_numpy(samples.copy())


def _sensitivity(network: Network, lesson: Lesson, head: Head, features: int) -> tuple[float, ...]:
    """Mean |z x d score / d z| of each feature over the training rows, normalised to sum to 1.

    The slope alone would be large for a feature that a few rows stretch: there most of z is next to 0 and says nothing.
    """
    if len(lesson.inputs.shape) == 4 and features < prod(lesson.inputs.shape[1:3]):
        return (0.0,) * features  # no pixel belongs to one of the features that a picture is painted of
    slope, highest, lowest = np.zeros(1), np.float32(np.nan), np.float32(np.nan)
    for samples in lesson.parts(np.arange(len(lesson.target)), SENSITIVITY_ROWS):
        z = network.standardise(_tensor(samples)).detach().requires_grad_(True)
        (network.outlet(network.body(z)) @ direction(head)).sum().backward()
        slope = slope + np.abs(by_feature((z.grad * z).detach().numpy()).reshape(-1, features).astype(np.float64)).sum(axis=0)
        flat = by_feature(samples).reshape(-1, features)
        highest, lowest = np.fmax(highest, np.fmax.reduce(flat)), np.fmin(lowest, np.fmin.reduce(flat))
    slope *= highest > lowest  # the slope along a constant means nothing
    total = float(slope.sum())
    return tuple((slope / total if total > 0.0 else np.zeros(len(slope))).tolist())


def _without_traces(model: bytes) -> bytes:
    """Drop the exporter's metadata, which holds file paths of the machine that trained."""
    import onnx

    proto = onnx.load_from_string(model)
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    serialised: bytes = proto.SerializeToString(deterministic=True)
    return serialised
