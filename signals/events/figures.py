"""Figures of the bars at an event, for what learns from events; those with a direction are seen from the event's side.

None is common to all names of a session: events of one session end alike, and such a figure lets a learner know sessions by heart.
One is the cluster of liquidity: the high, middle and low third of names by dollars traded, as known at each bar.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from signals.events.detectors import detect
from signals.events.panel import EventBars, EventPanel, Flags
from signals.indicators.recurrence import shifted
from signals.indicators.stacked import Stacked
from signals.market.bars import Bars, Floats

DOLLAR_BARS, LEAST_NAMES = 60, 3


class LiquidityThird(IntEnum):
    """Third of the names of one bar by dollars traded."""

    UNKNOWN = 0
    LOW = 1
    MIDDLE = 2
    HIGH = 3


def liquidity(dollars: Floats, eligible: Flags, bars: int = DOLLAR_BARS) -> NDArray[np.int8]:
    """Third of each eligible name by its mean dollars traded over the last `bars` bars, among the eligible of the same bar.

    Parameters
    ----------
    dollars : float64, shape (T, N)
    eligible : bool, shape (T, N)

    Returns
    -------
    int8, shape (T, N)
        `LiquidityThird`; unknown where a name is not eligible or has under 80 % of its bars, and where three names cannot be
        compared. Equal names share a third.
    """
    mean = np.where(eligible, Stacked({"dollars": dollars}).mean("dollars", bars), np.nan)
    third = np.zeros(mean.shape, np.int8)
    for row, out in zip(mean, third, strict=True):
        known = np.isfinite(row)
        if np.count_nonzero(known) >= LEAST_NAMES:
            low, high = np.quantile(row[known], [1.0 / 3.0, 2.0 / 3.0])
            out[known] = LiquidityThird.LOW + (row[known] > low) + (row[known] > high)
    return third


ROOM_BARS = 60


def event_figures(bars: Bars) -> Mapping[str, Floats]:
    """Return the figures by name, float64 (T, N), NaN where an eligible name has no event; nothing after a bar enters its own."""
    levels = EventBars.daily(bars)
    found = detect(levels)
    has = (found.kind > 0) & bars.eligible
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = {**_of_event(found), **_of_bars(levels, bars, found)}
    return {f"event_{name}": np.where(has, panel, np.nan) for name, panel in figures.items()}


def _of_event(found: EventPanel) -> dict[str, Floats]:
    kind, side = found.kind.astype(np.float64), found.side.astype(np.float64)
    return {"kind": kind, "side": side, "strength": found.strength.astype(np.float64), "pole": found.pole_katr.astype(np.float64)}


def _of_bars(levels: EventBars, bars: Bars, found: EventPanel) -> dict[str, Floats]:
    side, atr, close = found.side.astype(np.float64), found.atr, levels.close
    dollars = np.where(levels.dollars > 0.0, np.log(levels.dollars), np.nan)
    stacked = Stacked({"high": levels.high, "-low": -levels.low, "dollars": dollars, "atr": atr})
    room = np.where(side > 0, stacked.highest("high", ROOM_BARS) - close, stacked.highest("-low", ROOM_BARS) + close)
    return {
        "third": liquidity(levels.dollars, bars.eligible).astype(np.float64),
        "atr": np.log(atr / close),
        "atr_ratio": atr / stacked.mean("atr", ROOM_BARS),
        "range": (levels.high - levels.low) / atr,
        "body": side * (close - levels.open) / atr,
        "move_5": side * (close - shifted(close, 5)) / atr,
        "move_20": side * (close - shifted(close, 20)) / atr,
        "room_60": room / atr,
        "volume": dollars - stacked.mean("dollars", DOLLAR_BARS),
    }
