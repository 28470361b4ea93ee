"""The long short-term memory: a state carried through the window; what it is at the end gives the outputs.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory".
"""

from __future__ import annotations

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class Lstm(torch.nn.Module):
    """Layers of LSTM, dropout and a linear map of the last state."""

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.cells = torch.nn.LSTM(shape[1], config.hidden, config.layers, batch_first=True)
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(config.hidden, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        states, _ = self.cells(z)
        outputs: torch.Tensor = self.last(self.dropout(states[:, -1]))
        return outputs
