"""Indicators of the session so far: range, return and volume up to the bar, the shape of the bar, and the time of day."""

import numpy as np

from signals.indicators.columns import IndicatorBars, of_all_rows
from signals.market.bars import Floats

OPENING_MINUTES = 15


def body(bars: IndicatorBars, _: int) -> Floats:
    """Close less open over the range; 0 where there is no range."""
    return np.where(bars.spread == 0.0, 0.0, (bars.close - bars.open) / bars.spread)


def upper_wick(bars: IndicatorBars, _: int) -> Floats:
    """The distance of the high above open and close, over the range; 0 where there is none."""
    return np.where(bars.spread == 0.0, 0.0, (bars.high - np.maximum(bars.open, bars.close)) / bars.spread)


def lower_wick(bars: IndicatorBars, _: int) -> Floats:
    """The distance of the low below open and close, over the range; 0 where there is none."""
    return np.where(bars.spread == 0.0, 0.0, (np.minimum(bars.open, bars.close) - bars.low) / bars.spread)


def range_ratio(bars: IndicatorBars, n: int) -> Floats:
    """Range of the bar over the mean range of n."""
    return bars.spread / bars.flows.mean("range", n)


def _own(bars: IndicatorBars, values: Floats) -> Floats:
    """`values` on the session's own bars, NaN in the warm-up."""
    return np.where(bars.row >= bars.warm_up, values, np.nan)


@of_all_rows
def _first_open(bars: IndicatorBars, _: int) -> Floats:
    """Open of the session's first traded bar, at the rows from there on."""
    known = (bars.row >= bars.warm_up) & np.isfinite(bars.open)
    first = known & (np.add.accumulate(known, axis=0) == 1)
    price = np.maximum.accumulate(np.where(first, bars.open, -np.inf), axis=0)
    return np.where(np.isfinite(price), price, np.nan)


def session_return(bars: IndicatorBars, n: int) -> Floats:
    """Log return since the session's first open."""
    return bars.log_close - np.log(_first_open(bars, n))


@of_all_rows
def overnight_gap(bars: IndicatorBars, n: int) -> Floats:
    """Log return from the last close before the session to its first open."""
    before = bars.close[: bars.warm_up]
    last = np.where(np.isfinite(before), bars.row[: bars.warm_up], -1.0).max(axis=0, initial=-1.0).astype(np.intp)
    price = np.where(last >= 0, bars.close[last, np.arange(bars.close.shape[1])], np.nan)
    return np.log(_first_open(bars, n) / price) + 0.0 * bars.close


@of_all_rows
def opening_range(bars: IndicatorBars, _: int) -> Floats:
    """Close in the range of the session's first 15 minutes, 0 at its low; NaN until they are over."""
    inside = (bars.ends > 0) & (bars.ends <= OPENING_MINUTES) & (bars.row >= bars.warm_up)
    high = np.maximum.accumulate(np.where(inside & np.isfinite(bars.high), bars.high, -np.inf), axis=0)
    low = np.minimum.accumulate(np.where(inside & np.isfinite(bars.low), bars.low, np.inf), axis=0)
    place = (bars.close - low) / (high - low)
    return np.where((bars.ends >= OPENING_MINUTES) & (bars.left >= 0), _own(bars, place), np.nan)


@of_all_rows
def _elapsed(bars: IndicatorBars, _: int) -> Floats:
    """Share of the session that is over."""
    total = np.where(bars.left >= 0, bars.ends + bars.left, 0)
    return np.where(total > 0, bars.ends / np.maximum(total, 1), np.nan)


def time_left(bars: IndicatorBars, n: int) -> Floats:
    """Share of the session that is left."""
    return 1.0 - _elapsed(bars, n)


def clock_sine(bars: IndicatorBars, n: int) -> Floats:
    """Sine of the session as one turn."""
    return np.sin(2.0 * np.pi * _elapsed(bars, n))


def clock_cosine(bars: IndicatorBars, n: int) -> Floats:
    """Cosine of the session as one turn."""
    return np.cos(2.0 * np.pi * _elapsed(bars, n))


def weekday(bars: IndicatorBars, _: int) -> Floats:
    """Day of the week, -1 on Monday, 1 on Friday."""
    return bars.weekday / 2.0 - 1.0 + 0.0 * bars.close


def wild(bars: IndicatorBars, _: int) -> Floats:
    """Filtered probability of the volatile state at the close before (Hamilton 1989)."""
    return _regime(bars, 0)


def rising(bars: IndicatorBars, _: int) -> Floats:
    """1 where the sessions' trend was up at the close before, -1 where it was down."""
    return _regime(bars, 1)


def since_change(bars: IndicatorBars, _: int) -> Floats:
    """Sessions since the trend changed, over 20, at most 3."""
    return np.minimum(_regime(bars, 2) / 20.0, 3.0)


def _regime(bars: IndicatorBars, row: int) -> Floats:
    return bars.nothing if bars.regime is None else _own(bars, bars.regime[row] + 0.0 * bars.close)
