"""Maps a vendor's bars to the canonical raw frame, without corrections."""

from datetime import date

import pandas as pd

from signals.audit.delivered_rows import ETF, STOCK
from signals.errors import BadBars
from trainer.curation.vendors.actions import moved_column
from trainer.curation.vendors.cells import dates, figures, listed, refuse_later, symbols, words
from trainer.curation.vendors.files import Note, TakeSymbols, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import BarColumns
from trainer.curation.vendors.recognised import Parts, Understood, kind_of_folder, recognised

NEEDED = ("date", "symbol", "open", "high", "low", "close", "volume")
OPTIONAL = ("adj_close", "kind", "sector", "known_at")
FIGURES = ("open", "high", "low", "close", "volume", "adj_close")
# What vendors call the two kinds that we know; every other kind keeps the vendor's word and is never eligible.
KINDS = {
    "stocks": STOCK,
    "common stock": STOCK,
    "common": STOCK,
    "common_stock": STOCK,
    "cs": STOCK,
    "equity": STOCK,
    "etfs": ETF,
    "exchange traded fund": ETF,
}
MOST_GAP_DAYS = 400  # no exchange pauses for a year: a date so far from the next is a placeholder


def read_bars(content: bytes, mapping: BarColumns, *, where: str, today: date | None = None, note: Note = no_note) -> pd.DataFrame:
    """Read a bars delivery.

    Parameters
    ----------
    today : date, optional
        The last date that a bar may have.
    note : callable
        Is given a sentence for a person about what was left out or looks wrong.

    Returns
    -------
    DataFrame
        date datetime64, symbol str, open, high, low, close, volume float64 (NaN where empty), kind and sector str;
        adj_close float64 and known_at datetime64 only where they were delivered. Rows in the delivery's order.

    Raises
    ------
    BadBars
        Unreadable or empty file, a missing column, a cell that is no date, symbol or number, or a date that no bar of
        a delivery can have.
    """
    return _joined(_tables(content, mapping, where=where, note=note), mapping, where=where, today=today, note=note)


def recognise_bars(
    content: bytes, mapping: BarColumns, *, where: str, may_rewrite: bool = True, today: date | None = None, note: Note = no_note
) -> tuple[pd.DataFrame, Understood]:
    """Read a delivery that was never read before, its mapping completed by what it shows; see `read_bars`, `recognised`."""
    columns: dict[str, None] = {}
    raw = _tables(content, mapping, where=where, note=note, seen=lambda names: columns.update(dict.fromkeys(names)))
    found = recognised(raw, list(columns), mapping, may_rewrite=may_rewrite)
    if found.said:
        note(f"understood: {'; '.join(found.said)}")
    return _joined(raw, found.mapping, where=where, today=today, note=note), found


def _tables(content: bytes, mapping: BarColumns, *, where: str, note: Note, seen: TakeSymbols = no_note) -> Parts:
    wanted = WantedColumns(mapping.columns, NEEDED, OPTIONAL, mapping.symbol)
    return list(tables(content, wanted, where=where, note=note, seen=seen))


def _joined(tables: Parts, mapping: BarColumns, *, where: str, today: date | None, note: Note) -> pd.DataFrame:
    parts = [_bars(raw, mapping, where=place, today=today) for raw, place in tables]
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    frame["symbol"] = symbols(frame["symbol"], mapping.symbols, where=where, note=note)
    _refuse_placeholder(frame["date"], where=where)
    foreign = sorted(set(frame["kind"]) - {STOCK, ETF})
    if foreign:
        note(f"kinds that are neither stock nor etf, and never eligible: {listed(foreign)}")
    return frame


def _bars(raw: pd.DataFrame, mapping: BarColumns, *, where: str, today: date | None) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "date": moved_column(dates(raw["date"], mapping.date_format, where=where), mapping.dates),
            "symbol": symbols(raw["symbol"], where=where),
            **figures(raw, FIGURES, mapping.decimal, where=where),
        }
    )
    refuse_later(frame["date"], today, where=where)
    if "known_at" in raw:
        frame["known_at"] = dates(raw["known_at"], mapping.date_format, where=f"{where}, known_at")
        refuse_later(frame["known_at"], today, where=f"{where}, known_at")
        _refuse_foresight(frame, where=where)
    kind = kind_of_folder(where) if mapping.kinds_by_folder else ""
    frame["kind"] = words(raw, "kind", kind or mapping.kind, KINDS)
    frame["sector"] = words(raw, "sector", "")
    return frame


def _refuse_foresight(frame: pd.DataFrame, *, where: str) -> None:
    early = (frame["known_at"] < frame["date"]).to_numpy(dtype=bool)
    if early.any():
        row = frame.iloc[int(early.argmax())]
        raise BadBars(
            f"{row['symbol']}: a bar of {row['date']:%Y-%m-%d} cannot have been known on {row['known_at']:%Y-%m-%d}",
            where=where,
            fix="Map known_at to the column that says when a row was delivered",
        )


def _refuse_placeholder(days: pd.Series, *, where: str) -> None:
    known = pd.Series(days.unique()).sort_values(ignore_index=True)
    apart = known.diff() > pd.Timedelta(days=MOST_GAP_DAYS)
    if bool(apart.any()):
        after = int(apart.to_numpy(dtype=bool).argmax())
        row = int((days == known[after - 1]).to_numpy(dtype=bool).argmax())
        raise BadBars(
            f"no symbol has a row between {known[after - 1]:%Y-%m-%d} and {known[after]:%Y-%m-%d}",
            where=f"{where}, row {row + 1}",
            fix="Correct the date, or drop the rows before or after the gap",
        )
