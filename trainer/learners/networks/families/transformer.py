"""The transformer encoder: one token a session, attention among them; the newest token gives the outputs.

Source: Vaswani et al. 2017, "Attention is all you need", with the norms first.
"""

import torch

from trainer.learners.networks.layers import Attention, Shape
from trainer.learners.networks.parameters import AttentionConfig


class Transformer(Attention):
    """A learned place for every session, encoders, and a linear map of the last token."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(features, length, config)
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.norm(self.encoded(z)[:, -1]))
        return outputs
