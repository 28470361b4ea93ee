"""InceptionTime: parallel convolutions of several lengths over the window.

Source: Ismail Fawaz et al. 2020, "InceptionTime: finding AlexNet for time series classification".
"""

import torch

from trainer.learners.networks.layers import MeanAndNewest, Shape
from trainer.learners.networks.parameters import InceptionConfig


class Inception(torch.nn.Module):
    """One module: a bottleneck, a filter a length, a branch of the largest of three steps, added to what went in."""

    def __init__(self, inside: int, config: InceptionConfig) -> None:
        super().__init__()
        channels, outside = config.channels, config.channels * (len(config.kernels) + 1)
        self.bottleneck = torch.nn.Conv1d(inside, channels, 1)
        self.filters = torch.nn.ModuleList(torch.nn.Conv1d(channels, channels, kernel, padding="same") for kernel in config.kernels)
        self.largest = torch.nn.Sequential(torch.nn.MaxPool1d(3, stride=1, padding=1), torch.nn.Conv1d(inside, channels, 1))
        self.norm = torch.nn.BatchNorm1d(outside)
        self.past = torch.nn.Conv1d(inside, outside, 1)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, L) to (B, outside, L)."""
        narrow = self.bottleneck(steps)
        branches = torch.cat([*(layer(narrow) for layer in self.filters), self.largest(steps)], dim=1)
        return torch.relu(self.norm(branches) + self.past(steps))


class InceptionTime(MeanAndNewest):
    """Modules, and a linear map of what they found."""

    body = "modules_"

    def __init__(self, shape: Shape, width: int, config: InceptionConfig) -> None:
        outside = config.channels * (len(config.kernels) + 1)
        inside = (shape[1], *(outside for _ in range(config.modules - 1)))
        super().__init__((Inception(count, config) for count in inside), outside, width, config.dropout)
