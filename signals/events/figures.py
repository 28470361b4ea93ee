"""Figures of the bars at an event, for what learns from events; those with a direction are seen from the event's side.

None is common to all names of a session: events of one session end alike, and such a figure lets a learner know sessions by heart.
"""

from collections.abc import Mapping

import numpy as np

from signals.events.clusters import DOLLAR_BARS, liquidity
from signals.events.detectors import detect
from signals.events.panel import EventBars, EventPanel
from signals.indicators.recurrence import shifted
from signals.indicators.stacked import Stacked
from signals.market.bars import Bars, Floats

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
