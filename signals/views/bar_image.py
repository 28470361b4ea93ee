"""The picture of bars: one sample is `bar-image/1` of the sessions that end at its own."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from signals.errors import InvariantBroken
from signals.events.images import NAME, SIZE, TOGETHER, WINDOW, images
from signals.features.panel import FeaturePanel
from signals.views.gathering import STRICT, Rows, require_inside

BAR = ("return since the bar before", "open", "high", "low")
BRIGHTEST = np.float32(255.0)


@dataclass(frozen=True, config=STRICT)
class BarImageView:
    """Picture of shape (3, 64 bars, 64 levels), from 0 to 1, of bars that a panel gives as four ratios.

    They are the total return since the bar before, and open, high and low as shares of the close: numbers of one bar, so that
    a picture is the same to the bit however long the history before its 127 bars is. A sample that lacks one has no picture;
    bars of sessions at which the name could not be scored are bars all the same.
    """

    kind: Literal["bar_image"] = "bar_image"

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return WINDOW

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample; raise `InvariantBroken` unless there are four features."""
        if features != len(BAR):
            raise InvariantBroken(f"{features} features are not the {len(BAR)} of a bar that {NAME} is painted of")
        return (3, SIZE, SIZE)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Pictures of the symbols `column` that end at the sessions `t`; float32 (n, 3, 64, 64).

        NaN where a bar is missing or before the panel begins.
        """
        require_inside(panel, t, column)
        found = np.full((len(t), *self.shape(len(panel.names))), np.nan, dtype=np.float32)
        for first in range(0, len(t), TOGETHER):
            part = slice(first, first + TOGETHER)
            at = t[part] - np.arange(WINDOW)[::-1, None]
            bars = panel.values[np.maximum(at, 0), column[part]].astype(np.float64)
            bars[at < 0] = np.nan
            growth = 1.0 + bars[..., 0]
            growth[0] = 1.0
            close = np.cumprod(growth, axis=0)
            prices = [np.ascontiguousarray(x) for x in (close * bars[..., 1], close * bars[..., 2], close * bars[..., 3], close)]
            whole = np.logical_and.reduce([(np.isfinite(x) & (x > 0.0)).all(axis=0) for x in prices])
            if whole.any():
                found[first + np.flatnonzero(whole)] = images(*(np.ascontiguousarray(x[:, whole]) for x in prices)) / BRIGHTEST
        return found
