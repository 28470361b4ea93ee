"""The temporal convolutional network: causal convolutions whose dilation doubles from block to block.

Source: Bai, Kolter and Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks".
"""

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import TcnConfig


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
    """Blocks of dilation 1, 2, 4 ... and a linear map of the last step."""

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
