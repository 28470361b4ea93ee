"""The transformer: one token a session, attention among them, and the newest token's answer.

Source: Vaswani et al. 2017, "Attention is all you need", with the norms first.
"""

import torch

from trainer.learners.networks.layers import Encoder, Shape
from trainer.learners.networks.parameters import AttentionConfig


class Transformer(torch.nn.Module):
    """A learned place for every session, encoders, and a linear map of the last token."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        super().__init__()
        length, features = shape
        self.token = torch.nn.Linear(features, config.size)
        self.place = torch.nn.Parameter(torch.empty(length, config.size))
        encoders = (Encoder(length, config.size, config.heads, config.dropout) for _ in range(config.layers))
        self.encoders = torch.nn.Sequential(*encoders)
        self.norm = torch.nn.LayerNorm(config.size)
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        tokens = self.encoders(self.token(z) + self.place)
        outputs: torch.Tensor = self.last(self.norm(tokens[:, -1]))
        return outputs
