"""Bars of symbols, the panel and table of the events found at them, and the third of names by dollars traded that each symbol is in.

A panel holds one event at most for each bar of a symbol, so that an event is named by (symbol, bar).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.indicators.recurrence import shifted
from signals.indicators.stacked import Stacked
from signals.market.bars import Bars, Flags, Floats, comparable, without_return

Rows = NDArray[np.int64]
Floats32 = NDArray[np.float32]

ATR_BARS = 14
DOLLAR_BARS, LEAST_NAMES = 60, 3


class Kind(IntEnum):
    """Kind of an event."""

    NONE = 0
    FLAG = 1
    WEDGE = 2
    BLOW_OFF = 3
    WICK = 4
    BREAKOUT = 5


@dataclass(frozen=True, eq=False)
class EventBars:
    """Bars [bar, symbol] whose prices can be compared down a column; NaN where there is none. Others are `InvariantBroken`.

    Attributes
    ----------
    open, high, low, close : float64, shape (T, N)
        Comparable levels of each symbol.
    dollars : float64, shape (T, N)
        Dollars traded, NaN where not known.
    is_broken : bool, shape (T, N)
        The bar's level against that of the bar before is not known: no event and no outcome reaches across it.
    last_row : int64, shape (T,), optional
        Last bar of each bar's session, for bars within the day: no outcome reaches beyond it.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    dollars: Floats
    is_broken: Flags
    last_row: Rows | None = None

    def __post_init__(self) -> None:
        shape, has = self.close.shape, np.isfinite(self.close)
        for name in ("open", "high", "low", "dollars", "is_broken"):
            if getattr(self, name).shape != shape or len(shape) != 2:
                raise InvariantBroken(f"bars of events: {name} has shape {getattr(self, name).shape}, the close {shape}")
        if any((np.isfinite(x) != has).any() for x in (self.open, self.high, self.low)):
            raise InvariantBroken("bars of events: a bar has some of its prices only")
        if (self.high[has] < self.low[has]).any():
            raise InvariantBroken("bars of events: a high is under its low")
        if self.last_row is not None and (self.last_row.shape != shape[:1] or (self.last_row < np.arange(shape[0])).any()):
            raise InvariantBroken("bars of events: a session ends before one of its bars")

    @classmethod
    def of(cls, bars: Bars) -> Self:
        """Bars at total-return levels, so that no split or dividend looks like a move; a trade on minutes ends with its session."""
        opened, high, low, close, _ = comparable(bars)
        dollars = bars.close * bars.volume if bars.has_dollars else np.full(bars.close.shape, np.nan)
        return cls(opened, high, low, close, dollars, without_return(bars), bars.last_row)

    def atr(self) -> Floats:
        """Mean true range of 14 bars: of these bars alone, however long the history before them; shape (T, N)."""
        before = shifted(self.close, 1)
        before = np.where(np.isnan(before), self.close, before)
        true_range = np.maximum(self.high, before) - np.minimum(self.low, before)
        return Stacked({"true": true_range}).mean("true", ATR_BARS)


def any_of(flags: Flags, bars: int) -> Flags:
    """Whether one of the last `bars` flags of a column is set; of fewer rows, one of those."""
    seen = np.cumsum(flags, axis=0)
    earlier = np.zeros_like(seen)
    earlier[bars:] = seen[:-bars]
    found: Flags = seen > earlier
    return found


@dataclass(frozen=True, eq=False)
class EventPanel:
    """Events of each bar, shape (T, N); of a table, shape (n,).

    Attributes
    ----------
    kind, side : int8
        `Kind`; the proposed side, 1 long, -1 short; 0 where there is nothing.
    pole_katr : float32
        Length of a flag's pole in average true ranges at its foot; NaN for other kinds.
    strength : float32
        How far beyond its rule, each kind in a unit of its own; NaN where there is nothing.
    atr : float64
        Mean true range known at the bar's close.
    """

    kind: NDArray[np.int8]
    side: NDArray[np.int8]
    pole_katr: Floats32
    strength: Floats32
    atr: Floats

    def table(self, among: Flags | None = None) -> EventTable:
        """Return the events, of the bars `among` where given, as rows."""
        row, column = np.nonzero((self.kind > 0) if among is None else (self.kind > 0) & among)
        picked = {name: panel[row, column] for name, panel in vars(self).items()}
        return EventTable(**picked, row=row.astype(np.int64), column=column.astype(np.int64))


@dataclass(frozen=True, eq=False)
class EventTable(EventPanel):
    """Events in the order of their bars, then of their symbols; each pair of `row` and `column`, int64 (n,), occurs once."""

    row: Rows
    column: Rows

    def __len__(self) -> int:
        """How many there are."""
        return len(self.row)


class LiquidityThird(IntEnum):
    """Third of the names of one bar by dollars traded."""

    UNKNOWN = 0
    LOW = 1
    MIDDLE = 2
    HIGH = 3


def liquidity(dollars: Floats, eligible: Flags) -> NDArray[np.int8]:
    """Return the `LiquidityThird`, int8 (T, N), of each eligible name by its mean dollars over the last `DOLLAR_BARS` bars; all are (T, N).

    Unknown where it has under 80 % of its bars, or where three eligible names of its bar cannot be compared. Equal names share a third.
    """
    mean = np.where(eligible, Stacked({"dollars": dollars}).mean("dollars", DOLLAR_BARS), np.nan)
    third = np.zeros(mean.shape, np.int8)
    for row, out in zip(mean, third, strict=True):
        known = np.isfinite(row)
        if np.count_nonzero(known) >= LEAST_NAMES:
            low, high = np.quantile(row[known], [1.0 / 3.0, 2.0 / 3.0])
            out[known] = LiquidityThird.LOW + (row[known] > low) + (row[known] > high)
    return third
