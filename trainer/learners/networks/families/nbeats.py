"""N-BEATS: residual blocks that each fit the window by basis curves, subtract the fit, and add a forecast to the outputs.

Source: Oreshkin et al. 2020, "N-BEATS: neural basis expansion analysis for interpretable time series forecasting".
"""

import torch

from trainer.learners.networks.layers import Shape, perceptron
from trainer.learners.networks.parameters import NBeatsConfig


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
    """Blocks of a trend (powers of time), then blocks of seasons (sines and cosines)."""

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
