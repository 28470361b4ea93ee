"""Reads delivery files in the layouts that people have: CSV, Parquet, JSON, wide, long, one file per symbol.

Entry points: `tables` (bytes to frames), `vendor_of`. The layouts are counted in docs/curated-data.md.
"""

import csv
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signals.errors import BadBars, SymbolUnknown
from signals.storage.arrow import read_parquet as parquet_table
from signals.text.strict_json import BadJson, Json, JsonObject, loads
from signals.text.wording import reason_of
from trainer.curation.vendors.packing import AGAIN, Piece, pieces
from trainer.curation.writer import VENDOR_KEY

FORMS = {
    "parquet": (".parquet", ".pq"),
    "arrow": (".feather", ".arrow", ".arrows", ".ipc"),
    "csv": (".csv", ".txt", ".tsv", ".tab", ".psv"),
    "json": (".json", ".jsonl", ".ndjson"),
}
DELIMITERS = ",;\t|"
HEAD = 65_536  # characters in which a header, and from the end a footer, is looked for
LEAST_NAMES = 2  # of ours in a line that is a header
# What vendors and tools call our columns, folded by `fold`.
ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "date": ("timestamp", "datetime", "tradedate", "windowstart", "t", "day", "datum"),
    "time": ("timestamp", "datetime", "windowstart", "t", "ts"),
    "symbol": ("ticker", "sym", "name"),
    "open": ("o", "openprice", "eröffnung"),
    "high": ("h", "highprice", "hoch"),
    "low": ("l", "lowprice", "tief"),
    "close": ("c", "closeprice", "closelast", "schluss", "schlusskurs"),
    "volume": ("vol", "v", "totalvolume", "volumen"),
    "price": ("last", "tradeprice"),
    "size": ("qty", "quantity", "tradesize"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj"),
    "effective": ("exdate", "effectivedate"),
    "start": ("startdate",),
    "end": ("enddate",),
    "quote_date": ("universedate", "date", "tradedate", "quotedt"),
    "root": ("underlyingsymbol", "underlyingticker", "symbol", "ticker"),
    "underlying": ("underlyingprice", "underlyingclose", "underlyinglast", "spot", "stockprice"),
    "expiration": ("expirationdate", "expiry", "expirydate", "expdate"),
    "strike": ("strikeprice",),
    "right": ("type", "optiontype", "callput", "putcall", "cpflag", "cp"),
    "bid": ("bideod", "bestbid", "bidclose", "closebid"),
    "ask": ("askeod", "bestask", "bestoffer", "askclose", "closeask"),
    "open_interest": ("oi",),
}
SYMBOL_LEVELS = frozenset({"ticker", "tickers", "symbol", "symbols"})
NAMELESS = "Unnamed: "  # how pandas calls a column without a name
FIGURES = frozenset({"open", "high", "low", "close"})
BY_FIGURE = FIGURES | {"volume"}
IS_A_SYMBOL = r"[A-Za-z]{1,6}([.-][A-Za-z]{1,2})?"  # of a column `Name`, which may hold companies
FIGURE = r"adj[ _.]?close|open|high|low|close|volume"
FLAT = (
    re.compile(rf"\('(?P<figure>{FIGURE})', '(?P<symbol>[^']*)'\)", re.IGNORECASE),  # two header rows, flattened by a tool
    re.compile(rf"\('(?P<symbol>[^']+)', '(?P<figure>{FIGURE})'\)", re.IGNORECASE),
    re.compile(rf"(?P<symbol>.+?)[ _.|:-](?P<figure>{FIGURE})", re.IGNORECASE),
    re.compile(rf"(?P<figure>{FIGURE})[ _.|:-](?P<symbol>.+)", re.IGNORECASE),
)
# What a level of an index is that has no name, by pandas' name for the kind of its values.
UNNAMED = {"datetime64": "date", "datetime": "date", "date": "date", "string": "symbol"}

Note = Callable[[str], None]
TakeSymbols = Callable[[list[str]], None]


def no_note(remark: object) -> None:
    """Drop a remark: it was shown when the delivery came."""


@dataclass(frozen=True)
class WantedColumns:
    """Columns of ours that a table must and may have, what the mapping calls them, and the symbol of a file that says none."""

    columns: Mapping[str, str]
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    symbol: str = ""

    def names(self, ours: str) -> tuple[str, ...]:
        """Folded names under which a column may be found, the best first; one that is mapped has its name only."""
        if ours in self.columns:
            return (fold(self.columns[ours]),)
        return (fold(ours), *ALSO_CALLED.get(ours, ()))

    def found_in(self, cells: Sequence[object]) -> int:
        """How many of the needed columns these names are the header of."""
        there = {fold(cell) for cell in cells}
        return sum(not there.isdisjoint(self.names(ours)) for ours in self.needed)


