"""DeepAR: an LSTM over windows in units of their own size, which the outputs then see. Its usual head is `student_t`.

The published network draws paths step by step; here one step, the label's, is forecast at once.

Source: Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent networks".
"""

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class DeepAr(torch.nn.Module):
    """Layers of LSTM on scaled windows, and a linear map of the last state and the scale."""

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
