"""The sleeve `events`: features of a name at the close at which a detector found an event.

Names without an event that evening are not scored. Figures that have a direction are seen from the event's proposed side. They
are computed where models are trained (`signals.events.figures`); a device records the same events and takes delivered scores.
"""

from functools import partial

from signals.features.history import joined
from signals.features.panel import Feature
from signals.indicators.regimes import WILD_FEATURE
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS, LOOKBACK_SESSIONS = 30, 61
DAILY_EVENTS = "daily_events"
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
TABLE = tuple(Feature(name, units, LOOKBACK_SESSIONS, partial(joined, name=name), is_ranked=False) for name, units in FIGURES.items())
ANALOGS = ("sim_conf", "hist_rr_pct")  # of past events like this one, where a recipe names a net of pictures (`signals.events.analogs`)
OPTIONAL = tuple(
    Feature(name, units, LOOKBACK_SESSIONS, partial(joined, name=name), is_ranked=False, reads=name)
    for name, units in zip(ANALOGS, ("quality x cosine", "R"), strict=True)
)
EVENTS = Sleeve("events", ("daily_bars", DAILY_EVENTS), TABLE, HORIZON_SESSIONS, tuple(FIGURES), (WILD_FEATURE, *OPTIONAL))
