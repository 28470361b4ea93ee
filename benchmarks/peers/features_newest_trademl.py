"""P2, our side: `python features_newest_trademl.py STORE.duckdb SESSIONS.npy [VALUES.npy]`, as the device does it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time
from pathlib import Path

import duckdb
import numpy as np
from features_workload import finished

from appliance.market.store import MarketStore
from signals.market.sessions import Calendar, Session
from signals.sleeves import SLEEVES

days = np.load(sys.argv[2]).astype("datetime64[D]").tolist()
hours = ((datetime.combine(day, time(14, 30), UTC), datetime.combine(day, time(21), UTC)) for day in days)
calendar = Calendar("XNYS", tuple(Session(day, *pair) for day, pair in zip(days, hours, strict=True)))
sleeve = SLEEVES["equities_xs"]
market = MarketStore(Path(sys.argv[1]), calendar)
bars = market.bars(days[-1], sleeve.lookback_sessions)
panel = sleeve.features(bars, days[-1])
market.close()
finished(f"duckdb {duckdb.__version__}, numpy {np.__version__}", panel.values[0])
