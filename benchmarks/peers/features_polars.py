"""P1 peer: `python features_polars.py FOLDER [VALUES.npy]`, one thread by POLARS_MAX_THREADS=1."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
from features_polars_formulas import features
from features_workload import NAMES, load, measured

panels = load(sys.argv[1])
sessions, symbols = panels["close"].shape
long_frame = pl.DataFrame(
    {
        "symbol": np.repeat(np.arange(symbols), sessions),
        "session": np.tile(panels["sessions"].astype("datetime64[ms]"), symbols),
        "close": panels["close"].T.ravel(),
        "volume": panels["volume"].T.ravel(),
        "r": panels["total_return"].T.ravel(),
        "o": panels["overnight_return"].T.ravel(),
        "eligible": panels["eligible"].T.ravel(),
    }
).with_columns(pl.col("close", "volume", "r", "o").fill_nan(None))
del panels


def values(table: object) -> np.ndarray:
    assert isinstance(table, pl.DataFrame)
    return table.select(NAMES).fill_null(np.nan).to_numpy().reshape(symbols, sessions, len(NAMES)).transpose(1, 0, 2)


measured(lambda: features(long_frame), f"polars {pl.__version__}", sessions * symbols * len(NAMES) * 4, values)
