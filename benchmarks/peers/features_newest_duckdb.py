"""P2 peer: `python features_newest_duckdb.py STORE.duckdb SESSIONS.npy [VALUES.npy]`, SQL windows alone."""

from __future__ import annotations

import sys

import duckdb
import numpy as np
from features_duckdb_sql import SETUP, query
from features_workload import LOOKBACK_SESSIONS, NAMES, finished

sessions = np.load(sys.argv[2])[-LOOKBACK_SESSIONS:].astype("datetime64[D]")
connection = duckdb.connect(sys.argv[1], read_only=True, config={"threads": 1})
connection.execute(
    "CREATE TEMP VIEW laid_out AS WITH held AS (SELECT * FROM bars WHERE session >= ?),"
    " grid AS (SELECT * FROM (SELECT DISTINCT symbol AS i FROM held), (SELECT DISTINCT session AS t FROM held))"
    " SELECT i, t, close, volume, total_return AS r, overnight_return AS o, coalesce(eligible, false) AS eligible"
    " FROM grid LEFT JOIN held ON symbol = i AND session = t".replace("?", f"DATE '{sessions[0]}'")
)
for statement in SETUP:
    connection.execute(statement.replace("FROM bars", "FROM laid_out"))
columns = connection.execute(query("ORDER BY i", f"WHERE t = DATE '{sessions[-1]}'")).fetchnumpy()
newest = np.stack([np.ma.filled(np.ma.asarray(columns[name]), np.nan) for name in NAMES], axis=-1)
finished(f"duckdb {duckdb.__version__}", newest)
