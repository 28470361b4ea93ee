"""Convolutional networks over pictures: filters of 3 x 3, each block half the size of the one before."""

import torch

from trainer.learners.networks.layers import Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import BarCnnConfig, CnnConfig

Augmented = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def blocks_of(shape: Shape, widths: tuple[int, ...], convolutions: int) -> tuple[list[torch.nn.Module], int, int]:
    """Blocks of so many convolutions with norms and the largest of 2 x 2 pixels, and height and breadth of what is left."""
    blocks, (inside, height, breadth) = list[torch.nn.Module](), shape
    for channels in widths:
        for before in (inside, *(channels,) * (convolutions - 1)):
            blocks += [torch.nn.Conv2d(before, channels, 3, padding=1), torch.nn.BatchNorm2d(channels), torch.nn.ReLU()]
        if min(height, breadth) > 1:
            blocks.append(torch.nn.MaxPool2d(2))
            height, breadth = height // 2, breadth // 2
        inside = channels
    return blocks, height, breadth


class Cnn(torch.nn.Module):
    """Blocks of convolution, norm and the largest of 2 x 2 pixels, and a linear map of what is left.

    Source: Jiang, Kelly and Xiu 2023, "(Re-)Imag(in)ing price trends".
    """

    def __init__(self, shape: Shape, width: int, config: CnnConfig) -> None:
        super().__init__()
        blocks, height, breadth = blocks_of(shape, config.channels, 1)
        self.blocks = torch.nn.Sequential(*blocks, torch.nn.Flatten(2), Dropout(config.dropout))
        self.last = PartedLinear(config.channels[-1], height * breadth, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of pictures (B, C, H, W)."""
        outputs: torch.Tensor = self.last(self.blocks(z))
        return outputs


class BarCnn(torch.nn.Module):
    """Pictures of bars: blocks of two convolutions, an embedding, and linear outputs of it; a wider head takes the embedding itself too.

    Levels are averaged and bars are kept: where on the right of the picture a shape ends decides whether it is one. What the
    embedding holds is all that the outputs are made of. While it is trained, pictures are moved up or down by a few levels (jitter)
    and mixed with one another, targets too (Zhang et al. 2018, "mixup").
    """

    def __init__(self, shape: Shape, width: int, config: BarCnnConfig) -> None:
        super().__init__()
        self.config, self.gives = config, width > config.embedding
        blocks, height, _ = blocks_of(shape, config.channels, 2)
        self.blocks, self.dropout = torch.nn.Sequential(*blocks), Dropout(config.dropout)
        self.embedding = torch.nn.Linear(config.channels[-1] * height, config.embedding)
        self.last = torch.nn.Linear(config.embedding, width - config.embedding if self.gives else width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of pictures (B, C, bars, levels)."""
        found: torch.Tensor = self.embedding(self.blocks(z).mean(dim=3).flatten(1))
        outputs: torch.Tensor = self.last(self.dropout(torch.relu(found)))
        return torch.cat([outputs, found], dim=1) if self.gives else outputs

    def augmented(self, pictures: torch.Tensor, noise: torch.Generator) -> Augmented:
        """Pictures moved and mixed, the partner of each, and each one's own share."""
        count, levels, device = len(pictures), pictures.shape[3], pictures.device
        reach = self.config.jitter
        moved = torch.randint(-reach, reach + 1, (count, 1), generator=noise, device=device)
        place = (torch.arange(levels, device=device)[None] - moved).clamp(0, levels - 1)
        pictures = pictures.gather(3, place[:, None, None, :].expand_as(pictures))
        share = 1.0 - self.config.mixing * torch.rand(count, generator=noise, device=device)
        partner = torch.randperm(count, generator=noise, device=device)
        own = share[:, None, None, None]
        return own * pictures + (1.0 - own) * pictures[partner], partner, share
