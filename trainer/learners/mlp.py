r"""The multi-layer perceptron learner (torch).

    score = W3 relu(W2 relu(W1 z + b1) + b2) + b3,   z the standardised features (`standardise`)

Loss: weighted squared error against the label; AdamW; a fixed number of epochs, because stopping early needs rows that
would have to be hidden from the fold.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from signals.errors import FixInput, InvariantBroken
from signals.market.bars import Floats
from trainer.learners.base import FitDevice, Matrix, Rows, check_columns, check_rows
from trainer.learners.parameters import MlpConfig
from trainer.learners.standardise import CLIP, moments

OPSET = 18


class Network(torch.nn.Module):
    """The graph that is trained, run and exported; standardisation is its first layer."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int, hidden: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        first, second = hidden
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(features, first),
            torch.nn.ReLU(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(first, second),
            torch.nn.ReLU(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(second, 1),
        )

    def standardise(self, features: Matrix) -> None:
        """Take mean and scale from the training rows."""
        for buffer, values in zip((self.mean, self.scale), moments(features), strict=True):
            buffer.copy_(torch.from_numpy(values))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (n, 1) of rows (n, F)."""
        z = (features - self.mean) / self.scale
        z = torch.where(torch.isnan(z), 0.0, z)
        score: torch.Tensor = self.layers(torch.clamp(z, -float(CLIP), float(CLIP)))
        return score


@dataclass(frozen=True)
class Mlp:
    """The learner. Same rows, seed and device, same model."""

    config: MlpConfig
    seed: int
    device: FitDevice = FitDevice.CPU
    threads: int = 2

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> MlpModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        device = torch.device(self.device)
        with _repeatable(self.seed, self.threads, device):
            network = Network(features.shape[1], self.config.hidden, self.config.dropout)
            network.standardise(features)
            network.to(device)
            _descend(network, features, target, weight, self, device)
            sensitivity = _sensitivity(network, features, device)
        state = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
        return MlpModel(names, self.config.hidden, state, sensitivity)


@dataclass(frozen=True, eq=False)
class MlpModel:
    """Fitted weights as arrays by layer name."""

    names: tuple[str, ...]
    hidden: tuple[int, int]
    state: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
    sensitivity: tuple[float, ...]

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,), computed on the CPU in float32."""
        check_columns(features, self.names)
        with torch.inference_mode():
            scores: Floats = self._network()(torch.from_numpy(features)).numpy()[:, 0].astype(np.float64)
        return scores

    def to_onnx(self) -> bytes:
        """ONNX graph of the network through the dynamo exporter."""
        rows = torch.export.Dim("rows")
        program = torch.onnx.export(
            self._network(),
            (torch.zeros(2, len(self.names)),),
            input_names=["features"],
            output_names=["score"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: rows},),
            external_data=False,
            verbose=False,
        )
        if program is None:
            raise InvariantBroken("the exporter returned no program")
        stream = io.BytesIO()
        program.save(stream)
        return _without_traces(stream.getvalue())

    def to_text(self) -> str:
        """Weights by layer name, shape and sensitivity as JSON."""
        state = {name: array.tolist() for name, array in sorted(self.state.items())}
        return json.dumps({"hidden": self.hidden, "sensitivity": self.sensitivity, "state": state})

    def importance(self) -> Floats:
        """Share of each feature in the mean absolute gradient of the score, shape (F,), summing to 1."""
        return np.array(self.sensitivity)

    def contributions(self, features: Matrix) -> Floats:
        """Refuse: a perceptron has no exact SHAP values."""
        raise FixInput("the perceptron has no exact SHAP values", fix="Use permutation importance")

    def _network(self) -> Network:
        network = Network(len(self.names), self.hidden, dropout=0.0)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.state.items()})
        network.eval()
        return network


def read_mlp(text: str, names: tuple[str, ...]) -> MlpModel:
    """Read what `MlpModel.to_text` wrote."""
    document = json.loads(text)
    state = {name: np.array(values, dtype=np.float32) for name, values in document["state"].items()}
    first, second = document["hidden"]
    return MlpModel(names, (first, second), state, tuple(document["sensitivity"]))


def chosen_device(wish: FitDevice) -> FitDevice:
    """Device for `wish`; "cuda" without a CUDA device is an error, never a silent fallback."""
    has_cuda = torch.cuda.is_available()
    if wish is FitDevice.CUDA and not has_cuda:
        raise FixInput("device cuda was asked for and there is none", fix="Use --device auto or cpu")
    return FitDevice.CUDA if has_cuda and wish is not FitDevice.CPU else FitDevice.CPU


@contextmanager
def _repeatable(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """Seed torch and make its kernels repeat themselves; put the former settings back on leaving."""
    former_threads, was_deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(former_threads)
        torch.use_deterministic_algorithms(was_deterministic)


def _descend(network: Network, features: Matrix, target: Floats, weight: Floats, learner: Mlp, device: torch.device) -> None:
    """Run AdamW over shuffled batches for the configured epochs."""
    config, seed = learner.config, learner.seed
    x = torch.from_numpy(features).to(device)
    y = torch.from_numpy(target.astype(np.float32)).to(device)
    w = torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(device)
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    network.train()
    for _ in range(config.epochs):
        for rows in torch.randperm(len(x), generator=order).split(config.batch_rows):
            chosen = rows.to(device)
            optimiser.zero_grad()
            loss = (w[chosen] * (network(x[chosen])[:, 0] - y[chosen]) ** 2).mean()
            loss.backward()
            optimiser.step()
    network.eval()


def _sensitivity(network: Network, features: Matrix, device: torch.device) -> tuple[float, ...]:
    """Mean |d score / d z| of each feature over at most 4096 evenly spaced training rows, normalised to sum to 1."""
    step = max(1, len(features) // 4096)
    rows = torch.from_numpy(np.nan_to_num(features[::step])).to(device).requires_grad_(True)
    network(rows).sum().backward()
    gradient = (rows.grad * network.scale).abs().mean(dim=0).cpu().double().numpy()
    gradient *= np.fmax.reduce(features) > np.fmin.reduce(features)  # the slope along a constant means nothing
    total = float(gradient.sum())
    return tuple(gradient / total if total > 0.0 else np.zeros(len(gradient)))


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
