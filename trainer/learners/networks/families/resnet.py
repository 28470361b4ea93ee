"""ResNet over time: residual blocks of three convolutions over the window.

Source: Wang, Yan and Oates 2017, "Time series classification from scratch with deep neural networks".
"""

import torch

from trainer.learners.networks.layers import MeanAndNewest, Shape
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


class ResNet(MeanAndNewest):
    """Blocks, and a linear map of what they found."""

    def __init__(self, shape: Shape, width: int, config: ResNetConfig) -> None:
        inside = (shape[1], *(config.channels for _ in range(config.blocks - 1)))
        super().__init__((Residual(count, config) for count in inside), config.channels, width, config.dropout)
