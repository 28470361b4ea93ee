"""The sleeve `events`: features of a name at the close at which a detector found an event.

Names without an event that evening are not scored. Figures that have a direction are seen from the event's proposed side. None is
common to all names of a session: events of one session end alike, and such a figure lets a learner know sessions by heart.

A gate, quantiles and offsets (`SHOWN`) read the same figures and are bundles of sleeves of their own: a device runs them on its own
bars and shows what they say, and what is traded never takes them for scores. Scores of the sleeve `events` are delivered to it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from signals.events.detectors import detect
from signals.events.panel import ATR_BARS, DOLLAR_BARS, EventBars, liquidity
from signals.events.recorded import ANALOGS, SHOWN
from signals.features.history import joined
from signals.features.panel import Feature
from signals.indicators.recurrence import shifted
from signals.indicators.regimes import WILD_FEATURE
from signals.indicators.stacked import Stacked
from signals.market.bars import Bars, Floats
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS, ROOM_BARS = 30, 60
LOOKBACK_SESSIONS = ROOM_BARS + ATR_BARS  # the oldest of 60 average true ranges looks back at 14 bars and the close before them
DAILY_EVENTS = "daily_events"
DECIMALS = 9  # a move of nothing is 0, and not what a longer history rounds it to
FIGURES = {
    "event_kind": "kind",
    "event_side": "sign",
    "event_strength": "of its kind",
    "event_pole": "ATR",
    "event_third": "third",
    "event_atr": "log ratio",
    "event_atr_ratio": "ratio",
    "event_range": "ATR",
    "event_body": "ATR",
    "event_move_5": "ATR",
    "event_move_20": "ATR",
    "event_room_60": "ATR",
    "event_volume": "log ratio",
}
_of = partial(Feature, lookback_sessions=LOOKBACK_SESSIONS, is_ranked=False)
TABLE = tuple(_of(name, units, formula=partial(joined, name=name)) for name, units in FIGURES.items())
OF_PEERS = {"event_signed_volume": "share", **dict.fromkeys(("event_beta_spy", "event_beta_sector"), "ratio")}
OF_PEERS |= dict.fromkeys(("event_tlt_20", "event_hyg_20", "event_vix_20"), "fraction")  # `trainer.samples.peers`
OPTIONAL = tuple(
    _of(name, units, formula=partial(joined, name=name), reads=name if name in ANALOGS else "event_signed_volume")
    for name, units in {**dict(zip(ANALOGS, ("quality x cosine", "R"), strict=True)), **OF_PEERS}.items()
)


def event_figures(bars: Bars) -> Mapping[str, Floats]:
    """Return the figures by name, float64 (T, N), NaN where an eligible name has no event; nothing after a bar enters its own."""
    levels = EventBars.of(bars)
    found = detect(levels)
    side, atr, close = found.side.astype(np.float64), found.atr, levels.close
    with np.errstate(invalid="ignore", divide="ignore"):
        dollars = np.where(levels.dollars > 0.0, np.log(levels.dollars), np.nan)
        stacked = Stacked({"high": levels.high, "-low": -levels.low, "dollars": dollars, "atr": atr})
        room = np.where(side > 0, stacked.highest("high", ROOM_BARS) - close, stacked.highest("-low", ROOM_BARS) + close)
        figures = {
            "kind": found.kind.astype(np.float64),
            "side": side,
            "strength": found.strength.astype(np.float64),
            "pole": found.pole_katr.astype(np.float64),
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
    has = (found.kind > 0) & bars.eligible
    return {f"event_{name}": np.where(has, panel.round(DECIMALS), np.nan) for name, panel in figures.items()}


def with_figures(bars: Bars, analogs: Mapping[str, NDArray[np.floating]] | None = None) -> Bars:
    """Return the bars with the figures of their events, and of the last bar's with `analogs`, by symbol; NaN elsewhere."""
    made = np.full((len(ANALOGS), *bars.close.shape), np.nan)
    for symbol, values in (analogs or {}).items():
        made[:, -1, bars.column(symbol)] = values
    return replace(bars, joined={**bars.joined, **event_figures(bars), **dict(zip(ANALOGS, made, strict=True))})


EVENTS = Sleeve("events", ("daily_bars", DAILY_EVENTS), TABLE, HORIZON_SESSIONS, tuple(FIGURES), (WILD_FEATURE, *OPTIONAL))
GATE, QUANTILES, ARMS = (replace(EVENTS, name=name) for name in SHOWN)
