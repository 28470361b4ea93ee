"""The sleeves of minutes across names, `intraday_xs` and `intraday_seq`: what the day's bars say of the sessions to come.

Both read 5-minute bars of the regular hours, on names whose minutes are GREEN in every session that is read, and rank names by
their expected return like any other sleeve of daily bars. `intraday_xs` is a table: means of indicators over the last half hour,
the day, and the bars of the two auctions. `intraday_seq` holds every bar of the day, for networks that look at several days of
them (the view `session_bars`). Minutes are where the training host is; a device takes the scores that are delivered.
"""

from functools import partial

from signals.features.history import joined
from signals.features.panel import Feature
from signals.indicators.catalogue import rows_of
from signals.sleeves.bars import MINUTE_BARS
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS = 5
TIMEFRAME, BARS = 5, 78  # minutes of a bar, and bars of a whole session
WARM_UP, LOOKBACK_SESSIONS = 80, 3  # bars before the open that indicators read; two half days hold as many
LATE_MINUTES = 30
PRESENT = "minutes_present"
CHANNELS = (
    *("return_z_60", "session_vwap_gap", "realised_20", "volume_z_20", "order_flow_10", "signed_share_20"),
    *("first_bar", "last_bar"),
)
PARTS = (
    ("session_vwap_gap", ("late", "day")),
    ("order_flow_10", ("late", "day")),
    ("signed_share_20", ("late", "day")),
    ("realised_20", ("late", "day")),
    ("return_z_60", ("late", "open", "close")),
    ("volume_z_20", ("late", "open", "close")),
)
_UNITS = {row.name: row.units for row in rows_of(CHANNELS)}


def _table(names: dict[str, str], *, is_ranked: bool) -> tuple[Feature, ...]:
    return tuple(
        Feature(name, f"{units} of {TIMEFRAME} min", LOOKBACK_SESSIONS, partial(joined, name=name), is_ranked=is_ranked)
        for name, units in names.items()
    )


MEANS = {f"{channel}_{part}": _UNITS[channel] for channel, parts in PARTS for part in parts}
STEPS = {f"{channel}@{ago}": units for ago in range(BARS - 1, -1, -1) for channel, units in _UNITS.items()}
INPUTS = ("daily_bars", MINUTE_BARS)
INTRADAY_XS = Sleeve("intraday_xs", INPUTS, _table(MEANS, is_ranked=True), HORIZON_SESSIONS, (PRESENT, *MEANS))
INTRADAY_SEQ = Sleeve("intraday_seq", INPUTS, _table(STEPS, is_ranked=False), HORIZON_SESSIONS, (PRESENT, *STEPS))
