"""Stretches: each session's bars of one timeframe, after the bars before its open; the rungs known at a moment; the moments of decision.

A session is a column of its own: W bars of warm-up, then its bars. What is computed down a column reads that column alone, so
that one session alone gives what all together give, to the bit, and a device keeps nothing but bars.

The warm-up's prices are scaled by f, its volumes by 1 / f, so that the step over each night is the total return

    f(s, k) = product over j = 0 .. k - 1 of  first open(s - j) / (last close(s - j - 1) (1 + overnight(s - j)))

for a bar k sessions before s: splits, dividends and rolls move nothing.

At a decision whose bar ENDs e minutes after the open a rung shows its last bar that has closed,

    searchsorted(ends, e, side="right") - 1

never the one that contains e. Before the session's own first bar that is the last one of the session before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput, InvariantBroken
from signals.market.bars import Bars, Days, Flags, Floats
from signals.minutes.bars import PRICES, QUOTES, Counts, MinuteBars

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Stretch:
    """Bars of one timeframe, [bar, session]: `warm_up` rows before the open, then the session's.

    Attributes
    ----------
    sessions : datetime64[D], shape (S,)
    timeframe, warm_up : int
        Minutes of a bar; rows before the open.
    open, high, low, close, volume : float64, shape (W + B, S)
        NaN where there is no bar: before the history begins and after the close.
    traded : float64, shape (W + B, S)
        Share of a bar's minutes with a trade.
    ends : int64, shape (W + B, S)
        Minutes from the open to each bar's END: 0 in the warm-up, more than any session has after the close.
    left : int64, shape (W + B, S)
        Minutes from a bar's END to the close; -1 outside of the session.
    complete : bool, shape (S,)
        Whether the history reaches back over the whole warm-up.
    quotes : mapping of name to float64, shape (W + B, S)
    """

    sessions: Days
    timeframe: int
    warm_up: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    traded: Floats
    ends: Counts
    left: Counts
    complete: Flags
    quotes: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def is_bar(self) -> Flags:
        """Which rows are bars of the session itself, also those without a price."""
        return (self.left >= 0) & (self.ends > 0)


def timeframe_grids(bars: MinuteBars, timeframe: int) -> dict[str, Floats]:
    """Bars of `timeframe` minutes, anchored at each session's open, float64 (S, B): the five fields, `traded` and quotes.

    Raises
    ------
    FixInput
        The timeframe is finer than the bars, or no multiple of them.
    """
    step, rest = divmod(timeframe, bars.length)
    if rest or step < 1:
        raise FixInput(
            f"bars of {bars.length} minutes do not make bars of {timeframe}", where=bars.symbol, fix=f"Use multiples of {bars.length}"
        )
    count = -(-bars.width // step)

    def blocks(array: Floats) -> Floats:
        padded = np.full((len(array), count * step), np.nan)
        padded[:, : array.shape[1]] = array
        return padded.reshape(len(array), count, step)

    inside = np.arange(bars.width) < -(-bars.minutes // bars.length)[:, None]
    cells = {name: blocks(getattr(bars, name)) for name in (*PRICES, "volume")}
    known = np.isfinite(cells["close"])
    some = known.any(axis=2)
    first = np.argmax(known, axis=2)[..., None]
    last = step - 1 - np.argmax(known[..., ::-1], axis=2)[..., None]
    share = blocks(np.where(inside, bars.traded, np.nan))
    made = {
        "open": np.take_along_axis(cells["open"], first, axis=2)[..., 0],
        "high": np.where(known, cells["high"], -np.inf).max(axis=2),
        "low": np.where(known, cells["low"], np.inf).min(axis=2),
        "close": np.take_along_axis(cells["close"], last, axis=2)[..., 0],
        "volume": np.where(known, cells["volume"], 0.0).sum(axis=2),
        "traded": np.where(np.isfinite(share), share, 0.0).sum(axis=2) / np.maximum(np.isfinite(share).sum(axis=2), 1),
    }
    made.update({name: blocks(array)[..., -1] for name, array in bars.quotes.items()})
    return {name: array if name in QUOTES else np.where(some, array, np.nan) for name, array in made.items()}


def stretch(bars: MinuteBars, timeframe: int, warm_up: int) -> Stretch:
    """Return every session's stretch of `timeframe` minutes with `warm_up` bars before its open."""
    if warm_up < 0:
        raise InvariantBroken(f"a warm-up of {warm_up} bars")
    grids = timeframe_grids(bars, timeframe)
    count = -(-bars.minutes // timeframe)  # bars of each session
    start = np.cumsum(count) - count
    sessions, width = len(count), grids["close"].shape[1]
    row = np.arange(-warm_up, width)[:, None]
    index = start + row
    there = (index >= 0) & (row < count)
    index = np.where(there, index, 0)
    owner = np.repeat(np.arange(sessions), count)
    ago = np.arange(sessions) - owner[index]
    scale = _scale(bars, int(np.where(there, ago, 0).max(initial=0)))[np.where(there, ago, 0), np.arange(sessions)]
    bar = np.concatenate([np.arange(n) for n in count]) if sessions else np.zeros(0, np.int64)

    def taken(name: str) -> Floats:
        values = grids[name][owner, bar][index]
        if name in (*PRICES, "bid", "ask"):
            values = values * scale
        elif name != "traded":
            values = values / scale
        return np.where(there, values, np.nan)

    is_own = there & (row >= 0)
    ends = np.where(is_own, np.minimum((row + 1) * timeframe, bars.minutes), np.where(row < 0, 0, NEVER))
    return Stretch(
        sessions=bars.sessions,
        timeframe=timeframe,
        warm_up=warm_up,
        **{name: taken(name) for name in (*PRICES, "volume", "traded")},
        ends=ends,
        left=np.where(is_own, bars.minutes - ends, -1),
        complete=start >= warm_up,
        quotes={name: taken(name) for name in bars.quotes},
    )


def _scale(bars: MinuteBars, most: int) -> Floats:
    """F of each number of sessions ago and each session, float64 (most + 1, S); 1 at none, NaN where a return is not known."""
    step = np.full(len(bars.sessions), np.nan)
    step[1:] = bars.first_open[1:] / (bars.last_close[:-1] * (1.0 + bars.overnight[1:]))
    scale = np.ones((most + 1, len(step)))
    for ago in range(1, most + 1):
        scale[ago] = np.nan
        scale[ago, ago - 1 :] = scale[ago - 1, ago - 1 :] * step[: len(step) - ago + 1]
    return scale


RUNGS = (1, 5, 10, 15, 20, 25, 30, 45, 60)


def as_of(rung: Stretch, ends: Counts) -> Counts:
    """Row of `rung` that is the last closed bar at each of `ends`, int64 (n, S): minutes from the open; rows (n, S).

    Raises
    ------
    InvariantBroken
        `ends` has other sessions than the rung, or the rung has no warm-up to show before its first bar closes.
    """
    if ends.ndim != 2 or ends.shape[1] != len(rung.sessions):
        raise InvariantBroken(f"moments of shape {ends.shape} for {len(rung.sessions)} sessions")
    if rung.warm_up < 1:
        raise InvariantBroken("a rung without a warm-up has nothing to show at the open")
    rows = np.empty(ends.shape, dtype=np.int64)
    for column in range(ends.shape[1]):
        rows[:, column] = np.searchsorted(rung.ends[:, column], ends[:, column], side="right") - 1
    return rows


def shown(values: Floats, rows: Counts) -> Floats:
    """Values of a rung, float64 (W + B, S), at the rows that `as_of` found, (n, S)."""
    return np.take_along_axis(values, rows, axis=0)


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

    @property
    def last_row(self) -> NDArray[np.int64]:
        """Last bar of each bar's session, shape (T,)."""
        return np.searchsorted(self.session[:, 0], self.session[:, 0], side="right") - 1


def in_rows(minutes: MinuteBars, timeframe: int, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Put what is by session and bar, (S, B, ...), in one row a bar, (T, ...), sessions after one another."""
    return values[_inside(minutes, timeframe, values.shape[1])]


def _inside(minutes: MinuteBars, timeframe: int, width: int) -> Flags:
    return np.arange(width) < -(-minutes.minutes // timeframe)[:, None]


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
