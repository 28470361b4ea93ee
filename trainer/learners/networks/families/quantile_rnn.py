"""The quantile RNN: a recurrent encoder of the window, and a perceptron of its context and the newest session.

Its usual head is `quantiles`, which the head's outlet orders by construction.

Source: Wen et al. 2017, "A multi-horizon quantile recurrent forecaster".
"""

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class QuantileRnn(torch.nn.Module):
    """Layers of GRU and two perceptrons."""

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.cells = torch.nn.GRU(shape[1], config.hidden, config.layers, batch_first=True)
        self.context = torch.nn.Linear(config.hidden, config.hidden)
        self.local = torch.nn.Linear(config.hidden + shape[1], config.hidden)
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(config.hidden, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        states, _ = self.cells(z)
        context = torch.relu(self.context(states[:, -1]))
        local = torch.relu(self.local(torch.cat([context, z[:, -1]], dim=1)))
        outputs: torch.Tensor = self.last(self.dropout(local))
        return outputs
