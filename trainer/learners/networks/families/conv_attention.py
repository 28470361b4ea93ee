"""Convolutions over neighbouring steps, and attention among what they found: a net of windows of order flow.

Source: Wallbridge 2020, "Transformers for limit order books" (TransLOB), smaller.
"""

import torch

from trainer.learners.networks.layers import Attention, Shape
from trainer.learners.networks.parameters import AttentionConfig

TAPS = 3


class ConvAttention(Attention):
    """Two convolutions over the window, encoders over their tokens, and a linear map of the last token and of their mean."""

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(config.size, length, config)
        convolutions = list[torch.nn.Module]()
        for inside in (features, config.size):
            convolutions += [torch.nn.Conv1d(inside, config.size, TAPS, padding="same"), torch.nn.ReLU()]
        self.convolutions = torch.nn.Sequential(*convolutions)
        self.last = torch.nn.Linear(2 * config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        tokens = self.norm(self.encoded(self.convolutions(z.transpose(1, 2)).transpose(1, 2)))
        outputs: torch.Tensor = self.last(torch.cat([tokens[:, -1], tokens.mean(dim=1)], dim=1))
        return outputs
