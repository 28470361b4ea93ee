"""PatchTST: every feature's window is cut into patches, which one encoder reads feature by feature.

Source: Nie et al. 2023, "A time series is worth 64 words".
"""

import torch

from trainer.learners.networks.layers import Dropout, Encoder, PartedLinear, Shape
from trainer.learners.networks.parameters import PatchTstConfig


class PatchTst(torch.nn.Module):
    """Patches that end at the newest session, encoders shared by all features, and a linear map of the newest patch's tokens."""

    steps: torch.Tensor

    def __init__(self, shape: Shape, width: int, config: PatchTstConfig) -> None:
        super().__init__()
        length, self.features = shape
        patch = min(config.patch, length)
        starts = torch.arange((length - patch) % config.stride, length - patch + 1, config.stride)
        self.patches, self.patch, self.size = len(starts), patch, config.size
        self.register_buffer("steps", (starts[:, None] + torch.arange(patch)).flatten(), persistent=False)
        self.token = torch.nn.Linear(patch, config.size)
        self.place = torch.nn.Parameter(torch.empty(self.patches, config.size))
        encoders = (Encoder(self.patches, config.size, config.heads, config.dropout) for _ in range(config.layers))
        self.encoders = torch.nn.Sequential(*encoders)
        self.norm = torch.nn.LayerNorm(config.size)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(self.features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        patches = z.transpose(1, 2).index_select(2, self.steps).reshape(-1, self.patches, self.patch)
        tokens = self.norm(self.encoders(self.token(patches) + self.place)[:, -1])
        outputs: torch.Tensor = self.last(self.dropout(tokens.reshape(-1, self.features, self.size)))
        return outputs
