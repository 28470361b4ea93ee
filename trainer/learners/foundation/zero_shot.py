"""Zero-shot forecasts by foundation models, without fitting: the sum of the next returns from a window of past ones.

Nothing is learned from the rows. Weights enter by a folder and their SHA-256 and are never fetched; a loader is the library's
own. There is no graph for a device: such a model is a challenger that is compared where it was loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from signals.errors import FixInput, InvariantBroken
from signals.market.bars import Floats
from signals.models.heads import Head, QuantilesHead, ScoreHead
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Inputs, Matrix, Rows
from trainer.learners.parameters import FoundationConfig

CHUNK_ROWS = 256
LEVELS = tuple(round(0.1 * number, 1) for number in range(1, 10))  # what both families were trained for
Forecast = Callable[[Matrix, int], Floats]
"""From levels float32 (n, L) and a number of steps to quantiles (n, steps, 9) of the levels ahead."""


def digest_of(folder: Path) -> str:
    """SHA-256 over names and contents of a checkpoint's files; raise `FixInput` where there are none."""
    files = sorted(path for path in folder.glob("*") if path.suffix in (".json", ".safetensors"))
    if not any(path.suffix == ".safetensors" for path in files):
        raise FixInput("no weights (*.safetensors)", where=str(folder), fix="Name the folder of a checkpoint: --weights DIR")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as content:
            while part := content.read(2**20):
                digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True)
