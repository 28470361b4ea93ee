"""The one training loop of all networks: AdamW over shuffled batches, stopped early inside the fold, resumed where it was.

Invariants
----------
1. The same rows, seed and device give the same bytes, however many fits run beside this one: every random number comes
   from a generator of the fit, never from torch's global one, and every fit computes on one thread.
2. Early stopping sees the newest sessions of the rows it was given, with a gap before them; the number of epochs found
   there is then trained on all rows (`newest_apart`).
3. An interrupted fit that is asked for again with the same checkpoint folder ends in the same bytes.
"""

import hashlib
import io
import logging
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from signals.errors import FixInput, LearnerFailed
from signals.files import write_atomic
from signals.market.bars import Floats
from signals.models.heads import Head
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Inputs, Matrix, Rows
from trainer.learners.networks.layers import Dropout, Outlet, Shape, Standardise, initialise, losses
from trainer.learners.networks.parameters import NetworkConfig
from trainer.learners.objectives import newest_apart

LOG = logging.getLogger(__name__)
LARGEST_GRADIENT = 1.0
SAMPLE_ROWS, SAMPLE_VALUES = 2**17, 2**25  # at most, of those that standardisation is learned from
PART_VALUES = 2**19  # numbers that are gathered at once: 2 MB
Body = Callable[[Shape, int, Any], torch.nn.Module]
"""A family: from the shape of a sample, the number of outputs and its parameters to a module."""
Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes outputs (B, ...) and targets (B, ...), returns the loss of each row, (B,)."""


class Network(torch.nn.Module):
    """The graph that is trained, run and exported: standardisation, the family's layers, the head's outlet."""

    def __init__(self, body: Body, shape: Shape, head: Head, config: NetworkConfig) -> None:
        super().__init__()
        self.standardise = Standardise(shape)
        self.body = body(shape, head.width, config)
        self.outlet = Outlet(head)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of samples (B, *shape)."""
        outputs: torch.Tensor = self.outlet(self.body(self.standardise(features)))
        return outputs


