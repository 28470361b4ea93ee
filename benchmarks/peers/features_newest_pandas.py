"""P2 peer: `python features_newest_pandas.py STORE.duckdb SESSIONS.npy [VALUES.npy]`.

The store has no row for an absent bar, so the frame is laid out on the grid of symbols and sessions first.
"""

from __future__ import annotations

import sys

import duckdb
import numpy as np
import pandas as pd
from features_pandas_formulas import features
from features_workload import LOOKBACK_SESSIONS, NAMES, finished

sessions = np.load(sys.argv[2])[-LOOKBACK_SESSIONS:].astype("datetime64[D]")
connection = duckdb.connect(sys.argv[1], read_only=True, config={"threads": 1})
frame = connection.execute(
    "SELECT symbol, session, close, volume, total_return AS r, overnight_return AS o, eligible FROM bars WHERE session >= ?",
    [sessions[0].item()],
).df()
symbols = np.sort(frame.symbol.unique())
grid = pd.MultiIndex.from_product([symbols, sessions.astype("datetime64[us]")], names=["symbol", "session"])
frame = frame.set_index(["symbol", "session"]).reindex(grid).reset_index()
frame["eligible"] = frame.eligible.eq(True)
table = features(frame)
newest = table[NAMES][(frame.session == frame.session.iloc[-1]).to_numpy()].to_numpy(np.float32)
finished(f"duckdb {duckdb.__version__}, pandas {pd.__version__}", newest)
