"""The image: one sample is a picture of the last sessions, one column of pixels a session."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.views.gathering import STRICT, Channels, Rows, Side, require_inside, rows_ago


@dataclass(frozen=True, config=STRICT)
class ImageView:
    """Picture of shape (C, H, W): `width` sessions from left to right, the sample's own on the right.

    The features of a session are its column of pixels: channel after channel, each from the top down, so that a panel
    has `channels` x `height` features. With one channel the picture is the table of features against time.
    """

    channels: Channels
    height: Side
    width: Side
    kind: Literal["image"] = "image"

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return self.width

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features; raise `InvariantBroken` where they do not fill the picture."""
        if features != self.channels * self.height:
            raise InvariantBroken(f"{features} features do not fill {self.channels} channels of {self.height} pixels")
        return (self.channels, self.height, self.width)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` whose pictures end at the sessions `t`; float32 (n, C, H, W).

        NaN before the panel begins, and where the name could not be scored.
        """
        require_inside(panel, t, column)
        gathered = np.empty((len(t), *self.shape(len(panel.names))), dtype=np.float32)
        for place in range(self.width):
            values = rows_ago(panel, t, column, self.width - 1 - place)
            gathered[..., place] = values.reshape(len(t), self.channels, self.height)
        return gathered
