"""N-HiTS: residual blocks that pool the window at different rates and interpolate fit and forecast between few knots.

Source: Challu et al. 2023, "N-HiTS: neural hierarchical interpolation for time series forecasting".
"""

import torch

from trainer.learners.networks.layers import Shape, perceptron
from trainer.learners.networks.parameters import NHitsConfig


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
    """A block a rate, the coarsest first."""

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
