"""GRU: gated recurrent units over the window; the last state gives the outputs.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
"""

import torch

from trainer.learners.networks.layers import Recurrent, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class Gru(Recurrent):
    """Layers of GRU."""

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__(torch.nn.GRU(shape[1], config.hidden, config.layers, batch_first=True), width, config.dropout)