def fold(name: object) -> str:
    """Fold a column's name: `Adj Close`, `adj_close`, `<ADJ.CLOSE>` are one."""
    return re.sub(r"[\W_]+", "", str(name).casefold())


def tables(
    content: bytes, wanted: WantedColumns, *, where: str, note: Note = no_note, seen: TakeSymbols = no_note, may_be_empty: bool = False
) -> Iterator[tuple[pd.DataFrame, str]]:
    """Read every table of a delivery, its columns under our names; each with how messages name it.

    A table without a symbol column that came among others takes the symbol from its own name, and `key=value` folders
    are columns. Columns that nobody wants are named by `note`; `seen` is given the names of all.

    Raises
    ------
    BadBars
        A piece is empty, unreadable or lacks a column, or nothing has a row.
    """
    unknown = sorted(set(wanted.columns) - {*wanted.needed, *wanted.optional})
    if unknown:
        raise BadBars(
            f"the mapping names columns that we do not have: {', '.join(unknown)}",
            where=where,
            fix=f"Ours are {', '.join((*wanted.needed, *wanted.optional))}",
        )
    is_empty = True
    for piece, whole in _whole_tables(pieces(content, where=where), wanted, note):
        seen([str(name) for name in whole.columns])
        frame = _selected(whole, wanted, piece, note)
        if len(frame) or may_be_empty:
            is_empty = False
            yield frame, piece.where
    if is_empty:
        raise BadBars("the file has no rows", where=where, fix="Fetch the file again")


def vendor_of(content: bytes, *, where: str) -> str:
    """Name of the vendor: what the Parquet file's own metadata says (`trademl.vendor`), else its form."""
    piece = next(pieces(content, where=where))
    form = _form_of(piece.where)
    if form == "parquet":
        said = (pq.read_schema(pa.BufferReader(piece.content)).metadata or {}).get(VENDOR_KEY)
        return said.decode() if said else form
    return form


def _form_of(name: str) -> str:
    form = next((form for form, endings in FORMS.items() if name.lower().endswith(endings)), None)
    if form is None:
        raise BadBars(
            "neither .parquet nor .csv nor .json",
            where=name,
            fix="Deliver the file as Parquet, CSV or JSON, or rename it; a workbook can be saved as CSV",
        )
    return form


def _whole_tables(found: Iterator[Piece], wanted: WantedColumns, note: Note) -> Iterator[tuple[Piece, pd.DataFrame]]:
    """Each piece's table; the pieces open, high, low, close and volume, a column a symbol each, are one table."""
    held: dict[str, tuple[Piece, pd.DataFrame]] = {}
    for piece in found:
        frame = _frame(piece, wanted, note)
        if fold(piece.symbol) in {*BY_FIGURE, "adjclose"} and wanted.found_in(list(frame.columns)) < LEAST_NAMES:
            held[fold(piece.symbol)] = piece, frame
        else:
            yield piece, frame
    if not held.keys() >= BY_FIGURE:
        yield from held.values()
    else:
        dates = wanted.names("date")
        keys = {name: next((c for c in f.columns if fold(c) in dates), f.columns[0]) for name, (_, f) in held.items()}
        wide = pd.concat({name: frame.set_index(keys[name]) for name, (_, frame) in held.items()}, axis=1)
        yield held["close"][0], _stacked(_with_levels(wide.rename_axis("date")))


def _frame(piece: Piece, wanted: WantedColumns, note: Note) -> pd.DataFrame:
    form = _form_of(piece.where)
    if not piece.content:
        raise BadBars("the file is empty", where=piece.where, fix="Fetch the file again")
    if form == "json":
        return pd.DataFrame(answered(piece.content, where=piece.where))
    return _stacked(_unflattened(_read_csv(piece, wanted, note) if form == "csv" else _with_levels(_read_arrow(piece, form))))


def _read_arrow(piece: Piece, form: str) -> pd.DataFrame:
    try:
        # One thread: pyarrow's pool has been seen to abort a short-lived process at its exit.
        opened = pa.ipc.open_file if piece.content.startswith(b"ARROW1") else pa.ipc.open_stream
        table = parquet_table(piece.content) if form == "parquet" else opened(pa.BufferReader(piece.content)).read_all()
        frame: pd.DataFrame = table.to_pandas(use_threads=False, date_as_object=False)
        return frame
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = reason_of(error).splitlines()[0]
        raise BadBars(f"not a readable {form.capitalize()} file ({reason})", where=piece.where, fix=AGAIN) from None


