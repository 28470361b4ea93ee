"""P5 peer: `python day_pandas.py STORE.duckdb MODEL.txt [SCORES.npy]`: DuckDB -> pandas groupby -> LightGBM."""

from __future__ import annotations

import sys

import duckdb
import lightgbm
import numpy as np
import pandas as pd
from day_workload import finished, sessions_of
from features_pandas_formulas import features
from features_workload import LOOKBACK_SESSIONS, NAMES

sessions = sessions_of(sys.argv[1])[-LOOKBACK_SESSIONS:]
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
newest = ((frame.session == frame.session.iloc[-1]) & frame.eligible).to_numpy()
booster = lightgbm.Booster(model_file=sys.argv[2])
scores = booster.predict(table[NAMES][newest].to_numpy(np.float32), num_threads=1)
version = f"duckdb {duckdb.__version__}, pandas {pd.__version__}, lightgbm {lightgbm.__version__}"
finished(version, np.asarray(scores), [])
