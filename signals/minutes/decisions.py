"""Bars of one timeframe in one row each: the moments of decision, and the measures of trades on them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Bars, Floats
from signals.minutes.bars import PRICES, Flags, MinuteBars
from signals.minutes.stretch import timeframe_grids


def _none() -> NDArray[np.int64]:
    return np.empty((0, 0), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class DecisionBars(Bars):
    """Bars of one timeframe and one symbol, [bar, 1]; the axis `sessions` holds each bar's END, datetime64[s] in UTC.

    Attributes
    ----------
    session : int64, shape (T, 1)
        Number of the trading session that a bar is in, from 0 on.
    left : int64, shape (T, 1)
        Minutes from the bar's END to the session's close.
    sigma : float64, shape (T, 1)
        Average true range over the close: the unit of barriers.
    """

    session: NDArray[np.int64] = field(default_factory=_none)
    left: NDArray[np.int64] = field(default_factory=_none)
    sigma: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(array.shape != self.close.shape for array in (self.session, self.left, self.sigma)):
            raise InvariantBroken("decision bars' session, left and sigma are not of the shape of the bars")


def in_rows(minutes: MinuteBars, timeframe: int, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Put what is by session and bar, (S, B, ...), in one row a bar, (T, ...), sessions after one another."""
    return values[_inside(minutes, timeframe, values.shape[1])]


def _inside(minutes: MinuteBars, timeframe: int, width: int) -> Flags:
    inside: Flags = np.arange(width) < -(-minutes.minutes // timeframe)[:, None]
    return inside


def decision_bars(minutes: MinuteBars, timeframe: int, sigma: Floats) -> DecisionBars:
    """Return the bars of `timeframe` minutes; `sigma` is by session and bar, (S, B).

    A return over bars without a price is the gap's: it is not known bar by bar.
    """
    grids = timeframe_grids(minutes, timeframe)
    inside = _inside(minutes, timeframe, grids["close"].shape[1])
    number, bar = np.nonzero(inside)
    ends = np.minimum((bar + 1) * timeframe, minutes.minutes[number])
    columns = {name: grids[name][inside] for name in (*PRICES, "volume")}
    close = columns["close"]
    known = np.isfinite(close)
    row = np.arange(len(close))
    last = np.maximum.accumulate(np.where(known, row, -1))
    before = np.concatenate([[-1], last[:-1]])
    has = known & (before >= 0)
    is_night = has & (number[np.maximum(before, 0)] != number)
    base = np.where(has, close[np.maximum(before, 0)], np.nan)
    night = 1.0 + minutes.overnight[number]
    at_open = np.where(is_night, night, columns["open"] / base)
    at_close = np.where(is_night, night * close / columns["open"], close / base)
    is_next = before == row - 1

    def where(chosen: Flags, growth: Floats) -> Floats:
        return np.where(has & chosen, growth - 1.0, np.nan)[:, None]

    opens = minutes.opens.astype("datetime64[s]")
    return DecisionBars(
        sessions=opens[number] + (ends * 60).astype("timedelta64[s]"),
        symbols=(minutes.symbol,),
        open=columns["open"][:, None],
        high=columns["high"][:, None],
        low=columns["low"][:, None],
        close=close[:, None],
        volume=columns["volume"][:, None],
        total_return=where(is_next, at_close),
        overnight_return=where(is_next, at_open),
        eligible=known[:, None],
        gap_return=where(~is_next, at_close),
        gap_overnight=where(~is_next, at_open),
        session=number[:, None].astype(np.int64),
        left=(minutes.minutes[number] - ends)[:, None],
        sigma=sigma[inside][:, None],
    )
