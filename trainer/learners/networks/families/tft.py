"""The temporal fusion transformer: variable selection at every step, a recurrent encoder, and attention of the newest step.

Source: Lim et al. 2021, "Temporal fusion transformers for interpretable multi-horizon time series forecasting".
"""

import math

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import AttentionConfig


class Gated(torch.nn.Module):
    """A perceptron whose answer passes a gate, is added to what went in, and normalised."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.widen, self.narrow, self.gate = (torch.nn.Linear(size, size) for _ in range(3))
        self.dropout, self.norm = Dropout(dropout), torch.nn.LayerNorm(size)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map (..., size) to as much."""
        hidden = self.dropout(self.narrow(torch.nn.functional.elu(self.widen(values))))
        normed: torch.Tensor = self.norm(values + hidden * torch.sigmoid(self.gate(hidden)))
        return normed


class Tft(torch.nn.Module):
    """Variable selection, LSTM, attention, and gated residuals between them."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        super().__init__()
        (_, features), self.size, self.heads = shape, config.size, config.heads
        self.embed, self.level = (torch.nn.Parameter(torch.empty(features, config.size)) for _ in range(2))
        self.choose = torch.nn.Linear(features, features)
        self.cells = torch.nn.LSTM(config.size, config.size, batch_first=True)
        self.after_cells, self.after_attention, self.output = (Gated(config.size, config.dropout) for _ in range(3))
        self.query, self.key, self.value = (torch.nn.Linear(config.size, config.size) for _ in range(3))
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        share = torch.softmax(self.choose(z), dim=-1)
        steps = (share * z) @ self.embed + share @ self.level  # sum over features of share x (value x embedding + level)
        states, _ = self.cells(steps)
        states = self.after_cells(states + steps)
        length, part = z.shape[1], self.size // self.heads
        query = self.query(states[:, -1:]).reshape(-1, 1, self.heads, part).transpose(1, 2)
        key, value = (layer(states).reshape(-1, length, self.heads, part).transpose(1, 2) for layer in (self.key, self.value))
        weight = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(part), dim=-1)
        mixed = (weight @ value).transpose(1, 2).reshape(-1, self.size)
        outputs: torch.Tensor = self.last(self.output(self.after_attention(mixed + states[:, -1])))
        return outputs
