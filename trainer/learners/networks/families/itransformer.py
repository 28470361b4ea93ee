"""iTransformer: one token a feature, its whole window; attention among features.

Source: Liu et al. 2024, "iTransformer: inverted transformers are effective for time series forecasting".
"""

import torch

from trainer.learners.networks.layers import Dropout, Encoder, PartedLinear, Shape
from trainer.learners.networks.parameters import AttentionConfig


class ITransformer(torch.nn.Module):
    """A window's values make a feature's token; encoders, and a linear map of all tokens."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        super().__init__()
        length, features = shape
        self.token = torch.nn.Linear(length, config.size)
        self.place = torch.nn.Parameter(torch.empty(features, config.size))
        encoders = (Encoder(features, config.size, config.heads, config.dropout) for _ in range(config.layers))
        self.encoders = torch.nn.Sequential(*encoders)
        self.norm = torch.nn.LayerNorm(config.size)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        tokens = self.encoders(self.token(z.transpose(1, 2)) + self.place)
        outputs: torch.Tensor = self.last(self.dropout(self.norm(tokens)))
        return outputs
