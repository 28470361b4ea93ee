"""Windows: one sample is the features of several consecutive sessions, oldest first, ending at the sample's own."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.views.gathering import MAX_STEPS, STRICT, Rows, Steps, require_inside, rows_ago


@dataclass(frozen=True, config=STRICT)
class WindowsView:
    """The features of the `length` sessions that end at the sample's, shape (L, F)."""

    length: Steps
    kind: Literal["windows"] = "windows"

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return self.length

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features."""
        return (self.length, features)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` whose windows end at the sessions `t`; float32 (n, L, F).

        NaN before the panel begins, and where the name could not be scored.
        """
        return _gather(panel, t, column, range(self.length - 1, -1, -1))


@dataclass(frozen=True, config=STRICT)
class SeveralWindowsView:
    """Windows of several timeframes in one array, shape (sum of L, F).

    Attributes
    ----------
    lengths : tuple of int
        Steps of each window, in the order in which they follow one another.
    every : tuple of int
        Sessions between two steps of each window: 1 takes every session, 5 every fifth. Each ends at the sample's.
    """

    lengths: tuple[Steps, ...] = Field(min_length=2, max_length=8)
    every: tuple[Steps, ...] = Field(min_length=2, max_length=8)
    kind: Literal["several_windows"] = "several_windows"

    @model_validator(mode="after")
    def _pairs(self) -> SeveralWindowsView:
        if len(self.lengths) != len(self.every):
            raise ValueError(f"{len(self.lengths)} lengths and {len(self.every)} timeframes")
        if self.sessions > MAX_STEPS or sum(self.lengths) > MAX_STEPS:
            raise ValueError(f"the windows reach back more than {MAX_STEPS} sessions")
        return self

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return max((length - 1) * every + 1 for length, every in zip(self.lengths, self.every, strict=True))

    @property
    def parts(self) -> tuple[slice, ...]:
        """Where each window is on the first axis of a sample."""
        ends = np.cumsum(self.lengths).tolist()
        return tuple(slice(end - length, end) for end, length in zip(ends, self.lengths, strict=True))

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features."""
        return (sum(self.lengths), features)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` whose windows end at the sessions `t`; float32 (n, sum of L, F).

        NaN before the panel begins, and where the name could not be scored.
        """
        ago = [step * every for length, every in zip(self.lengths, self.every, strict=True) for step in range(length - 1, -1, -1)]
        return _gather(panel, t, column, ago)


@dataclass(frozen=True, config=STRICT)
class SessionBarsView:
    """Windows of bars of the day: each session's features are its `bars` bars, the oldest first; shape (length x bars, F / bars)."""

    length: Steps
    bars: Steps
    kind: Literal["session_bars"] = "session_bars"

    @model_validator(mode="after")
    def _is_short(self) -> SessionBarsView:
        if self.length * self.bars > MAX_STEPS:
            raise ValueError(f"the window is longer than {MAX_STEPS} bars")
        return self

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return self.length

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features; raise `InvariantBroken` where they are not so many bars."""
        if not features or features % self.bars:
            raise InvariantBroken(f"{features} features are not {self.bars} bars")
        return (self.length * self.bars, features // self.bars)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` whose windows end at the sessions `t`; float32 (n, length x bars, F / bars).

        NaN before the panel begins, and where the name could not be scored.
        """
        return _gather(panel, t, column, range(self.length - 1, -1, -1)).reshape(len(t), *self.shape(len(panel.names)))


def _gather(panel: FeaturePanel, t: Rows, column: Rows, ago: range | list[int]) -> NDArray[np.float32]:
    """Gather one step after the other, so that nothing larger than the result is ever held."""
    require_inside(panel, t, column)
    gathered = np.empty((len(t), len(ago), len(panel.names)), dtype=np.float32)
    for step, sessions in enumerate(ago):
        gathered[:, step] = rows_ago(panel, t, column, sessions)
    return gathered