@dataclass(frozen=True, eq=False)
class Lesson:
    """Training data of a network: samples, gathered batch by batch, with finite targets, one a row or several, and positive weights."""

    inputs: Inputs
    target: Floats
    weight: Floats
    sessions: Rows | None

    def batch(self, rows: Rows, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Samples, targets and weights of the rows."""
        numbers = (self.target[rows].astype(np.float32), self.weight[rows].astype(np.float32))
        samples, target, weight = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (self.inputs[rows], *numbers))
        return samples, target, weight

    def parts(self, rows: Rows, most: int) -> Iterator[Matrix]:
        """Samples of at most so many evenly spaced ones of the rows, a part at a time."""
        rows = rows[:: max(1, -(-len(rows) // most))]
        size = max(1, PART_VALUES // int(np.prod(self.inputs.shape[1:])))
        yield from (self.inputs[rows[start : start + size]] for start in range(0, len(rows), size))


class FitState(TypedDict):
    """An interrupted fit: weights, optimiser, both generators, and the losses of its epochs."""

    network: dict[str, torch.Tensor]
    optimiser: dict[str, object]
    order: torch.Tensor
    noise: torch.Tensor
    losses: list[float]


@dataclass(frozen=True)
class Keeping:
    """Where the states of one fit are kept between epochs: nowhere without a folder."""

    folder: Path | None
    key: str

    def read(self, stage: str) -> FitState | None:
        """Return the last state of a stage, None where none was kept.

        Raises
        ------
        FixInput
            The file cannot be read.
        """
        path = self._path(stage)
        if path is None or not path.exists():
            return None
        try:
            state: FitState = torch.load(path, weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise FixInput(f"the checkpoint cannot be read: {reason_of(error)}", where=str(path), fix="Delete it and train again") from None
        return state

    def write(self, stage: str, state: FitState) -> None:
        """Replace the last state of a stage, whole or not at all."""
        path = self._path(stage)
        if path is not None:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, buffer.getvalue())

    def _path(self, stage: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{self.key[:32]}-{stage}.pt"


@dataclass(frozen=True)
class Training:
    """How networks are trained: a family, its parameters, what its outputs mean, the seed, the device, and a loss of its own, if any."""

    family: str
    body: Body
    config: NetworkConfig
    head: Head
    seed: int
    device: FitDevice
    loss: Losses | None = None

    def network(self, lesson: Lesson, folder: Path | None) -> Network:
        """Return the trained network, on the CPU and set to predict.

        Raises
        ------
        LearnerFailed
            The loss is not a number.
        TooLittleHistory
            Too few sessions to stop by.
        """
        _settle(self.device)
        keeping = Keeping(folder, "" if folder is None else self._key(lesson))
        every, epochs = np.arange(len(lesson.target)), self.config.epochs
        if self.config.patience:
            fitted, newest = newest_apart(lesson.sessions, len(every), self.config)
            epochs = _Descent(self, lesson, fitted, keeping, "stopping").best(newest)
        descent = _Descent(self, lesson, every, keeping, "whole")
        descent.run(epochs)
        descent.network.to("cpu").eval()
        return descent.network

    def _key(self, lesson: Lesson) -> str:
        """Hash of all that the fit depends on; every sample is gathered once for it, which takes less than an epoch does."""
        asked = (self.family, self.config.fingerprint(), self.head, self.seed, self.device, lesson.inputs.shape, torch.__version__)
        digest = hashlib.sha256(repr(asked).encode())
        every = np.arange(len(lesson.target))
        kept = (part for part in (lesson.target, lesson.weight, lesson.sessions) if part is not None)
        for part in chain(kept, lesson.parts(every, len(every))):
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        return digest.hexdigest()


class _Descent:
    """A network on its way down: weights, optimiser, generators, and the loss of each epoch behind it."""

    def __init__(self, training: Training, lesson: Lesson, rows: Rows, keeping: Keeping, stage: str) -> None:
        self.training, self.lesson, self.rows, self.keeping, self.stage = training, lesson, rows, keeping, stage
        self.device, config = torch.device(training.device), training.config
        first, second, third = (int(seed) for seed in np.random.SeedSequence(training.seed).generate_state(3))
        self.order = torch.Generator().manual_seed(second)
        self.noise = torch.Generator(self.device).manual_seed(third)
        self.network = Network(training.body, lesson.inputs.shape[1:], training.head, config)
        initialise(self.network, torch.Generator().manual_seed(first))
        most = SAMPLE_ROWS if config.scaling == "moments" else min(SAMPLE_ROWS, SAMPLE_VALUES // int(np.prod(lesson.inputs.shape[1:])))
        self.network.standardise.take(lambda: lesson.parts(rows, most), config.scaling)
        self.network.to(self.device)
        for layer in self.network.modules():
            if isinstance(layer, Dropout):
                layer.generator = self.noise
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.mean_weight = float(lesson.weight[rows].mean())
        self.losses: list[float] = []
        self._resume(keeping.read(stage))

    def best(self, held: Rows) -> int:
        """Train until the loss of the rows `held` got no better for as long as patience lasts; the best epoch's number."""
        config = self.training.config
        while len(self.losses) < config.epochs and len(self.losses) - int(np.argmin(self.losses or [0.0])) <= config.patience:
            self._epoch(held)
        return int(np.argmin(self.losses)) + 1

    def run(self, epochs: int) -> None:
        """Train to the end of so many epochs."""
        while len(self.losses) < epochs:
            self._epoch(None)

    def _epoch(self, held: Rows | None) -> None:
        training = self.training
        self.network.train()
        if training.config.cosine:
            gone = len(self.losses) / training.config.epochs
            self.optimiser.param_groups[0]["lr"] = 0.5 * training.config.learning_rate * (1.0 + math.cos(math.pi * gone))
        total = 0.0
        for chosen in torch.randperm(len(self.rows), generator=self.order).split(training.config.batch_rows):
            if 1 == len(chosen) < len(self.rows):
                continue  # one row has no variance for a norm to divide by; the next epoch's order is another
            rows = self.rows[chosen.numpy()]
            self.optimiser.zero_grad()
            loss = self._losses(rows).mean() / self.mean_weight
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
            self.optimiser.step()
            total += float(loss.detach()) * len(rows)
        learned = total / len(self.rows)
        found = learned if held is None else self._held(held)
        if not np.isfinite(found):
            raise LearnerFailed(
                f"the loss of the network {training.family} is {found} after epoch {len(self.losses) + 1}", fix="Lower learning_rate"
            )
        self.losses.append(found)
        LOG.info("%s: epoch %d of %d, loss %.6g, held %.6g", training.family, len(self.losses), training.config.epochs, learned, found)
        self.keeping.write(self.stage, self._state())

    def _held(self, held: Rows) -> float:
        """Weighted mean loss of rows that are not learned from."""
        self.network.eval()
        size = self.training.config.batch_rows
        with torch.inference_mode():
            total = sum(float(self._losses(held[start : start + size]).sum()) for start in range(0, len(held), size))
        return total / float(self.lesson.weight[held].sum())

    def _losses(self, rows: Rows) -> torch.Tensor:
        samples, target, weight = self.lesson.batch(rows, self.device)
        augmented = getattr(self.network.body, "augmented", None) if self.network.training else None
        mixed: tuple[torch.Tensor, torch.Tensor] | None = None
        if augmented is not None:
            samples, *mixed = augmented(samples, self.noise)
        with self._precision():
            outputs = self.network(samples).float()
        focal = getattr(self.training.config, "focal", 0.0)
        loss = self.training.loss or partial(losses, self.training.head, focal=focal)
        own = weight * loss(outputs, target)
        if mixed is None:
            return own
        partner, share = mixed
        return share * own + (1.0 - share) * weight[partner] * loss(outputs, target[partner])

    def _precision(self) -> AbstractContextManager[None]:
        """Half the bits for matrix products where a GPU is made for them; losses and weights keep all of theirs."""
        context: AbstractContextManager[None] = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        return context

    def _state(self) -> FitState:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "noise": self.noise.get_state(),
            "losses": self.losses,
        }

    def _resume(self, state: FitState | None) -> None:
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.order.set_state(state["order"])
            self.noise.set_state(state["noise"])
            self.losses = list(state["losses"])


def chosen_device(wish: FitDevice) -> FitDevice:
    """Device for `wish`; "cuda" without a CUDA device is an error, never a silent fallback."""
    has_cuda = torch.cuda.is_available()
    if wish is FitDevice.CUDA and not has_cuda:
        raise FixInput("networks have no CUDA device here", where="--device cuda", fix="Use --device auto or cpu")
    return FitDevice.CUDA if has_cuda and wish is not FitDevice.CPU else FitDevice.CPU


def _settle(device: FitDevice) -> None:
    """Make torch's kernels repeat themselves. The settings are the process's, so they are the same for all and stay."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=device is FitDevice.CUDA)
