"""ResNet over time: blocks of three convolutions that are added to what went in.

The published network keeps the mean over time alone; here the newest session is read too, which a forecast needs.

Source: Wang, Yan and Oates 2017, "Time series classification from scratch with deep neural networks".
"""

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import ResNetConfig


class Residual(torch.nn.Module):
    """Three convolutions with norms, and a map of their input next to them."""

    def __init__(self, inside: int, config: ResNetConfig) -> None:
        super().__init__()
        layers, now = list[torch.nn.Module](), inside
        for number, kernel in enumerate(config.kernels):
            layers += [torch.nn.Conv1d(now, config.channels, kernel, padding="same"), torch.nn.BatchNorm1d(config.channels)]
            layers += [torch.nn.ReLU()] if number + 1 < len(config.kernels) else []
            now = config.channels
        self.layers = torch.nn.Sequential(*layers)
        self.past = torch.nn.Conv1d(inside, config.channels, 1)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, L) to (B, channels, L)."""
        return torch.relu(self.layers(steps) + self.past(steps))


class ResNet(torch.nn.Module):
    """Blocks, the mean over time and the newest session, and a linear map."""

    def __init__(self, shape: Shape, width: int, config: ResNetConfig) -> None:
        super().__init__()
        inside = (shape[1], *(config.channels for _ in range(config.blocks - 1)))
        self.blocks = torch.nn.Sequential(*(Residual(count, config) for count in inside))
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(2 * config.channels, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        steps = self.blocks(z.transpose(1, 2))
        outputs: torch.Tensor = self.last(self.dropout(torch.cat([steps.mean(dim=2), steps[:, :, -1]], dim=1)))
        return outputs
