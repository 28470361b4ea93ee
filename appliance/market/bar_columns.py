"""The columns of bars in the market store, and how older bars files without some of them are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from signals.market.bars import CLASSIFIED, GAP_FIELDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = (
    "session, symbol, security, open, high, low, close, volume, total_return, overnight_return, eligible, kind, sector,"
    " gap_return, gap_overnight, undecided, sector_code, shares"
)
# What a bars file without these columns has in their place: nothing is made up.
LATER = {**{name: f"NULL::DOUBLE AS {name}" for name in (*GAP_FIELDS, *CLASSIFIED)}, "undecided": "false AS undecided"}


def columns_in(connection: DuckDBPyConnection, path: Path) -> str:
    """Return what to select of a bars file: what it does not have is not made up."""
    present = {name for (name,) in connection.execute("SELECT name FROM parquet_schema(?)", [str(path)]).fetchall()}
    columns = [name if name in present else LATER.get(name, name) for name in COLUMNS.split(", ")]
    return ", ".join(["session::DATE AS session", *columns[1:]])
