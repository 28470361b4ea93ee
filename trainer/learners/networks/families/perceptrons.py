"""Networks whose layers read every number of a window at once."""

import math

import torch

from trainer.learners.networks.layers import Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import DLinearConfig, MlpConfig, NBeatsConfig, NHitsConfig


def perceptron(inside: int, hidden: int, dropout: float) -> torch.nn.Sequential:
    """Two hidden layers over all values of a sample."""
    first, second = torch.nn.Linear(inside, hidden), torch.nn.Linear(hidden, hidden)
    return torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), second, torch.nn.ReLU(), Dropout(dropout))


class Mlp(torch.nn.Module):
    """The multi-layer perceptron over all values of a sample: W3 relu(W2 relu(W1 z + b1) + b2) + b3."""

    def __init__(self, shape: Shape, width: int, config: MlpConfig) -> None:
        super().__init__()
        first, second = config.hidden
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(math.prod(shape), first),
            torch.nn.ReLU(),
            Dropout(config.dropout),
            torch.nn.Linear(first, second),
            torch.nn.ReLU(),
            Dropout(config.dropout),
            torch.nn.Linear(second, width),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of samples (B, *shape)."""
        outputs: torch.Tensor = self.layers(z)
        return outputs


class DLinear(torch.nn.Module):
    """The window is split into its moving average, at a step that of the steps up to it, and the rest; each is mapped linearly.

    Source: Zeng et al. 2023, "Are transformers effective for time series forecasting?"
    """

    average: torch.Tensor

    def __init__(self, shape: Shape, width: int, config: DLinearConfig) -> None:
        super().__init__()
        length, features = shape
        ago = torch.arange(length)[:, None] - torch.arange(length)
        inside = ((ago >= 0) & (ago < config.average)).float()
        self.register_buffer("average", inside / inside.sum(dim=1, keepdim=True), persistent=False)
        self.trend, self.rest = (PartedLinear(length, features, width) for _ in range(2))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        trend = self.average @ z
        outputs: torch.Tensor = self.trend(trend) + self.rest(z - trend)
        return outputs


class Curves(torch.nn.Module):
    """One block: a perceptron of the window gives the weights of the curves and the outputs."""

    curves: torch.Tensor

    def __init__(self, curves: torch.Tensor, features: int, width: int, config: NBeatsConfig) -> None:
        super().__init__()
        count, length = curves.shape
        self.register_buffer("curves", curves, persistent=False)
        self.shape = (features, count)
        self.layers = perceptron(length * features, config.hidden, config.dropout)
        self.weights = torch.nn.Linear(config.hidden, features * count)
        self.answer = torch.nn.Linear(config.hidden, width)

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the block explains of windows (B, F, L), and its outputs (B, width)."""
        hidden = self.layers(window)
        return self.weights(hidden).reshape(-1, *self.shape) @ self.curves, self.answer(hidden)


class NBeats(torch.nn.Module):
    """Residual blocks that each fit the window, subtract the fit and add a forecast: of a trend (powers of time), then of seasons (waves).

    Source: Oreshkin et al. 2020, "N-BEATS: neural basis expansion analysis for interpretable time series forecasting".
    """

    def __init__(self, shape: Shape, width: int, config: NBeatsConfig) -> None:
        super().__init__()
        length, features = shape
        time = torch.arange(length) / length
        trend = torch.stack([time**power for power in range(config.degree + 1)])
        waves = [wave(2.0 * torch.pi * (number + 1) * time) for number in range(config.frequencies) for wave in (torch.sin, torch.cos)]
        kinds = [trend] * config.blocks + [torch.stack(waves)] * config.blocks
        self.blocks = torch.nn.ModuleList(Curves(curves, features, width, config) for curves in kinds)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        left, outputs = z.transpose(1, 2), torch.zeros(())
        for number, block in enumerate(self.blocks):
            explained, answer = block(left)
            left = left - explained
            outputs = answer if number == 0 else outputs + answer
        return outputs


class Pooled(torch.nn.Module):
    """One block: the largest of every `rate` steps, a perceptron, and the window between the knots that it gives."""

    lines: torch.Tensor

    def __init__(self, shape: Shape, rate: int, width: int, config: NHitsConfig) -> None:
        super().__init__()
        length, features = shape
        rate = min(rate, length)
        knots = -(-length // rate)
        place, knot = torch.linspace(0.0, knots - 1.0, length), torch.arange(knots)[:, None]
        self.register_buffer("lines", torch.clamp(1.0 - (place - knot).abs(), min=0.0), persistent=False)
        self.shape = (features, knots)
        self.pool = torch.nn.MaxPool1d(rate, ceil_mode=True)
        self.layers = perceptron(features * knots, config.hidden, config.dropout)
        self.knots = torch.nn.Linear(config.hidden, features * knots)
        self.answer = torch.nn.Linear(config.hidden, width)

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the block explains of windows (B, F, L), and its outputs (B, width)."""
        hidden = self.layers(self.pool(window))
        return self.knots(hidden).reshape(-1, *self.shape) @ self.lines, self.answer(hidden)


class NHits(torch.nn.Module):
    """Residual blocks that pool the window, one a rate, the coarsest first, and interpolate fit and forecast between few knots.

    Source: Challu et al. 2023, "N-HiTS: neural hierarchical interpolation for time series forecasting".
    """

    def __init__(self, shape: Shape, width: int, config: NHitsConfig) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Pooled(shape, rate, width, config) for rate in config.rates)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        left, answers = z.transpose(1, 2), list[torch.Tensor]()
        for block in self.blocks:
            explained, answer = block(left)
            left = left - explained
            answers.append(answer)
        return torch.stack(answers).sum(dim=0)
