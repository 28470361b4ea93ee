"""A vendor's point-in-time membership intervals."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from trainer.curation.vendors.files import dates, read_frame, select, symbols
from trainer.curation.vendors.mapping import UniverseColumns
from trainer.curation.writer import UNIVERSE_SCHEMA


def read_universe(content: bytes, mapping: UniverseColumns, *, where: str) -> pa.Table:
    """Read a membership delivery as (symbol, start, end): a member on start <= day < end; no end, a member for good.

    Raises
    ------
    BadBars
        Unreadable file, a missing column, or an unreadable date.
    """
    raw = select(read_frame(content, where=where), mapping.columns, ("symbol", "start"), ("end",), where=where)
    table = pd.DataFrame(
        {"symbol": symbols(raw["symbol"], where=where), "start": dates(raw["start"], None, where=where)}
    )
    table["end"] = pd.NaT
    if "end" in raw:
        ended = raw["end"].notna() & (raw["end"].astype("string").str.strip() != "").fillna(False)
        if bool(ended.any()):
            ends = dates(raw.loc[ended, "end"], None, where=where)
            table["end"] = table["end"].astype("datetime64[s]")
            table.loc[ended, "end"] = ends + pd.Timedelta(days=int(mapping.is_end_inclusive))
    table = table.sort_values(["symbol", "start", "end"], kind="stable")
    return pa.Table.from_arrays(
        [
            pa.array(table["symbol"].tolist(), pa.string()),
            pa.array([day.date() for day in table["start"]], pa.date32()),
            pa.array([None if pd.isna(day) else day.date() for day in table["end"]], pa.date32()),
        ],
        schema=UNIVERSE_SCHEMA,
    )
