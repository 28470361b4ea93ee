"""LSTM: long short-term memory over the window; the last state gives the outputs.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory".
"""

import torch

from trainer.learners.networks.layers import Recurrent, Shape
from trainer.learners.networks.parameters import RecurrentConfig


class Lstm(Recurrent):
    """Layers of LSTM."""

    def __init__(self, shape: Shape, width: int, config: RecurrentConfig) -> None:
        super().__init__(torch.nn.LSTM(shape[1], config.hidden, config.layers, batch_first=True), width, config.dropout)
