"""DLinear: the window is split into its moving average and the remainder, each mapped linearly to the outputs.

Source: Zeng et al. 2023, "Are transformers effective for time series forecasting?"
"""

import torch

from trainer.learners.networks.layers import PartedLinear, Shape
from trainer.learners.networks.parameters import DLinearConfig


class DLinear(torch.nn.Module):
    """Two linear maps. The average at a step is that of the steps up to it."""

    average: torch.Tensor

    def __init__(self, shape: Shape, width: int, config: DLinearConfig) -> None:
        super().__init__()
        length, features = shape
        ago = torch.arange(length)[:, None] - torch.arange(length)
        inside = ((ago >= 0) & (ago < config.average)).float()
        self.register_buffer("average", inside / inside.sum(dim=1, keepdim=True), persistent=False)
        self.trend, self.rest = (PartedLinear(length, features, width) for _ in range(2))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        trend = self.average @ z
        outputs: torch.Tensor = self.trend(trend) + self.rest(z - trend)
        return outputs
