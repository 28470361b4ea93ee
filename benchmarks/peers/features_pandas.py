"""P1 peer: `python features_pandas.py FOLDER [VALUES.npy]`."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from features_pandas_formulas import features
from features_workload import NAMES, load, measured

panels = load(sys.argv[1])
sessions, symbols = panels["close"].shape
frame = pd.DataFrame(
    {
        "symbol": np.repeat(np.arange(symbols), sessions),
        "session": np.tile(panels["sessions"].astype("datetime64[ns]"), symbols),
        "close": panels["close"].T.ravel(),
        "volume": panels["volume"].T.ravel(),
        "r": panels["total_return"].T.ravel(),
        "o": panels["overnight_return"].T.ravel(),
        "eligible": panels["eligible"].T.ravel(),
    }
)


def values(table: object) -> np.ndarray:
    assert isinstance(table, pd.DataFrame)
    return table[NAMES].to_numpy(np.float32).reshape(symbols, sessions, len(NAMES)).transpose(1, 0, 2)


measured(lambda: features(frame), f"pandas {pd.__version__}", sessions * symbols * len(NAMES) * 4, values)
