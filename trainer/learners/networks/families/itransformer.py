"""iTransformer: one token a feature, its whole window; attention among features.

Source: Liu et al. 2024, "iTransformer: inverted transformers are effective for time series forecasting".
"""

import torch

from trainer.learners.networks.layers import Attention, Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import AttentionConfig


class ITransformer(Attention):
    """A window's values make a feature's token; encoders, and a linear map of all tokens."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(length, features, config)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.dropout(self.norm(self.encoded(z.transpose(1, 2)))))
        return outputs
