"""Maps a vendor's bars to the canonical raw frame, without corrections, and recognises a new delivery's layout from what it shows.

Only what a mapping leaves open is completed (`recognised`), and only what the delivery shows, as the mapping that its receipt keeps; what
it cannot show (the symbol of a lone file, which of two days a date means) is a refusal that says what to give.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from signals.audit.delivered_rows import ETF, STOCK
from signals.errors import BadBars
from signals.market.bars import days_array
from signals.market.manifest import PriceBasis
from signals.market.sessions import FIRST_YEAR, LAST_YEAR, xnys
from trainer.curation.vendors.actions import moved_column
from trainer.curation.vendors.cells import ISO, as_broker, dates, figures, listed, refuse_later, symbols, words
from trainer.curation.vendors.files import Note, TakeSymbols, WantedColumns, fold, no_note, tables
from trainer.curation.vendors.mapping import BarColumns, SymbolForm

NEEDED = ("date", "symbol", "open", "high", "low", "close", "volume")
OPTIONAL = ("adj_close", "kind", "sector", "known_at")
FIGURES = ("open", "high", "low", "close", "volume", "adj_close")
# What vendors call the two kinds that we know; every other kind keeps the vendor's word and is never eligible.
KINDS = {
    **dict.fromkeys(("stocks", "common stock", "common", "common_stock", "cs", "equity"), STOCK),
    **dict.fromkeys(("etfs", "exchange traded fund"), ETF),
}
MOST_GAP_DAYS = 400  # no exchange pauses for a year: a date so far from the next is a placeholder
# Forms of a date that is no ISO 8601, each with the shape of its text; two of one shape are told apart by the sessions.
DATE_FORMS: tuple[tuple[str, str], ...] = (
    (r"\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{2}", "%m/%d/%y"),
    (r"\d{1,2}/\d{1,2}/\d{2}", "%d/%m/%y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%m-%d-%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", "%d.%m.%y"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", "%d-%b-%Y"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", "%d-%b-%y"),
    (r"\d{1,2} [A-Za-z]{3} \d{4}", "%d %b %Y"),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}", "%b %d, %Y"),
    (r"[A-Za-z]{4,9} \d{1,2}, \d{4}", "%B %d, %Y"),
)
SPLITS, PAYMENTS = frozenset({"splitfactor", "splitratio"}), frozenset({"dividends", "stocksplits"})
FUNDS, SHARES = re.compile(r"\betfs?\b", re.IGNORECASE), re.compile(r"\b(stocks?|equities)\b", re.IGNORECASE)
US_SUFFIX = re.compile(r"(?i)\.us$")

Parts = Sequence[tuple[pd.DataFrame, str]]


@dataclass(frozen=True)
class Understood:
    """A completed mapping, the basis of prices where the columns show it, and a phrase for each of what was completed."""

    mapping: BarColumns
    basis: PriceBasis | None
    said: tuple[str, ...]


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


def recognised(parts: Parts, columns: Sequence[str], mapping: BarColumns, *, may_rewrite: bool) -> Understood:
    """Complete `mapping` by what a delivery shows.

    Parameters
    ----------
    parts : sequence of (DataFrame, str)
        Each table's date and symbol, as delivered, and where it came from.
    columns : sequence of str
        Names of all columns, as delivered.
    mapping : BarColumns
        What a person said; it is never changed, only completed.
    may_rewrite : bool
        Whether symbols may be written otherwise: what is added to a history keeps the way in which that writes them.

    Raises
    ------
    BadBars
        The dates can be read in two ways and the exchange's sessions do not tell which.
    """
    changes: dict[str, object] = {}
    said: list[str] = []
    if mapping.date_format is None and (form := _date_form(parts)):
        changes["date_format"] = form
        said.append(f"dates are {form}")
    names = [str(name) for frame, _ in parts for name in frame["symbol"].dropna().unique()]
    if may_rewrite and mapping.symbols is SymbolForm.AS_DELIVERED and (example := _dialect(names)):
        changes["symbols"] = SymbolForm.BROKER
        said.append(f"symbols are written as the broker writes them, {example} as {as_broker(example)}")
    kinds = {kind_of_folder(where) for _, where in parts} - {""}
    if "kind" not in {fold(column) for column in columns} and ETF in kinds:
        changes["kinds_by_folder"] = True
        said.append(f"kinds are those of the folders: {listed(sorted(kinds))}")
    folded = {fold(column) for column in columns}
    basis = PriceBasis.RAW if folded & SPLITS else PriceBasis.TOTAL_RETURN if folded >= PAYMENTS and "adjclose" not in folded else None
    if basis is not None:
        shown = listed(sorted(column for column in columns if fold(column) in SPLITS | PAYMENTS))
        said.append(f"prices are {basis}, by the columns {shown}")
    return Understood(mapping.model_copy(update=changes), basis, tuple(said))


def kind_of_folder(where: str) -> str:
    """Return the kind that a table's folders name: `us/nasdaq etfs/spy.us.txt` is an ETF's; empty where they name none."""
    folders = where.partition("/")[2].rpartition("/")[0].replace("_", " ")  # the delivery's own name is anybody's
    kinds = [kind for kind, word in ((ETF, FUNDS), (STOCK, SHARES)) if word.search(folders)]
    return kinds[0] if len(kinds) == 1 else ""


def _date_form(parts: Parts) -> str | None:
    """Return the form of textual dates that are no ISO 8601; None where they are, or where no form reads them all."""
    texts = [frame["date"] for frame, _ in parts if frame["date"].dtype.kind not in "iufmM"]
    if not texts:
        return None
    cells = pd.Series(pd.concat(texts).astype("string").str.strip().dropna().unique(), dtype="string")
    if cells.empty or bool(cells.str.match(ISO).all()):
        return None
    found: dict[str, pd.Series] = {}
    for shape, form in DATE_FORMS:
        if bool(cells.str.fullmatch(shape).all()):
            days = pd.to_datetime(cells, format=form, errors="coerce")
            if bool((days.notna() & days.dt.year.between(FIRST_YEAR + 1, LAST_YEAR - 1)).all()):
                found[form] = days
    if len(found) > 1:
        on = {form: _on_sessions(days) for form, days in found.items()}
        found = {form: days for form, days in found.items() if on[form] == max(on.values())}
    if len(found) > 1:
        raise BadBars(
            f"{cells.iloc[0]!r} may be {' or '.join(f'{days.iloc[0]:%Y-%m-%d}' for days in found.values())}; the sessions do not tell",
            where=parts[0][1],
            fix=f"Write one of these in the section `bars` of the mapping: {', '.join(f'`date_format: {form}`' for form in found)}",
        )
    return next(iter(found), None)


def _on_sessions(days: pd.Series) -> int:
    around = pd.Timedelta(days=7)  # no week is without a session
    sessions = days_array(xnys((days.min() - around).date(), (days.max() + around).date()).days)
    return int(np.isin(days.to_numpy().astype("datetime64[D]"), sessions).sum())


def _dialect(names: Sequence[str]) -> str:
    """Return an example where all symbols are lower case or end in .US, as no broker writes any; else an empty text."""
    is_lower = all(name == name.lower() for name in names)
    has_suffix = all(US_SUFFIX.search(name) for name in names)
    return next((name for name in names if re.search(r"[A-Za-z]", name)), "") if names and (is_lower or has_suffix) else ""
