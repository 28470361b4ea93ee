"""The input of a model for one sample of a feature panel: a row of a table, windows of sessions or bars, an image, or a picture of bars."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from signals.errors import InvariantBroken
from signals.events.images import NAME, TOGETHER, WINDOW, images
from signals.events.recorded import SIZE
from signals.features.panel import FeaturePanel

STRICT = ConfigDict(strict=True, extra="forbid", defer_build=True)
MAX_STEPS = 4_096
MAX_SIDE = 512
MAX_CHANNELS = 64

Rows = NDArray[np.int64]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]


def rows_ago(panel: FeaturePanel, t: Rows, column: Rows, sessions: int = 0) -> NDArray[np.float32]:
    """Values of the symbols `column` at `sessions` before the sessions `t`; float32 (n, F).

    NaN where that is before the panel begins, and where the name could not be scored then.
    """
    at = t - sessions
    values = panel.values[np.maximum(at, 0), column]
    if sessions:
        values[(at < 0) | ~panel.eligible[np.maximum(at, 0), column]] = np.nan
    return values


def require_inside(panel: FeaturePanel, t: Rows, column: Rows) -> None:
    """Raise `InvariantBroken` unless `t` and `column` are rows and columns of the panel, one of each a sample."""
    if t.shape != column.shape or t.ndim != 1:
        raise InvariantBroken(f"samples at sessions of shape {t.shape} and columns of shape {column.shape}")
    for index, size, axis in ((t, len(panel.sessions), "session"), (column, len(panel.symbols), "column")):
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= size):
            raise InvariantBroken(f"a sample's {axis} is outside of the panel's {size}")


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


@dataclass(frozen=True, config=STRICT)
class TableView:
    """One row of features a sample, shape (F,)."""

    kind: Literal["table"] = "table"

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return 1

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features."""
        return (features,)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` at the sessions `t`; float32 (n, F)."""
        require_inside(panel, t, column)
        return rows_ago(panel, t, column)


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
