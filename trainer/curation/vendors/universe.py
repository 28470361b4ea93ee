"""Reads a vendor's point-in-time intervals: of membership, and of sectors and shares outstanding."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from signals.errors import BadBars
from trainer.curation.vendors.cells import dates, figures, given_days, refuse_later, symbols, words
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import ClassificationColumns, UniverseColumns
from trainer.curation.writer import CLASSIFICATION_SCHEMA, TOLD_UNIVERSE_SCHEMA, UNIVERSE_SCHEMA

FOR_GOOD = pd.Timestamp("2200-01-01")  # an end like 9999-12-31 says that there is none


def read_universe(content: bytes, mapping: UniverseColumns, *, where: str, today: date | None = None, note: Note = no_note) -> pa.Table:
    """Read a membership delivery as (symbol, start, end): a member on start <= day < end; no end, a member for good.

    Where the file has the column, `known_at` is the day on which a row became known; a later row of the same symbol and
    start replaces what an earlier one said.

    Raises
    ------
    BadBars
        Unreadable file, a missing column, an unreadable date, an interval that ends before it starts, or `known_at`
        after `today`.
    """
    wanted = WantedColumns(mapping.columns, ("symbol", "start"), ("end", "known_at"))
    parts = [_intervals(raw, mapping, where=place) for raw, place in tables(content, wanted, where=where, note=note)]
    table = _together(parts, mapping, today, where=where, note=note)
    names = ("start", "end", *(("known_at",) if table["known_at"].notna().any() else ()))
    return pa.Table.from_arrays(
        [pa.array(table["symbol"].tolist(), pa.string()), *(_days(table[name]) for name in names)],
        schema=TOLD_UNIVERSE_SCHEMA if "known_at" in names else UNIVERSE_SCHEMA,
    )


def read_classification(
    content: bytes, mapping: ClassificationColumns, *, where: str, today: date | None = None, note: Note = no_note
) -> pa.Table:
    """Read what names are: rows (symbol, start, end, known_at, sector, shares), each on start <= day < end and of its `start`.

    Raises
    ------
    BadBars
        As `read_universe`; neither sector nor shares, or shares that are not above zero.
    """
    wanted = WantedColumns(mapping.columns, ("symbol", "start"), ("end", "known_at", "sector", "shares"))
    parts = []
    for raw, place in tables(content, wanted, where=where, note=note):
        said = figures(raw, ("shares",), mapping.decimal, where=place)["shares"] if "shares" in raw else np.nan
        parts.append(_intervals(raw, mapping, where=place).assign(sector=words(raw, "sector", ""), shares=said))
        wrong = ((parts[-1]["sector"] == "") & ~(parts[-1]["shares"] > 0.0)) | (parts[-1]["shares"] <= 0.0)
        if wrong.any():
            row = int(wrong.to_numpy(dtype=bool).argmax())
            what = f"{parts[-1]['symbol'].iloc[row]}: a classification needs a sector, or shares above zero"
            raise BadBars(what, where=f"{place}, row {row + 1}", fix="Correct the row")
    table = _together(parts, mapping, today, where=where, note=note)
    days = [_days(table[name]) for name in ("start", "end", "known_at")]
    shares = pa.array(table["shares"], pa.float64(), from_pandas=True)
    return pa.Table.from_arrays(
        [pa.array(table["symbol"].tolist(), pa.string()), *days, pa.array(table["sector"].tolist(), pa.string()), shares],
        schema=CLASSIFICATION_SCHEMA,
    )


def _together(parts: list[pd.DataFrame], mapping: UniverseColumns, today: date | None, *, where: str, note: Note) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    refuse_later(table["known_at"], today, where=where, what="known in the future:")
    table["symbol"] = symbols(table["symbol"], mapping.symbols, where=where, note=note)
    return table.sort_values(["symbol", "start", "known_at", "end"], kind="stable")


def _days(column: pd.Series) -> pa.Array:
    return pa.array([None if pd.isna(day) else day.date() for day in column], pa.date32())


def _intervals(raw: pd.DataFrame, mapping: UniverseColumns, *, where: str) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "symbol": symbols(raw["symbol"], where=where),
            "start": dates(raw["start"], mapping.date_format, where=where),
            "end": given_days(raw, "end", mapping.date_format, where=where),
            "known_at": given_days(raw, "known_at", mapping.date_format, where=where),
        }
    )
    wrong = (table["end"] < table["start"]).to_numpy(dtype=bool)
    if wrong.any():
        row = table.iloc[int(wrong.argmax())]
        raise BadBars(
            f"{row['symbol']}: an interval that ends on {row['end']:%Y-%m-%d} cannot start on {row['start']:%Y-%m-%d}",
            where=f"{where}, row {int(wrong.argmax()) + 1}",
            fix="Correct the row",
        )
    if mapping.is_end_inclusive:
        table["end"] += pd.Timedelta(days=1)
    table["end"] = table["end"].mask(table["end"] >= FOR_GOOD)
    return table