def _with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the levels of its index as columns; one without a name is what its values are."""
    there = {fold(name[0] if isinstance(name, tuple) else name) for name in frame.columns}
    levels = [frame.index.get_level_values(place) for place in range(frame.index.nlevels)]
    frame = frame.reset_index(drop=True)
    for level in reversed(levels):
        name = level.name if level.name is not None else UNNAMED.get(pd.api.types.infer_dtype(level))
        if name is not None and (level.name is not None or name not in there):
            key = (name, *[""] * (frame.columns.nlevels - 1)) if frame.columns.nlevels > 1 else name
            frame.insert(0, key, pd.Series(level), allow_duplicates=True)
    return frame


def _unflattened(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring one header row of figures of symbols (`AAPL_Open`, `Close MSFT`) to the two that it was, or could have been."""
    names = [str(name) for name in frame.columns]
    if frame.columns.nlevels > 1 or {fold(name) for name in names} >= FIGURES:
        return frame
    for form in FLAT:
        found = [form.fullmatch(name.strip()) for name in names]
        rest = [name for name, match in zip(names, found, strict=True) if match is None]
        if len(rest) == 1 and {match["figure"].casefold() for match in found if match} >= FIGURES:
            pairs = [(m["figure"], m["symbol"]) if m else ("date", "") for m in found]
            return frame.set_axis(pd.MultiIndex.from_tuples(pairs), axis=1)
    return frame


