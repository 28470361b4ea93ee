"""PatchTST: every feature's window is cut into patches, which one encoder reads feature by feature.

Source: Nie et al. 2023, "A time series is worth 64 words".
"""

import torch

from trainer.learners.networks.layers import Attention, Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import PatchTstConfig


class PatchTst(Attention):
    """Patches that end at the newest session, encoders shared by all features, and a linear map of the newest patch's tokens."""

    steps: torch.Tensor

    def __init__(self, shape: Shape, width: int, config: PatchTstConfig) -> None:
        length, features = shape
        patch = min(config.patch, length)
        starts = torch.arange((length - patch) % config.stride, length - patch + 1, config.stride)
        super().__init__(patch, len(starts), config)
        self.features, self.patches, self.patch, self.size = features, len(starts), patch, config.size
        self.register_buffer("steps", (starts[:, None] + torch.arange(patch)).flatten(), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        patches = z.transpose(1, 2).index_select(2, self.steps).reshape(-1, self.patches, self.patch)
        tokens = self.norm(self.encoded(patches)[:, -1])
        outputs: torch.Tensor = self.last(self.dropout(tokens.reshape(-1, self.features, self.size)))
        return outputs
