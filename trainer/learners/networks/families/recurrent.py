"""Networks whose cells carry a state through the window."""

from typing import ClassVar

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class Recurrent(torch.nn.Module):
    """Cells that carry a state through the window, dropout, and a linear map of the last state."""

    kind: ClassVar[type[torch.nn.LSTM | torch.nn.GRU]]

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.cells = self.kind(shape[1], config.hidden, config.layers, batch_first=True)
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(config.hidden, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        states, _ = self.cells(z)
        outputs: torch.Tensor = self.last(self.dropout(states[:, -1]))
        return outputs


class Lstm(Recurrent):
    """Layers of LSTM.

    Source: Hochreiter and Schmidhuber 1997, "Long short-term memory".
    """

    kind = torch.nn.LSTM


class Gru(Recurrent):
    """Layers of GRU.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
    """

    kind = torch.nn.GRU


class DeepAr(torch.nn.Module):
    """DeepAR: layers of LSTM on windows in units of their own size, and a linear map of the last state and that size.

    Its usual head is `student_t`. The published network draws paths step by step; here one step, the label's, is forecast at once.

    Source: Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent networks".
    """

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.cells = torch.nn.LSTM(shape[1], config.hidden, config.layers, batch_first=True)
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(config.hidden + shape[1], width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        size = 1.0 + torch.maximum(z, -z).mean(dim=1, keepdim=True)
        states, _ = self.cells(z / size)
        outputs: torch.Tensor = self.last(self.dropout(torch.cat([states[:, -1], size[:, 0]], dim=1)))
        return outputs


class QuantileRnn(torch.nn.Module):
    """Layers of GRU, and two perceptrons, of their context and the newest session.

    Its usual head is `quantiles`, which the head's outlet orders by construction.

    Source: Wen et al. 2017, "A multi-horizon quantile recurrent forecaster".
    """

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