def _stacked(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring a table of two header rows, figures and symbols (yfinance, pandas-datareader), to one row a bar."""
    dates = [name for name in frame.columns if isinstance(name, tuple) and name[1:] == ("",)]
    if len(dates) != 1:
        return frame
    frame = frame.set_index(dates).rename_axis("date")
    symbols = 1 if {fold(name) for name in frame.columns.get_level_values(0)} >= FIGURES else 0
    result = pd.DataFrame(frame.stack(symbols, future_stack=True))
    # A symbol that was not listed yet has empty cells.
    result = result.mask(result == "").dropna(how="all")
    result.index.names = ["date", "symbol"]
    return result.reset_index()


def _read_csv(piece: Piece, wanted: WantedColumns, note: Note) -> pd.DataFrame:
    """Read a CSV file with every cell as text: the symbol "NA" is a symbol."""
    encoding = "utf-16" if piece.content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = piece.content.decode(encoding)
        begin, delimiter, header = _header(text, wanted)
        body, is_wide = text[begin : _end(text, begin, delimiter, piece, note)], len(header) > 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(
                io.StringIO(body),
                sep=delimiter,
                header=header if is_wide else 0,
                dtype=str,
                keep_default_na=False,
                index_col=0 if is_wide else False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeError, csv.Error) as error:
        raise BadBars(f"not a readable CSV file ({reason_of(error)})", where=piece.where, fix="Deliver UTF-8 CSV with a header") from None
    return _with_levels(frame.rename_axis("date")) if is_wide else frame


def _header(text: str, wanted: WantedColumns) -> tuple[int, str, list[int]]:
    """Where the table begins, its delimiter, and its header rows: the line that has most of the names we look for.

    Lines before it (a title, comments, Excel's `sep=`) are no part of the table. Where no line has any, the first
    line is the header, and the error about missing columns shows it.
    """
    lines = text[:HEAD].splitlines(keepends=True)
    said = re.match(r"sep=(.)\s*$", lines[0]) if lines else None
    first = int(said is not None)
    starts = [0, *itertools.accumulate(map(len, lines))]
    delimiters = said[1] if said else DELIMITERS
    best, place, delimiter = 0, first, max(delimiters, key=(lines[first : first + 1] or [""])[0].count)
    for number, line in enumerate(lines[first:], start=first):
        for sign in delimiters:
            count = wanted.found_in(_cells(line, sign))
            if count >= LEAST_NAMES and count > best:
                best, place, delimiter = count, number, sign
    own = _cells(lines[place], delimiter) if best else []
    for number in (place - 1, place + 1) if own and not wanted.found_in(own[:1]) else ():
        beside = _cells(lines[number], delimiter) if first <= number < len(lines) else []
        if len(beside) == len(own) and fold(beside[0]) in SYMBOL_LEVELS:
            return starts[min(place, number)], delimiter, [0, 1]
    return starts[place], delimiter, [0]


def _end(text: str, begin: int, delimiter: str, piece: Piece, note: Note) -> int:
    """Where the table ends: lines of words below it are no rows. Raises `BadBars` where its last row was cut off."""
    head = text[begin:].partition("\n")[0]
    width = len(_cells(head.rstrip("\r"), delimiter))
    end = len(text)
    for line in reversed(text[max(begin + len(head) + 1, len(text) - HEAD) :].splitlines(keepends=True)):
        cells = _cells(line, delimiter)
        filled = [cell for cell in cells if cell.strip()]
        if len(cells) >= width and filled:
            break
        if filled and not re.match(r"\s*[^\d\s].*[\s:#]", line):
            if len(cells) + 1 < width:
                raise BadBars("the last row was cut off", where=f"{piece.where}: {line.strip()[:60]!r}", fix=AGAIN)
            break
        if filled:
            note(f"a line below the table of {piece.where} is no row: {line.strip()[:60]!r}")
        end -= len(line)
    return end


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])


def _selected(frame: pd.DataFrame, wanted: WantedColumns, piece: Piece, note: Note) -> pd.DataFrame:
    """Our columns of the frame; raise `BadBars` naming what is missing and what was found."""
    there: dict[str, list[object]] = {}
    for name in frame.columns:
        there.setdefault(fold(name), []).append(name)
    source: dict[str, object] = {}
    for ours in (*wanted.needed, *wanted.optional):
        names = next((there[name] for name in wanted.names(ours) if name in there), [])
        exact = [name for name in names if str(name).strip().casefold() == wanted.columns.get(ours, ours).casefold()]
        if len(exact or names) > 1:
            raise BadBars(
                f"{len(names)} columns are called {names[0]}", where=piece.where, fix="Name one with --mapping, or correct the header"
            )
        if names:
            source[ours] = (exact or names)[0]
    given = {
        ours: value
        for key, value in piece.given.items()
        for ours in (*wanted.needed, *wanted.optional)
        if fold(key) in wanted.names(ours) and ours not in source
    }
    if fold(source.get("symbol", "")) == "name" and not frame[source["symbol"]].astype("string").str.fullmatch(IS_A_SYMBOL).all():
        del source["symbol"]
    if (symbol := wanted.symbol or piece.symbol) and "symbol" not in {*source, *given, *wanted.columns}:
        given["symbol"] = symbol
    missing = [
        wanted.columns.get(ours, ours)
        for ours in (*wanted.needed, *wanted.optional)
        if ours not in source and ours not in given and (ours in wanted.needed or ours in wanted.columns)
    ]
    if missing == ["symbol"]:
        raise SymbolUnknown(
            "missing column: symbol, and the name of a lone file is anybody's",
            where=f"{piece.where} has {', '.join(str(name) for name in frame.columns)}",
            fix="Name it: --symbol AAPL; or the column: --mapping",
        )
    if missing:
        raise BadBars(
            f"missing column{'s' if len(missing) > 1 else ''}: {', '.join(missing)}",
            where=f"{piece.where} has {', '.join(str(name) for name in frame.columns)}",
            fix="Name the vendor's columns with --mapping",
        )
    used = set(source.values())
    unused = [str(name) for name in frame.columns if name not in used and fold(name) and not str(name).startswith(NAMELESS)]
    if unused:
        note(f"columns not used: {', '.join(unused)}")
    result = pd.DataFrame({ours: frame[name].reset_index(drop=True) for ours, name in source.items()})
    return result.assign(**given) if given else result


SAYS_SYMBOL = ("symbol", "ticker")
LISTS = frozenset({"bars", "results", "data", "historical", "prices", "values", "quotes"})  # keys that hold bars; another one is a symbol


def answered(content: bytes, *, where: str) -> list[JsonObject]:
    """Return one row a bar, with the symbol that is above it; raise `BadBars` for what is no JSON."""
    lines = content.lstrip(b"\xef\xbb\xbf \t\r\n").splitlines()
    is_by_line = len(lines) > 1 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines[:2])
    try:
        documents = [loads(line, decimals=float) for line in (lines if is_by_line else [b"\n".join(lines)]) if line.strip()]
    except BadJson as error:
        raise BadBars(f"not readable JSON ({reason_of(error)})", where=where, fix="Fetch the file again; it may be cut off") from None
    return [row for document in documents for row in _bars(document, "")]


def _bars(value: Json, symbol: str) -> Iterator[JsonObject]:
    """Walk an answer: Alpaca's `{bars: {AAPL: [..]}}`, Polygon's `{ticker, results: [..]}`, Tiingo's `[..]`."""
    if isinstance(value, list):
        for one in value:
            yield from _bars(one, symbol)
    elif isinstance(value, dict):
        nested = {key: inner for key, inner in value.items() if isinstance(inner, list | dict) and inner}
        symbol = next((text for key in SAYS_SYMBOL if isinstance(text := value.get(key), str)), symbol)
        for key, inner in nested.items():
            yield from _bars(inner, symbol if key in LISTS else key)
        if not nested:
            named: JsonObject = (
                {"symbol": value["T"]} if {"T", "t"} <= value.keys() else {"symbol": symbol} if symbol else {}
            )  # Polygon's day of all
            yield {key: one for key, one in value.items() if not (key == "T" and "t" in value) and key not in SAYS_SYMBOL} | named
