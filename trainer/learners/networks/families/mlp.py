r"""The multi-layer perceptron: W3 relu(W2 relu(W1 z + b1) + b2) + b3."""

import math

import torch

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import MlpConfig


class Mlp(torch.nn.Module):
    """Two hidden layers over all values of a sample."""

    def __init__(self, shape: Shape, width: int, config: MlpConfig) -> None:
        super().__init__()
        first, second = config.hidden
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(math.prod(shape), first),
            torch.nn.ReLU(),
            Dropout(config.dropout),
            torch.nn.Linear(first, second),
            torch.nn.ReLU(),
            Dropout(config.dropout),
            torch.nn.Linear(second, width),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of samples (B, *shape)."""
        outputs: torch.Tensor = self.layers(z)
        return outputs
