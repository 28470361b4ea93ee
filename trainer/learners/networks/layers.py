"""Layers that families share: standardisation, dropout with a generator of its own, linear maps, and the heads' outlets."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

from signals.models.heads import ClassesHead, Head, MeanScaleHead, PatternHead, QuantilesHead, StudentTHead
from trainer.learners.base import Matrix
from trainer.learners.parameters import Scaling
from trainer.learners.pictures import POLE_SCALE
from trainer.learners.standardise import CLIP, SCALES

Shape = tuple[int, ...]
SMALLEST_SCALE, SMALLEST_DF = 1e-4, 2.1


class Standardise(torch.nn.Module):
    """z = clip((x - mean) / scale, -5, 5), NaN -> 0, per feature: the first layer of every graph.

    A feature is a column of a table (F,) or of windows (L, F), and a row of pixels of a picture (C, H, W).
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        one = (*shape[:2], 1) if len(shape) == 3 else shape[-1:]
        self.register_buffer("mean", torch.zeros(one))
        self.register_buffer("scale", torch.ones(one))

    def take(self, parts: Callable[[], Iterable[Matrix]], scaling: Scaling) -> None:
        """Take mean and deviation, or median and distance of the quartiles, of training rows (n, *shape), which come in parts."""
        found = SCALES[scaling](lambda: (by_feature(part) for part in parts()))
        for buffer, values in zip((self.mean, self.scale), found, strict=True):
            buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Standardise samples (B, *shape)."""
        z = (inputs - self.mean) / self.scale
        z = torch.where(torch.isnan(z), 0.0, z)
        return torch.clamp(z, -float(CLIP), float(CLIP))


class Dropout(torch.nn.Module):
    """Dropout that draws from the fit's own generator, which torch's does not: fits run on threads of one process."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.generator = share, None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share of the values while training; values as they are otherwise."""
        if not self.training or self.share == 0.0:
            return values
        kept = torch.empty_like(values).bernoulli_(1.0 - self.share, generator=self.generator)
        return values * kept / (1.0 - self.share)


class PartedLinear(torch.nn.Module):
    """A linear map of all values of several parts, summed part by part: a shorter sum is rounded less, here and in a graph."""

    def __init__(self, parts: int, size: int, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(width, parts, size))
        self.bias = torch.nn.Parameter(torch.empty(width))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map (B, parts, size) to (B, width)."""
        return (values.transpose(0, 1) @ self.weight.permute(1, 2, 0)).sum(dim=0) + self.bias


class Outlet(torch.nn.Module):
    """Makes what a head promises of a body's outputs: a positive scale, a law with a variance, quantiles that ascend."""

    triangle: torch.Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.kind = head.kind
        self.register_buffer("triangle", torch.triu(torch.ones(head.width, head.width)), persistent=False)

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        """Map outputs (B, width) to as many."""
        if self.kind in ("score", "classes", "vector", "pattern"):
            return outputs
        positive = torch.nn.functional.softplus(outputs[:, 1:])
        if self.kind == "mean_scale":
            return torch.cat([outputs[:, :1], positive + SMALLEST_SCALE], dim=1)
        if self.kind == "student_t":
            return torch.cat([outputs[:, :1], positive[:, :1] + SMALLEST_SCALE, positive[:, 1:] + SMALLEST_DF], dim=1)
        return torch.cat([outputs[:, :1], positive], dim=1) @ self.triangle


def losses(head: Head, outputs: torch.Tensor, target: torch.Tensor, focal: float = 0.0) -> torch.Tensor:
    """Loss of each row, (B,): squared error, cross-entropy, pinball, or the law's negative log-likelihood.

    Of a picture's head it is the cross-entropy of its class, times (1 - its probability) to the power `focal`, and the squared error
    of the pole of one that has any.
    """
    if isinstance(head, PatternHead):
        classes = len(head.classes)
        pole = POLE_SCALE * target.frac()
        missed = torch.where(pole > 0.0, (outputs[:, classes] - pole) ** 2, 0.0)
        entropy = torch.nn.functional.cross_entropy(outputs[:, :classes], target.long(), reduction="none")
        return ((1.0 - torch.exp(-entropy)) ** focal * entropy if focal else entropy) + missed
    if isinstance(head, ClassesHead):
        return torch.nn.functional.cross_entropy(outputs, target.long(), reduction="none")
    if isinstance(head, QuantilesHead):
        error = target[:, None] - outputs
        level = torch.tensor(head.levels, device=outputs.device)
        return torch.maximum(level * error, (level - 1.0) * error).mean(dim=1)
    if isinstance(head, MeanScaleHead):
        mean, scale = outputs[:, 0], outputs[:, 1]
        return torch.log(scale) + 0.5 * ((target - mean) / scale) ** 2
    if isinstance(head, StudentTHead):
        location, scale, df = outputs.unbind(dim=1)
        half, z = 0.5 * (df + 1.0), (target - location) / scale
        law = torch.lgamma(0.5 * df) - torch.lgamma(half) + 0.5 * torch.log(math.pi * df) + torch.log(scale)
        return law + half * torch.log1p(z**2 / df)
    return (outputs[:, 0] - target) ** 2


def direction(head: Head) -> torch.Tensor:
    """Weights of a head's outputs in what ranks, as far as that is linear; (width,)."""
    if isinstance(head, ClassesHead):
        return torch.linspace(-1.0, 1.0, head.width)
    if isinstance(head, PatternHead):  # away from nothing
        return -torch.eye(head.width)[0]
    if isinstance(head, QuantilesHead):
        return torch.full((head.width,), 1.0 / head.width)
    return torch.eye(head.width)[0]


def by_feature(sample: Matrix) -> Matrix:
    """Samples (n, *shape) as rows of features: (n, F), (n x L, F) or (n x W, C x H)."""
    if sample.ndim == 4:
        sample = np.moveaxis(sample, 3, 1).reshape(len(sample), sample.shape[3], -1)
    return sample.reshape(-1, sample.shape[-1])


def initialise(network: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw every matrix evenly within 1 / sqrt(inputs of a neuron), zero every bias, leave norms as they are."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                bound = 1.0 / math.sqrt(parameter[0].numel())
                parameter.uniform_(-bound, bound, generator=generator)
            elif "bias" in name.rsplit(".", 1)[-1]:
                parameter.zero_()
