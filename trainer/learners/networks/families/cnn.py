"""The convolutional network over pictures: filters of 3 x 3, each block half the size of the one before.

Source: Jiang, Kelly and Xiu 2023, "(Re-)Imag(in)ing price trends".
"""

import torch

from trainer.learners.networks.layers import Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import CnnConfig


class Cnn(torch.nn.Module):
    """Blocks of convolution, norm and the largest of 2 x 2 pixels, and a linear map of what is left."""

    def __init__(self, shape: Shape, width: int, config: CnnConfig) -> None:
        super().__init__()
        blocks, (inside, height, breadth) = list[torch.nn.Module](), shape
        for channels in config.channels:
            blocks += [torch.nn.Conv2d(inside, channels, 3, padding=1), torch.nn.BatchNorm2d(channels), torch.nn.ReLU()]
            if min(height, breadth) > 1:
                blocks.append(torch.nn.MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
            inside = channels
        self.blocks = torch.nn.Sequential(*blocks, torch.nn.Flatten(2), Dropout(config.dropout))
        self.last = PartedLinear(inside, height * breadth, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of pictures (B, C, H, W)."""
        outputs: torch.Tensor = self.last(self.blocks(z))
        return outputs