class ZeroShot:
    """The learner: it checks the weights and keeps their hash."""

    kind: str
    config: FoundationConfig
    head: Head
    device: FitDevice = FitDevice.CPU

    def fit(self, features: Inputs, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> ZeroShotModel:
        """Learn nothing of the rows."""
        if self.config.series not in names:
            raise FixInput(f"no feature {self.config.series!r}", where=f"{self.kind}.series", fix="Name a feature of returns of one step")
        if isinstance(self.head, QuantilesHead) and not LEVELS[0] <= min(self.head.levels) <= max(self.head.levels) <= LEVELS[-1]:
            raise FixInput(f"{self.kind} knows quantiles from {LEVELS[0]} to {LEVELS[-1]} alone", where="levels", fix="Ask for these")
        model = ZeroShotModel(self.kind, self.config, self.head, names, digest_of(Path(self.config.weights)))
        model.forecaster()
        return model


@dataclass(frozen=True)
class ZeroShotModel:
    """A checkpoint, by its folder and hash, and what is forecast with it."""

    kind: str
    config: FoundationConfig
    head: Head
    names: tuple[str, ...]
    sha256: str

    def __reduce__(self) -> tuple[type[ZeroShotModel], tuple[Any, ...]]:
        """Pickle the folder and the hash, never the weights."""
        return ZeroShotModel, (self.kind, self.config, self.head, self.names, self.sha256)

    @cached_property
    def _forecast(self) -> Forecast:
        folder, wanted = Path(self.config.weights), self.config.sha256 or self.sha256
        if (found := digest_of(folder)) != wanted:
            raise FixInput(
                f"the weights have the hash {found[:16]}, not {wanted[:16]}", where=str(folder), fix="Name the folder that was meant"
            )
        return LOADERS[self.kind](folder)

    def forecaster(self) -> Forecast:
        """Load the checkpoint once; raise `FixInput` where it is another than was named, or cannot be read."""
        return self._forecast

    def predict(self, features: Inputs) -> Floats:
        """Scores, float64, shape (n,): the median of the summed returns ahead."""
        return self.head.reduce(self.outputs(features))

    def outputs(self, features: Inputs) -> Floats:
        """The median, or the head's quantiles, of the returns summed over the steps ahead; float64 (n, width)."""
        if len(features.shape) != 3 or features.shape[2] != len(self.names):
            raise InvariantBroken(f"samples of shape {tuple(features.shape[1:])}, not windows of {len(self.names)} features")
        levels = np.array(self.head.levels if isinstance(self.head, QuantilesHead) else (0.5,))
        found = np.empty((len(features), len(levels)))
        column = self.names.index(self.config.series)
        for start in range(0, len(features), CHUNK_ROWS):
            returns = np.nan_to_num(features[start : start + CHUNK_ROWS][:, :, column], nan=0.0, posinf=0.0, neginf=0.0)
            level = np.cumsum(returns.astype(np.float64), axis=1)
            level -= level[:, -1:]  # float32 has its digits about 0
            ahead = self.forecaster()(level.astype(np.float32), self.config.horizon)[:, -1]
            found[start : start + CHUNK_ROWS] = np.stack([np.interp(levels, LEVELS, np.sort(row)) for row in ahead])
        return found

    def to_onnx(self) -> bytes:
        """Refuse: no operator profile of a device holds such a graph."""
        raise FixInput(f"{self.kind} has no graph for a device", where="--learner", fix="Compare it: trainer compare --learners")

    def to_text(self) -> str:
        """Kind, parameters, head and hash of the weights as JSON."""
        levels = list(self.head.levels) if isinstance(self.head, QuantilesHead) else []
        return json.dumps({"kind": self.kind, "config": self.config.model_dump(mode="json"), "levels": levels, "sha256": self.sha256})

    def importance(self) -> Floats:
        """All of it is the series'."""
        return np.array([float(name == self.config.series) for name in self.names])

    def contributions(self, features: Matrix) -> Floats:
        """Refuse: a foundation model has no exact SHAP values."""
        raise FixInput(f"{self.kind} has no exact SHAP values", fix="Use permutation importance")


def read_zero_shot(text: str, names: tuple[str, ...]) -> ZeroShotModel:
    """Read what `ZeroShotModel.to_text` wrote."""
    document = json.loads(text)
    head: Head = QuantilesHead(tuple(document["levels"])) if document["levels"] else ScoreHead()
    return ZeroShotModel(document["kind"], FoundationConfig.model_validate(document["config"]), head, names, document["sha256"])


def _chronos_bolt(folder: Path) -> Forecast:
    _offline()
    import torch
    from chronos import BaseChronosPipeline, ChronosBoltPipeline

    pipeline = _loaded(lambda: BaseChronosPipeline.from_pretrained(str(folder), device_map="cpu", dtype=torch.float32), folder)
    if not isinstance(pipeline, ChronosBoltPipeline) or tuple(pipeline.quantiles) != LEVELS:
        raise FixInput("this is no checkpoint of Chronos-Bolt with nine quantiles", where=str(folder), fix="Name another folder")

    def forecast(level: Matrix, steps: int) -> Floats:
        with torch.inference_mode():
            found = pipeline.predict(torch.from_numpy(level), prediction_length=steps).numpy()
        ahead: Floats = np.swapaxes(found, 1, 2).astype(np.float64)
        return ahead

    return forecast


def _timesfm(folder: Path) -> Forecast:
    _offline()
    from timesfm import ForecastConfig, TimesFM_2p5_200M_torch

    model = _loaded(lambda: TimesFM_2p5_200M_torch.from_pretrained(str(folder), torch_compile=False), folder)

    def forecast(level: Matrix, steps: int) -> Floats:
        context = -(-level.shape[1] // 32) * 32  # whole patches
        model.compile(ForecastConfig(max_context=context, max_horizon=128, normalize_inputs=True, fix_quantile_crossing=True))
        _, quantiles = model.forecast(horizon=steps, inputs=list(level))
        return np.asarray(quantiles, dtype=np.float64)[:, :, 1:]  # the first is the mean

    return forecast


LOADERS: dict[str, Callable[[Path], Forecast]] = {"chronos_bolt": _chronos_bolt, "timesfm": _timesfm}


def _offline() -> None:
    """Keep the hub's client from the network, whatever the folder lacks."""
    try:
        import huggingface_hub.constants
    except ImportError:
        raise FixInput("foundation models need libraries of their own", fix="Run `make test-foundation`, which installs them") from None
    huggingface_hub.constants.HF_HUB_OFFLINE = True


def _loaded(load: Callable[[], Any], folder: Path) -> Any:
    from safetensors import SafetensorError

    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        raise FixInput(
            f"the weights cannot be read: {reason_of(error)}", where=str(folder), fix="Name the folder of a checkpoint"
        ) from None
