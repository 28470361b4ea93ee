"""A vendor's bars as the canonical raw frame: our column names, nothing corrected, nothing dropped."""

from __future__ import annotations

import pandas as pd

from signals.errors import BadBars
from trainer.curation.vendors.files import dates, numbers, read_frame, select, symbols
from trainer.curation.vendors.mapping import BarColumns

NEEDED = ("date", "symbol", "open", "high", "low", "close", "volume")
OPTIONAL = ("adj_close", "kind", "sector", "known_at")
FIGURES = ("open", "high", "low", "close", "volume", "adj_close")


def read_bars(content: bytes, mapping: BarColumns, *, where: str) -> pd.DataFrame:
    """Read a bars delivery.

    Returns
    -------
    DataFrame
        date datetime64, symbol str, open, high, low, close, volume float64 (NaN where empty), kind and sector str;
        adj_close float64 and known_at datetime64 only where they were delivered. Rows in the delivery's order.

    Raises
    ------
    BadBars
        Unreadable or empty file, a missing column, or a cell that is no date, symbol or number.
    """
    raw = select(read_frame(content, where=where), mapping.columns, NEEDED, OPTIONAL, where=where)
    frame = pd.DataFrame(
        {
            "date": dates(raw["date"], mapping.date_format, where=where),
            "symbol": symbols(raw["symbol"], where=where),
            **{name: numbers(raw[name], where=where) for name in FIGURES if name in raw},
        }
    )
    if "known_at" in raw:
        frame["known_at"] = dates(raw["known_at"], mapping.date_format, where=f"{where}, known_at")
        _refuse_foresight(frame, where=where)
    frame["kind"] = _words(raw, "kind", mapping.kind).str.lower()
    frame["sector"] = _words(raw, "sector", "")
    return frame


def _refuse_foresight(frame: pd.DataFrame, *, where: str) -> None:
    early = (frame["known_at"] < frame["date"]).to_numpy(dtype=bool)
    if early.any():
        row = frame.iloc[int(early.argmax())]
        raise BadBars(
            f"{row['symbol']}: a bar of {row['date']:%Y-%m-%d} cannot have been known on {row['known_at']:%Y-%m-%d}",
            where=where, mend="Map known_at to the column that says when a row was delivered",
        )  # fmt: skip


def _words(raw: pd.DataFrame, name: str, default: str) -> pd.Series:
    if name not in raw:
        return pd.Series(default, index=raw.index, dtype=object)
    text = raw[name].astype("string").str.strip().fillna(default)
    return text.mask(text == "", default).astype(object)
