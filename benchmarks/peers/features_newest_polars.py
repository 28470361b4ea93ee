"""P2 peer: `python features_newest_polars.py STORE.duckdb SESSIONS.npy [VALUES.npy]`."""

from __future__ import annotations

import sys

import duckdb
import numpy as np
import polars as pl
from features_polars_formulas import features
from features_workload import LOOKBACK_SESSIONS, NAMES, finished

sessions = np.load(sys.argv[2])[-LOOKBACK_SESSIONS:].astype("datetime64[D]")
connection = duckdb.connect(sys.argv[1], read_only=True, config={"threads": 1})
rows = pl.from_arrow(
    connection.execute(
        "SELECT symbol, session, close, volume, total_return AS r, overnight_return AS o, eligible FROM bars WHERE session >= ?",
        [sessions[0].item()],
    ).to_arrow_table()
)
grid = rows.select(pl.col("symbol").unique().sort()).join(pl.DataFrame({"session": sessions}), how="cross")
frame = grid.join(rows, on=["symbol", "session"], how="left", maintain_order="left")
frame = frame.with_columns(pl.col("eligible").fill_null(False))
table = features(frame)
newest = table.select(NAMES).filter(frame["session"] == sessions[-1].item()).fill_null(np.nan).to_numpy()
finished(f"duckdb {duckdb.__version__}, polars {pl.__version__}", newest)
