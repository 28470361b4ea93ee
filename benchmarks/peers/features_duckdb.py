"""P1 peer: SQL windows. `python features_duckdb.py FOLDER [VALUES.npy]`, one thread."""

from __future__ import annotations

import sys

import duckdb
import numpy as np
from features_duckdb_sql import SETUP, query
from features_workload import NAMES, load, measured

panels = load(sys.argv[1])
sessions, symbols = panels["close"].shape
delivered = {
    "i": np.repeat(np.arange(symbols), sessions),
    "t": np.tile(panels["sessions"].astype("datetime64[s]"), symbols),
    "eligible": panels["eligible"].T.ravel(),
} | {
    column: panels[name].T.ravel()
    for column, name in {"close": "close", "volume": "volume", "r": "total_return", "o": "overnight_return"}.items()
}
connection = duckdb.connect(config={"threads": 1})
connection.execute(
    "CREATE TABLE bars AS SELECT i, t::DATE AS t, eligible, "
    + ", ".join(f"CASE WHEN isnan({c}) THEN NULL ELSE {c} END AS {c}" for c in ("close", "volume", "r", "o"))
    + " FROM delivered"
)
del delivered, panels


def features() -> object:
    for statement in SETUP:
        connection.execute(statement)
    return connection.execute(query("ORDER BY t, i")).fetchnumpy()


def values(columns: object) -> np.ndarray:
    assert isinstance(columns, dict)
    filled = [np.ma.filled(np.ma.asarray(columns[name]), np.nan) for name in NAMES]
    return np.stack(filled, axis=-1).reshape(sessions, symbols, len(NAMES))


measured(features, f"duckdb {duckdb.__version__}", sessions * symbols * len(NAMES) * 4, values)
