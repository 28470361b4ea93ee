"""Bars of one instrument by session and minute, on the grid of its calendar.

Column j of a session is the bar (open + j m, open + (j + 1) m], m the length of a bar: bars are named by their END. The last
one of a session whose length m does not divide is shorter and ends at the close.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Days, Flags, Floats

PRICES = ("open", "high", "low", "close")
QUOTES = ("bid", "ask", "bid_size", "ask_size")
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MinuteBars:
    """Minute bars of one instrument, [session, bar]. Nothing is carried from one session to another.

    Attributes
    ----------
    sessions : datetime64[D], shape (S,)
        Trading days, increasing; one whose minutes cannot be used is absent.
    opens : datetime64[m], shape (S,), UTC
    minutes : int64, shape (S,)
        Length of each session.
    open, high, low, close, volume : float64, shape (S, M)
        NaN beyond a session's length, where minutes are missing, and before a session's first trade. A minute without a trade
        carries the last price with volume 0.
    traded : bool, shape (S, M)
    overnight : float64, shape (S,)
        Total return from the last close of the session before it to its first open; NaN for the first session of all.
    quotes : mapping of name to float64, shape (S, M)
        `bid`, `ask`, `bid_size` and `ask_size` at the END, as far as there are any.
    length : int
        Minutes of a bar, 1 but for vendors of coarser bars.

    Raises
    ------
    InvariantBroken
        Shapes, order or signs disagree, or a bar contradicts itself.
    """

    symbol: str
    sessions: Days
    opens: NDArray[np.datetime64]
    minutes: Counts
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    traded: Flags
    overnight: Floats
    quotes: Mapping[str, Floats] = field(default_factory=dict)
    length: int = 1

    def __post_init__(self) -> None:
        shape, columns = (len(self.sessions), self.width), -(-self.minutes // self.length)
        for name, array in self.grids().items():
            if array.shape != shape:
                raise InvariantBroken(f"minute bars' {name} has shape {array.shape}, not {shape}")
            array.setflags(write=False)
        if any(len(array) != shape[0] for array in (self.opens, self.minutes, self.overnight)):
            raise InvariantBroken("minute bars' sessions, opens, minutes and overnight returns differ in length")
        if shape[0] > 1 and not bool(np.all(np.diff(self.sessions) > np.timedelta64(0, "D"))):
            raise InvariantBroken("sessions of minute bars must increase")
        if shape[0] and (int(columns.max()) > shape[1] or int(self.minutes.min()) < 1 or self.length < 1):
            raise InvariantBroken(f"sessions of up to {int(self.minutes.max())} minutes in {shape[1]} bars of {self.length}")
        beyond = np.arange(shape[1]) >= columns[:, None]
        known = np.isfinite(self.close)
        if bool((beyond & (known | self.traded)).any()):
            raise InvariantBroken("a bar after its session's close")
        for name in (*PRICES, "volume"):
            if not np.array_equal(np.isfinite(getattr(self, name)), known):
                raise InvariantBroken(f"minute bars' {name} is NaN where the close is not, or the reverse")
        with np.errstate(invalid="ignore"):
            body = (self.low <= np.minimum(self.open, self.close)) & (self.high >= np.maximum(self.open, self.close))
        if not bool((~known | (body & (self.low > 0.0) & (self.volume >= 0.0))).all()):
            raise InvariantBroken("a minute's price is outside of its range, or a price or volume has the wrong sign")
        if not bool(known.any(axis=1).all()):
            raise InvariantBroken("a session without a bar")

    def grids(self) -> dict[str, NDArray[Any]]:
        """Arrays of shape (S, M) by name."""
        return {**{name: getattr(self, name) for name in (*PRICES, "volume", "traded")}, **self.quotes}

    @property
    def width(self) -> int:
        """M: bars of the longest session."""
        return int(self.close.shape[1])

    @property
    def first_open(self) -> Floats:
        """Price of each session's first bar, (S,)."""
        first = np.argmax(np.isfinite(self.open), axis=1)
        return np.take_along_axis(self.open, first[:, None], axis=1)[:, 0]

    @property
    def last_close(self) -> Floats:
        """Price of each session's last bar, (S,)."""
        last = self.width - 1 - np.argmax(np.isfinite(self.close)[:, ::-1], axis=1)
        return np.take_along_axis(self.close, last[:, None], axis=1)[:, 0]

    def rows(self, first: int, last: int) -> Self:
        """Return the sessions first <= s < last."""
        axes = {name: getattr(self, name)[first:last] for name in ("sessions", "opens", "minutes", "overnight")}
        return self._made({name: array[first:last] for name, array in self.grids().items()}, axes)

    def without(self, dropped: Flags) -> Self:
        """Return the sessions that are not `dropped`, bool (S,); the return over one that was is part of the next overnight return."""
        return self._kept(~dropped, self.grids(), self.opens, self.minutes) if dropped.any() else self

    def between(self, first: Counts, last: Counts) -> Self:
        """Return the minutes first <= minute < last of each session, int64 (S,), as sessions of their own.

        Sessions without a bar there are left out. Overnight returns reach from what is last now to what is first now.
        """
        begin = np.clip(first, 0, self.minutes) // self.length
        end = -(-np.clip(last, 0, self.minutes) // self.length)
        source = begin[:, None] + np.arange(max(1, int((end - begin).max(initial=1))))
        inside, source = source < end[:, None], np.minimum(source, self.width - 1)
        grids: dict[str, NDArray[Any]] = {}
        for name, array in self.grids().items():
            taken = np.take_along_axis(array, source, axis=1)
            grids[name] = taken & inside if taken.dtype == bool else np.where(inside, taken, np.nan)
        minutes = np.minimum(end * self.length, self.minutes) - begin * self.length
        opens = self.opens + (begin * self.length).astype("timedelta64[m]")
        return self._kept(np.isfinite(grids["close"]).any(axis=1), grids, opens, minutes)

    def _kept(self, kept: Flags, grids: Mapping[str, NDArray[Any]], opens: NDArray[np.datetime64], minutes: Counts) -> Self:
        """Those sessions of `grids` that are `kept`, with returns since the last close that is kept."""
        axes = {"sessions": self.sessions[kept], "opens": opens[kept], "minutes": minutes[kept]}
        made = self._made({name: array[kept] for name, array in grids.items()}, {**axes, "overnight": self.overnight[kept]})
        numbers, ratio = np.flatnonzero(kept), np.ones((2, len(kept)))
        ratio[:, numbers] = made.first_open / self.first_open[kept], self.last_close[kept] / made.last_close
        overnight, growth, whole = np.empty(len(kept)), np.nan, self.last_close / self.first_open
        for s, since in enumerate(self.overnight):
            growth *= 1.0 + since
            overnight[s] = growth * ratio[0, s] - 1.0
            growth = ratio[1, s] if kept[s] else growth * whole[s]
        return replace(made, overnight=overnight[kept])

    def _made(self, grids: Mapping[str, NDArray[Any]], axes: Mapping[str, NDArray[Any]]) -> Self:
        """The same instrument with other arrays."""
        changed: dict[str, Any] = {name: array for name, array in grids.items() if name not in QUOTES} | dict(axes)
        return replace(self, **changed, quotes={name: grids[name] for name in self.quotes})
