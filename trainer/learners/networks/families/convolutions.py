"""Networks of convolutions over time."""

from collections.abc import Iterable

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import InceptionConfig, ResNetConfig, TcnConfig


class Block(torch.nn.Module):
    """Two causal convolutions, added to what went in."""

    def __init__(self, inside: int, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.ahead = (kernel - 1) * dilation
        self.first = torch.nn.Conv1d(inside, channels, kernel, dilation=dilation)
        self.second = torch.nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.past = torch.nn.Conv1d(inside, channels, 1)
        self.dropout = Dropout(dropout)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, L) to (B, channels, L); a step sees itself and what was before it."""
        values = steps
        for layer in (self.first, self.second):
            values = self.dropout(torch.relu(layer(torch.nn.functional.pad(values, (self.ahead, 0)))))
        return torch.relu(values + self.past(steps))


class Tcn(torch.nn.Module):
    """The temporal convolutional network: blocks of dilation 1, 2, 4 ... and a linear map of the last step.

    Source: Bai, Kolter and Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks".
    """

    def __init__(self, shape: Shape, width: int, config: TcnConfig) -> None:
        super().__init__()
        inside = (shape[1], *(config.channels for _ in range(config.blocks - 1)))
        self.blocks = torch.nn.Sequential(
            *(Block(count, config.channels, config.kernel, 2**number, config.dropout) for number, count in enumerate(inside))
        )
        self.last = torch.nn.Linear(config.channels, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.blocks(z.transpose(1, 2))[:, :, -1])
        return outputs


class MeanAndNewest(torch.nn.Module):
    """Convolutions over time, dropout, and a linear map of their mean over time and of the newest session.

    The published networks keep the mean only; the newest session is read too, which a forecast needs.
    """

    body = "blocks"  # by which a stored state names the convolutions

    def __init__(self, blocks: Iterable[torch.nn.Module], channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.add_module(self.body, torch.nn.Sequential(*blocks))
        self.dropout = Dropout(dropout)
        self.last = torch.nn.Linear(2 * channels, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        steps = self.get_submodule(self.body)(z.transpose(1, 2))
        outputs: torch.Tensor = self.last(self.dropout(torch.cat([steps.mean(dim=2), steps[:, :, -1]], dim=1)))
        return outputs


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
    """Residual blocks of three convolutions, and a linear map of what they found.

    Source: Wang, Yan and Oates 2017, "Time series classification from scratch with deep neural networks".
    """

    def __init__(self, shape: Shape, width: int, config: ResNetConfig) -> None:
        inside = (shape[1], *(config.channels for _ in range(config.blocks - 1)))
        super().__init__((Residual(count, config) for count in inside), config.channels, width, config.dropout)


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
    """Modules of parallel convolutions of several lengths, and a linear map of what they found.

    Source: Ismail Fawaz et al. 2020, "InceptionTime: finding AlexNet for time series classification".
    """

    body = "modules_"

    def __init__(self, shape: Shape, width: int, config: InceptionConfig) -> None:
        outside = config.channels * (len(config.kernels) + 1)
        inside = (shape[1], *(outside for _ in range(config.modules - 1)))
        super().__init__((Inception(count, config) for count in inside), outside, width, config.dropout)
