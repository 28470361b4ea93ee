"""Files as strangers have them: each layout gives the bars that it holds, each fault one line that names the remedy."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from signals.errors import BadBars, SymbolUnknown, TrademlError
from signals.market.dataset import load_actions, load_bars, read_manifest, read_table
from signals.market.eligibility_rule import ANY
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import xnys
from tests.fakes.terminal import Person
from trainer.__main__ import app
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.receipts import read_receipts
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.bars import read_bars, recognise_bars
from trainer.curation.vendors.mapping import BarColumns, DateShift, DecimalSign, Mapping, SymbolForm
from trainer.curation.vendors.packing import pack

CLOSES = {"AAA": (100.0, 101.0, 102.0, 103.0, 104.0), "BBB": (50.0, 50.5, 49.5, 51.0, 52.0)}
DAYS = ("2021-06-07", "2021-06-08", "2021-06-09", "2021-06-10", "2021-06-11")
HEADER = "date,symbol,open,high,low,close,volume\n"
ALL = {(day, name): closes[at] for name, closes in CLOSES.items() for at, day in enumerate(DAYS)}
FIGURES = ("open", "high", "low", "close", "volume")


def rows(days: int = 5) -> list[tuple[str, str, float, float, float, float, int]]:
    """One row a day and name: the open 20 cents below the close, high and low half a dollar around it."""
    return [
        (day, name, round(closes[at] - 0.2, 2), closes[at] + 0.5, closes[at] - 0.5, closes[at], 1000 + 10 * at)
        for at, day in enumerate(DAYS[:days])
        for name, closes in CLOSES.items()
    ]


def frame() -> pd.DataFrame:
    return pd.DataFrame(rows(), columns=["date", "symbol", *FIGURES])


def text(sign: str = ",", header: str = HEADER, **dialect: str) -> str:
    """The bars as CSV."""
    body = frame().to_csv(index=False, header=False, sep=sign, lineterminator="\n", **dialect)  # type: ignore[arg-type]
    return header.replace(",", sign) + body


def parquet(table: pd.DataFrame, **options: bool) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, **options)
    return sink.getvalue()


def arrow() -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(frame(), sink)
    return sink.getvalue()


def zipped(files: dict[str, str | bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def dated(stamp: Callable[[str], object]) -> pd.DataFrame:
    """The bars with the dates written otherwise."""
    return frame().assign(date=[stamp(day) for day in frame()["date"]])


def csv_dated(stamp: Callable[[str], object]) -> bytes:
    return dated(stamp).to_csv(index=False).encode()


def midnight(zone: str, day: str) -> pd.Timestamp:
    return pd.Timestamp(day, tz=zone)


def of_symbol(name: str) -> str:
    """A file without a symbol column."""
    return frame()[frame()["symbol"] == name].drop(columns="symbol").to_csv(index=False)


def wide(*, symbols_first: bool = False) -> pd.DataFrame:
    """What yfinance.download gives for two names."""
    table = frame().rename(columns=str.title).pivot(index="Date", columns="Symbol")
    table.columns.names = ["Price", "Ticker"]
    return table.swaplevel(axis=1).sort_index(axis=1) if symbols_first else table


def german() -> bytes:
    lines = ["Datum;Symbol;Eröffnung;Hoch;Tief;Schluss;Volumen"]
    for day, name, *prices, volume in rows():
        cells = [f"{price:.2f}".replace(".", ",") for price in prices]
        lines.append(";".join([f"{day[8:]}.{day[5:7]}.{day[:4]}", name, *cells, f"{volume:,}".replace(",", ".")]))
    return "\n".join(lines).encode()


def american() -> bytes:
    lines = [HEADER.strip()]
    for day, name, *prices, volume in rows():
        lines.append(",".join([day, name, *[f"${price:.2f}" for price in prices], f'"{volume:,}"']))
    return "\n".join(lines).encode()


def day_of(form: str) -> Callable[[str], str]:
    return lambda day: date.fromisoformat(day).strftime(form)


def by_figure() -> bytes:
    """A table of each figure, a column a symbol: what many research scripts keep."""
    return zipped({f"{name}.csv": frame().pivot(index="date", columns="symbol", values=name).to_csv() for name in FIGURES})


def flat(form: str) -> pd.DataFrame:
    """The two header rows of yfinance in one."""
    table = wide()
    return table.set_axis([form.format(symbol=symbol, figure=figure) for figure, symbol in table.columns], axis=1)


def tupled() -> bytes:
    """yfinance's columns as pyarrow names them, without what pandas would say of them."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(wide()).replace_schema_metadata(None), sink)
    return sink.getvalue()


def a_file_a_symbol(columns: dict[str, str], path: str = "{symbol}.csv", **more: object) -> bytes:
    """Files of a vendor: `columns` are our names by the vendor's, in the vendor's order; `more` are the same in every row."""
    files = {}
    for name in CLOSES:
        table = frame()[frame()["symbol"] == name].assign(**more)  # type: ignore[arg-type]
        if columns is STOOQ:
            table["symbol"] = f"{name}.US"
        table = table[[*columns.values(), *more]].rename(columns={ours: theirs for theirs, ours in columns.items()})
        files[path.format(symbol=name, lower=name.lower(), kind="etfs" if name == "BBB" else "stocks")] = table.to_csv(index=False)
    return zipped(files)


STOOQ = {"<TICKER>": "symbol", "<DATE>": "date", "<OPEN>": "open", "<HIGH>": "high", "<LOW>": "low", "<CLOSE>": "close", "<VOL>": "volume"}
PLAIN = {"Date": "date", "Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


def nasdaq_com() -> bytes:
    files = {}
    for name in CLOSES:
        lines = ["Date,Close/Last,Volume,Open,High,Low"]
        for day, symbol, opened, high, low, close, volume in rows():
            if symbol == name:
                lines.append(f"{day_of('%m/%d/%Y')(day)},${close},{volume},${opened},${high},${low}")
        files[f"{name}.csv"] = "\n".join(lines)
    return zipped(files)


def adjusted(**names: str) -> bytes:
    """Raw bars with adjusted ones and splits beside them, as Nasdaq Data Link and Tiingo tell them."""
    table = frame().assign(adj=lambda t: t["close"], split=1.0)
    return table.rename(columns={"adj": names["adj"], "split": names["split"], "symbol": "ticker"}).to_csv(index=False).encode()


def polygon() -> bytes:
    """A file a day, gzipped; its time is New York's midnight in nanoseconds."""
    table = dated(lambda day: int(midnight("America/New_York", day).timestamp()) * 10**9)
    table = table.rename(columns={"symbol": "ticker", "date": "window_start"}).assign(transactions=7)
    return zipped({f"2021/06/{day}.csv.gz": gzip.compress(table[frame()["date"] == day].to_csv(index=False).encode()) for day in DAYS})


def alpaca() -> pd.DataFrame:
    table = dated(lambda day: midnight("America/New_York", day).tz_convert("UTC")).rename(columns={"date": "timestamp"})
    return table.assign(trade_count=7.0, vwap=1.0).set_index(["symbol", "timestamp"])


def written_by_duckdb(to: str) -> bytes:
    """What DuckDB's COPY writes, a file or a folder, as a delivery."""
    with tempfile.TemporaryDirectory() as place:
        bars = frame().astype({"date": "datetime64[s]"})
        with duckdb.connect() as base:
            base.register("bars", bars)
            base.execute(f"COPY (SELECT * FROM bars ORDER BY date) TO '{place}/out' ({to})")
        return pack(Path(place) / "out")[1]


def written_by_arrow(kind: str) -> bytes:
    """Dialects of pyarrow: quoted CSV, an IPC stream, folders without keys, and the types that polars writes."""
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    sink = io.BytesIO()
    if kind == "csv":
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="all_valid"))
    elif kind == "stream":
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    elif kind == "types":
        days = pa.array([date.fromisoformat(day) for day in frame()["date"]], pa.date32())
        closes = pa.array([Decimal(str(close)) for close in frame()["close"]], pa.decimal128(12, 4))
        table = table.set_column(0, "date", days).set_column(5, "close", closes)
        table = table.set_column(1, "symbol", table["symbol"].cast(pa.large_string()).dictionary_encode())
        pq.write_table(table, sink, compression="zstd")
    else:
        with tempfile.TemporaryDirectory() as place:
            by_symbol = pyarrow.dataset.partitioning(pa.schema([("symbol", pa.string())]))
            pyarrow.dataset.write_dataset(table, place, format="parquet", partitioning=by_symbol)
            return pack(Path(place))[1]
    return sink.getvalue()


SHORT = {"t": "date", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


def answer(form: str) -> bytes:
    """What Alpaca, Polygon and Tiingo answer, as a script saves it."""
    table = dated(lambda day: f"{day}T04:00:00Z")
    if form.startswith("polygon"):
        table = dated(lambda day: int(midnight("America/New_York", day).timestamp()) * 1000)
    table = table.rename(columns={ours: theirs for theirs, ours in SHORT.items()})
    bars = {name: table[frame()["symbol"] == name][[*SHORT]].to_dict("records") for name in CLOSES}
    if form == "alpaca":
        return json.dumps({"bars": bars, "next_page_token": None}).encode()
    if form == "polygon":
        found = {name: {"ticker": name, "status": "OK", "resultsCount": len(rows), "results": rows} for name, rows in bars.items()}
        return zipped({f"{name}.json": json.dumps(document, indent=1) for name, document in found.items()})
    if form == "polygon by day":
        return json.dumps({"adjusted": True, "results": [{"T": name, **row} for name, rows in bars.items() for row in rows]}).encode()
    if form == "tiingo":
        plain = frame().assign(date=lambda t: t["date"] + "T00:00:00.000Z", divCash=0.0, splitFactor=1.0)
        return zipped({f"{name}.json": plain[plain["symbol"] == name].drop(columns="symbol").to_json(orient="records") for name in CLOSES})
    return frame().to_json(orient="records", lines=True).encode()


def yfinance_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv().encode()


LAYOUTS: dict[str, tuple[str, bytes, BarColumns]] = {
    name: (file, content.encode() if isinstance(content, str) else content, mapping or BarColumns())
    for name, file, content, mapping in [
        ("CSV", "b.csv", text(), None),
        ("CSV with a byte order mark", "b.csv", "\ufeff" + text(), None),
        ("CSV in UTF-16", "b.csv", text().encode("utf-16"), None),
        ("CSV with Windows line ends", "b.csv", text().replace("\n", "\r\n"), None),
        ("semicolons", "b.csv", text(";"), None),
        ("tabs", "b.tsv", text("\t"), None),
        ("bars between cells", "b.txt", text("|"), None),
        ("Excel's sep=", "b.csv", "sep=;\n" + text(";"), None),
        ("lines before the header", "b.csv", "Daily bars, all names\n# adjusted, USD\n\n" + text(), None),
        ("lines below the table", "b.csv", text() + "\nTotal rows: 10\nSource: an exchange\n", None),
        ("decimal commas and German dates", "b.csv", german(), None),
        ("dollar signs and thousands", "b.csv", american(), None),
        ("title case and Ticker", "b.csv", text(header="Date,Ticker,Open,High,Low,Close,Volume\n"), None),
        ("short names", "b.csv", text(header="t,sym,o,h,l,c,v\n"), None),
        ("Stooq's brackets", "b.txt", text(header="<DATE>,<TICKER>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n"), None),
        ("YYYYMMDD", "b.csv", csv_dated(lambda day: day.replace("-", "")), None),
        ("midnight UTC as text", "b.csv", csv_dated(lambda day: f"{day}T00:00:00.000Z"), None),
        ("midnight New York with offsets", "b.csv", csv_dated(lambda day: str(midnight("America/New_York", day))), None),
        ("midnight elsewhere", "b.csv", csv_dated(lambda day: f"{day} 00:00:00+09:00"), None),
        ("midnight New York in UTC", "b.csv", csv_dated(lambda day: f"{day}T04:00:00Z"), None),
        ("seconds since 1970", "b.csv", csv_dated(lambda day: int(midnight("UTC", day).timestamp())), None),
        ("milliseconds since 1970", "b.csv", csv_dated(lambda day: int(midnight("UTC", day).timestamp()) * 10**3), None),
        ("nanoseconds since 1970", "b.csv", csv_dated(lambda day: int(midnight("America/New_York", day).timestamp()) * 10**9), None),
        ("gzip", "b.csv.gz", gzip.compress(text().encode()), None),
        ("bzip2", "b.csv.bz2", bz2.compress(text().encode()), None),
        ("Zstandard", "b.csv.zst", pa.Codec("zstd").compress(text().encode(), asbytes=True), None),
        ("zip", "b.zip", zipped({"b.csv": text()}), None),
        ("zip of a file a symbol", "b.zip", zipped({f"us/{name}.csv": of_symbol(name) for name in CLOSES}), None),
        (
            "hive folders",
            "b.zip",
            zipped(
                {f"symbol={name}/part-0.parquet": parquet(frame()[frame()["symbol"] == name].drop(columns="symbol")) for name in CLOSES}
            ),
            None,
        ),
        (
            "Spark's folder",
            "b.zip",
            zipped(
                {
                    "_SUCCESS": b"",
                    ".part-0.parquet.crc": b"x",
                    "part-1.parquet": parquet(frame().head(0)),
                    "part-0.snappy.parquet": parquet(frame()),
                }
            ),
            None,
        ),
        ("Parquet", "b.parquet", parquet(frame()), None),
        ("Parquet with dates", "b.parquet", parquet(dated(lambda day: date.fromisoformat(day))), None),
        ("Parquet with timestamps in UTC", "b.parquet", parquet(dated(lambda day: midnight("UTC", day))), None),
        ("Parquet with timestamps elsewhere", "b.parquet", parquet(dated(lambda day: midnight("Asia/Tokyo", day))), None),
        ("Parquet with index levels", "b.parquet", parquet(frame().set_index(["date", "symbol"])), None),
        ("alpaca-py's frame", "b.parquet", parquet(alpaca()), None),
        ("Parquet with categories", "b.parquet", parquet(frame().astype({"symbol": "category"})), None),
        ("Feather", "b.feather", arrow(), None),
        ("yfinance.download as CSV", "b.csv", yfinance_csv(wide()), None),
        ("yfinance.download by ticker", "b.csv", yfinance_csv(wide(symbols_first=True)), None),
        ("yfinance.download as Parquet", "b.parquet", parquet(wide()), None),
        ("American dates", "b.csv", csv_dated(day_of("%m/%d/%Y")), None),
        ("European dates", "b.csv", csv_dated(day_of("%d/%m/%Y")), None),
        ("months in words", "b.csv", csv_dated(day_of("%d-%b-%Y")), None),
        ("04:00 without a zone", "b.csv", csv_dated(lambda day: f"{day} 04:00:00"), None),
        ("pandas' row numbers", "b.csv", frame().to_csv(), None),
        ("a table a figure", "b.zip", by_figure(), None),
        ("AAPL_Open", "b.csv", flat("{symbol}_{figure}").to_csv(), None),
        ("Close MSFT", "b.parquet", parquet(flat("{figure} {symbol}")), None),
        ("('Close', 'AAPL')", "b.parquet", tupled(), None),
        ("yfinance's Ticker.history", "b.zip", a_file_a_symbol(PLAIN, Dividends=0.0, **{"Stock Splits": 0.0}), None),
        ("Stooq's archive", "b.zip", a_file_a_symbol(STOOQ, "daily/us/nasdaq {kind}/{lower}.us.txt", **{"<PER>": "D"}), None),
        ("Kaggle's stocks and ETFs", "b.zip", a_file_a_symbol(PLAIN, "{kind}/{lower}.us.txt", OpenInt=0), None),
        ("Kaggle's Name", "b.csv", text(header="date,Name,open,high,low,close,volume\n"), None),
        ("Nasdaq.com's downloads", "b.zip", nasdaq_com(), None),
        ("Nasdaq Data Link's WIKI", "b.csv", adjusted(adj="adj_close", split="split_ratio"), None),
        ("Sharadar's SEP", "b.csv", adjusted(adj="closeadj", split="closeunadj"), None),
        ("Tiingo", "b.csv", adjusted(adj="adjClose", split="splitFactor"), None),
        ("Polygon's flat files", "b.zip", polygon(), None),
        ("alpaca-py's frame as CSV", "b.csv", alpaca().to_csv(), None),
        ("Alpaca's answer", "b.json", answer("alpaca"), None),
        ("Polygon's answers", "b.zip", answer("polygon"), None),
        ("Polygon's grouped answer", "b.json", answer("polygon by day"), None),
        ("Tiingo's answers", "b.zip", answer("tiingo"), None),
        ("JSON by line", "b.jsonl", answer("lines"), None),
        ("DuckDB's CSV", "b.csv", written_by_duckdb("FORMAT csv"), None),
        ("DuckDB's hive folders", "b.zip", written_by_duckdb("FORMAT parquet, PARTITION_BY (symbol)"), None),
        ("pyarrow's CSV", "b.csv", written_by_arrow("csv"), None),
        ("Arrow's stream", "b.arrows", written_by_arrow("stream"), None),
        ("pyarrow's folders without keys", "b.zip", written_by_arrow("folders"), None),
        ("polars' types", "b.parquet", written_by_arrow("types"), None),
    ]
}


BROKER = "understood: symbols are written as the broker writes them"
RAW_BY, TOTAL_BY = "understood: prices are raw, by the columns", "understood: prices are total_return, by the columns"
SAID: dict[str, tuple[str, ...]] = {
    "decimal commas and German dates": ("understood: dates are %d.%m.%Y",),
    "alpaca-py's frame": ("columns not used: trade_count, vwap",),
    "American dates": ("understood: dates are %m/%d/%Y",),
    "European dates": ("understood: dates are %d/%m/%Y",),
    "months in words": ("understood: dates are %d-%b-%Y",),
    "yfinance's Ticker.history": ("columns not used: Dividends, Stock Splits", f"{TOTAL_BY} Dividends, Stock Splits"),
    "Stooq's archive": ("columns not used: <PER>", f"{BROKER}, BBB.US as BBB; kinds are those of the folders: etf, stock"),
    "Kaggle's stocks and ETFs": ("columns not used: OpenInt", f"{BROKER}, bbb.us as BBB; kinds are those of the folders: etf, stock"),
    "Nasdaq.com's downloads": ("understood: dates are %m/%d/%Y",),
    "Nasdaq Data Link's WIKI": ("columns not used: split_ratio", f"{RAW_BY} split_ratio"),
    "Sharadar's SEP": ("columns not used: closeunadj",),
    "Tiingo": ("columns not used: splitFactor", f"{RAW_BY} splitFactor"),
    "Polygon's flat files": ("columns not used: transactions",),
    "Tiingo's answers": ("columns not used: divCash, splitFactor", f"{RAW_BY} splitFactor"),
    "alpaca-py's frame as CSV": ("columns not used: trade_count, vwap",),
}
BASES = {
    "yfinance's Ticker.history": PriceBasis.TOTAL_RETURN,
    "Nasdaq Data Link's WIKI": PriceBasis.RAW,
    "Tiingo": PriceBasis.RAW,
    "Tiingo's answers": PriceBasis.RAW,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_ten_bars(layout: str) -> None:
    file, content, mapping = LAYOUTS[layout]
    notes: list[str] = []
    frame, understood = recognise_bars(content, mapping, where=file, note=notes.append)
    found = frame.sort_values(["date", "symbol"])
    assert [str(day.date()) for day in found["date"]] == [row[0] for row in rows()]
    assert found["symbol"].tolist() == [row[1] for row in rows()]
    for place, name in enumerate(FIGURES):
        assert found[name].tolist() == [row[place + 2] for row in rows()], name
    expected = list(SAID.get(layout, ()))
    if layout == "lines below the table":
        expected = [f"a line below the table of b.csv is no row: {line!r}" for line in ("Source: an exchange", "Total rows: 10")]
    assert list(dict.fromkeys(notes)) == expected
    kinds = {name: "etf" if name == "BBB" and "kinds are" in "".join(expected) else "stock" for name in CLOSES}
    assert dict(zip(found["symbol"], found["kind"], strict=True)) == kinds
    assert understood.basis == BASES.get(layout)
    again = read_bars(content, understood.mapping, where=file).sort_values(["date", "symbol"])  # as a receipt keeps it
    pd.testing.assert_frame_equal(again.reset_index(drop=True), found.reset_index(drop=True))


def test_what_was_understood_is_kept_with_the_delivery_and_a_mapping_overrides_it(tmp_path: Path) -> None:
    """Prices, symbols and dates of a new delivery are those that it shows; read again it is read by its receipt alone."""
    lines = "date,ticker,open,high,low,close,volume,adjClose,splitFactor\n" + "".join(
        f"{day_of('%m/%d/%Y')(row.date)},{row.symbol.lower()},{row.open},{row.high},{row.low},{row.close},{row.volume},{row.close},1\n"
        for row in frame().itertuples()
    )
    path = written(tmp_path, "b.csv", lines)
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "d")
    assert code == 0
    assert "NOTE: understood: dates are %m/%d/%Y; symbols are written as the broker writes them, aaa as AAA; prices are raw" in said
    receipt = read_receipts(tmp_path / "d")[0]
    assert (receipt.basis, receipt.mapping["bars"]["date_format"], receipt.mapping["bars"]["symbols"]) == ("raw", "%m/%d/%Y", "broker")
    assert bars_of(tmp_path / "d")["2021-06-08", "AAA"] == 101.0
    assert run("ingest", "--bars", path, "--to", tmp_path / "d")[0] == 0
    assert read_manifest(tmp_path / "d").version == 1
    code, said = run("ingest", "--bars", path, "--basis", "total_return", "--to", tmp_path / "e")
    assert (code, read_manifest(tmp_path / "e").basis) == (0, PriceBasis.TOTAL_RETURN)


def test_what_is_added_keeps_the_symbols_of_the_history(tmp_path: Path) -> None:
    """A history whose symbols were taken as they came goes on under them."""
    small = text().replace("AAA", "aaa")
    first = "".join(small.splitlines(keepends=True)[:9])
    assert run("ingest", "--bars", written(tmp_path, "b.csv", first), "--to", tmp_path / "d")[0] == 0
    assert ("2021-06-08", "aaa") in bars_of(tmp_path / "d")
    more = written(tmp_path, "c.csv", HEADER + "2021-06-11,aaa,103.8,104.5,103.5,104,1040\n")
    assert run("ingest", "--add", "--bars", more, "--to", tmp_path / "d")[0] == 0
    assert ("2021-06-11", "aaa") in bars_of(tmp_path / "d")
    lower = "".join(text().lower().splitlines(keepends=True)[:9])
    assert run("ingest", "--bars", written(tmp_path, "l.csv", lower), "--to", tmp_path / "e")[0] == 0
    assert run("ingest", "--add", "--bars", more, "--to", tmp_path / "e")[0] == 0
    assert ("2021-06-11", "AAA") in bars_of(tmp_path / "e") and {name for _, name in bars_of(tmp_path / "e")} == set(CLOSES)


def test_days_that_may_be_months_are_told_by_the_sessions_or_asked_for(tmp_path: Path) -> None:
    """07/06/2021 and 06/07/2021 are sessions both; with the Sunday 13 June there is one way to read them."""
    both = of_rows("07/06/2021,AAA,1,1,1,1,1", "06/07/2021,AAA,1,1,1,1,1")
    with pytest.raises(BadBars, match=r"'07/06/2021' may be 2021-07-06 or 2021-06-07; the sessions do not tell.*date_format: %m/%d/%Y"):
        recognise_bars(both.encode(), BarColumns(), where="b.csv")
    said, found = recognise_bars(both.encode(), BarColumns(date_format="%d/%m/%Y"), where="b.csv")
    assert said["date"].tolist() == [pd.Timestamp("2021-06-07"), pd.Timestamp("2021-07-06")] and found.said == ()
    told = both + "09/11/2021,AAA,1,1,1,1,1\n"  # 11 September was a Saturday, 9 November a Tuesday
    assert recognise_bars(told.encode(), BarColumns(), where="b.csv")[1].mapping.date_format == "%d/%m/%Y"


def test_the_symbol_of_a_lone_file_is_asked_for(tmp_path: Path) -> None:
    """The name of a lone file is anybody's: a script says the symbol, a person is asked."""
    path = written(tmp_path, "HistoricalData_17.csv", of_symbol("AAA"))
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "d")
    assert (code, "Name it: --symbol AAPL" in said) == (2, True)
    assert not (tmp_path / "d").exists()
    assert run("ingest", "--bars", path, "--symbol", "AAA", "--to", tmp_path / "d")[0] == 0
    person = Person(tmp_path, "ingest", "--bars", path.name, "--to", "e")
    person.sees("HistoricalData_17.csv does not say which symbol it is of. Which?")
    person.types("AAA\n")
    person.sees("5 bars from 2021-06-07 to 2021-06-11")
    assert person.ends() == 0
    assert bars_of(tmp_path / "e") == bars_of(tmp_path / "d") == {key: c for key, c in ALL.items() if key[1] == "AAA"}


def test_names_of_companies_are_no_symbols() -> None:
    with pytest.raises(SymbolUnknown):
        read_bars(text(header="date,Name,open,high,low,close,volume\n").replace("AAA", "Apple Inc.").encode(), BarColumns(), where="b.csv")


def test_a_folder_that_names_two_kinds_names_none(tmp_path: Path) -> None:
    found, understood = recognise_bars(a_file_a_symbol(PLAIN, "stocks and etfs/{symbol}.csv"), BarColumns(), where="my etfs.zip")
    assert set(found["kind"]) == {"stock"} and understood.said == ()


def test_the_layouts_are_counted_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs" / "curated-data.md").read_text(encoding="utf-8")
    table = text.partition("| layout |")[2].partition("\n\n")[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table] == list(LAYOUTS)
    assert len(LAYOUTS) >= 25


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and what is said."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def of_rows(*lines: str) -> str:
    return HEADER + "".join(f"{line}\n" for line in lines)


def bars_of(folder: Path, manifest: Manifest | None = None) -> dict[tuple[str, str], float]:
    """(day, symbol) -> close."""
    manifest = manifest or read_manifest(folder)
    panel = load_bars(folder, manifest, manifest.first, manifest.last)
    cells = [(t, n) for t in range(len(panel.sessions)) for n in range(len(panel.symbols))]
    return {
        (str(panel.sessions[t]), panel.symbols[n]): float(panel.close[t, n]) for t, n in cells if panel.close[t, n] == panel.close[t, n]
    }


# dates


def test_a_date_label_of_tomorrow_in_utc_is_tomorrow_and_revises_nothing(tmp_path: Path) -> None:
    base = written(tmp_path, "base.csv", HEADER + frame().head(6).to_csv(index=False, header=False))
    thursday = written(
        tmp_path,
        "thursday.csv",
        of_rows(
            "2021-06-10T00:00:00.000Z,AAA,102.80,103.50,102.50,103.00,1030", "2021-06-10T00:00:00.000Z,BBB,50.80,51.50,50.50,51.00,1030"
        ),
    )
    data = tmp_path / "data"
    assert run("ingest", "--bars", base, "--to", data, "--known-at", "2021-06-09")[0] == 0
    assert run("ingest", "--add", "--bars", thursday, "--to", data, "--known-at", "2021-06-10")[0] == 0
    found = bars_of(data)
    assert {key: close for key, close in found.items() if key[0] >= "2021-06-09"} == {
        ("2021-06-09", "AAA"): 102.0,
        ("2021-06-09", "BBB"): 49.5,
        ("2021-06-10", "AAA"): 103.0,
        ("2021-06-10", "BBB"): 51.0,
    }
    assert "REVISED" not in run("audit", "--data", data)[1]


def test_actions_and_members_have_date_labels_too(tmp_path: Path) -> None:
    bars = written(
        tmp_path, "bars.csv", of_rows("2021-06-08,AAA,403.8,404.5,403.5,404,50000", "2021-06-09,AAA,101.8,102.5,101.5,102,50000")
    )
    actions = written(tmp_path, "a.csv", "kind,symbol,effective,ratio\nsplit,AAA,2021-06-09T00:00:00Z,4\n")
    universe = written(tmp_path, "u.csv", "symbol,start,end\nAAA,2021-06-09T00:00:00Z,9999-12-31\n")
    data = tmp_path / "data"
    assert run("ingest", "--bars", bars, "--actions", actions, "--universe", universe, "--basis", "raw", "--to", data)[0] == 0
    manifest = read_manifest(data)
    assert [a.effective for a in load_actions(data, manifest)] == [date(2021, 6, 9)]
    panel = load_bars(data, manifest, manifest.first, manifest.last)
    assert panel.eligible[:, 0].tolist() == [False, True]
    assert panel.total_return[1, 0] == pytest.approx(4 * 102 / 404 - 1)


def test_dates_over_the_change_of_the_clocks_are_one_file(tmp_path: Path) -> None:
    content = of_rows("2021-03-12 00:00:00-05:00,AAA,99.8,100.5,99.5,100,1000", "2021-03-15 00:00:00-04:00,AAA,100.8,101.5,100.5,101,1000")
    found = read_bars(content.encode(), BarColumns(), where="h.csv")
    assert [str(day.date()) for day in found["date"]] == ["2021-03-12", "2021-03-15"]


def test_labels_and_instants_in_one_column_are_refused() -> None:
    content = of_rows("2021-06-08T00:00:00Z,AAA,1,1,1,1,1", "2021-06-08T20:00:00Z,BBB,1,1,1,1,1")
    with pytest.raises(BadBars, match=r"dates and instants in one column.*b\.csv, row 1"):
        read_bars(content.encode(), BarColumns(), where="b.csv")


@pytest.mark.parametrize("cell", ["2021-06", "44354", "1.6230384E+18", "07.06.2021", "1623038400", "0"])
def test_a_cell_that_may_be_another_date_is_refused(cell: str) -> None:
    content = of_rows("20210607,AAA,1,1,1,1,1", f"{cell},AAA,1,1,1,1,1")
    with pytest.raises(BadBars, match=r"unreadable date.*row 2"):
        read_bars(content.encode(), BarColumns(), where="b.csv")


@pytest.mark.parametrize("day", ["2026-11-30", "2099-12-31", "2300-01-03", "9999-12-31"])
def test_a_bar_of_the_future_is_refused_by_its_row(day: str, tmp_path: Path) -> None:
    path = written(tmp_path, "tomorrow.csv", text() + f"{day},AAA,103.80,104.50,103.50,104.00,1000\n")
    with pytest.raises(BadBars, match=rf"a bar of the future: {day} \(tomorrow\.csv, row 11\)\. Today is 2026-11-29"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig(), today=date(2026, 11, 29)),
        )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("day", "said"), [("1970-01-01", "row 11"), ("0001-01-01", "row 11"), ("2300-01-03", "row 9")])
def test_a_placeholder_far_from_every_other_date_is_refused(day: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, "b.csv", text() + f"{day},AAA,103.80,104.50,103.50,104.00,1000\n")
    with pytest.raises(BadBars, match=rf"no symbol has a row between.*{said}"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig()),
        )


@pytest.mark.parametrize("year", ["0001", "1884", "2300", "9999"])
def test_a_year_without_a_calendar_is_one_clear_error(year: str, tmp_path: Path) -> None:
    path = written(tmp_path, "b.csv", of_rows(f"{year}-06-07,AAA,1,1,1,1,1"))
    with pytest.raises(TrademlError, match="no calendar of the exchange reaches"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig()),
        )


SHIFTS = {
    "day_early": lambda day: np.datetime64(day) - 1,
    "day_late": lambda day: np.datetime64(day) + 1,
    "weekday_early": lambda day: np.busday_offset(day, -1),
    "weekday_late": lambda day: np.busday_offset(day, 1),
    "20:00 in New York": lambda day: f"{np.datetime64(day) - 1}T20:00:00-04:00",
}


def quarter(shift: Callable[[str], object], of: str = "AAA BBB") -> str:
    """Two names over April to June 2021, whose Good Friday and Memorial Day were no sessions; `of` them shifted."""
    days = [str(day) for day in xnys(date(2021, 3, 29), date(2021, 6, 30)).days]
    return of_rows(
        *(
            f"{shift(day) if name in of else day},{name},{price},{price},{price},{price},1000"
            for at, day in enumerate(days)
            for name, price in (("AAA", 100 + at), ("BBB", 50 + at / 2))
        )
    )


@pytest.mark.parametrize("kind", SHIFTS)
def test_a_shift_of_all_dates_is_named_and_the_mapping_that_it_names_mends_it(kind: str, tmp_path: Path) -> None:
    """No Monday is lost without a word: midnight in UTC that was read in New York is Sunday."""
    path = written(tmp_path, "shifted.csv", quarter(SHIFTS[kind]))
    named = kind if kind in set(DateShift) else "day_early"
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "data")
    assert (code, f"Write `dates: {named}` in the section `bars`" in said) == (2, True)
    assert "no sessions of the exchange" in said
    assert not (tmp_path / "data").exists()
    mapping = written(tmp_path, "mapping.yml", f"bars: {{dates: {named}}}\n")
    assert run("ingest", "--bars", path, "--mapping", mapping, "--to", tmp_path / "data")[0] == 0
    right = written(tmp_path, "right.csv", quarter(str))
    assert run("ingest", "--bars", right, "--to", tmp_path / "right")[0] == 0
    assert bars_of(tmp_path / "data") == bars_of(tmp_path / "right")


def test_a_shift_of_one_name_and_of_one_evening_are_named_too(tmp_path: Path) -> None:
    path = written(tmp_path, "half.csv", quarter(SHIFTS["day_early"], of="BBB"))
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "data")
    assert (code, "all dates of BBB are a day early" in said) == (2, True)
    assert run("ingest", "--bars", written(tmp_path, "right.csv", quarter(str)), "--to", tmp_path / "data")[0] == 0
    before = read_manifest(tmp_path / "data")
    for day, meant in (("2021-07-11", "a day early"), ("2021-07-10", "a day late"), ("2021-07-05", "no row is on")):
        evening = written(tmp_path, "evening.csv", of_rows(f"{day},AAA,150,150,150,150,1000"))
        code, said = run("ingest", "--add", "--bars", evening, "--to", tmp_path / "data")
        assert (code, meant in said) == (2, True)
    assert read_manifest(tmp_path / "data") == before


def test_few_dates_without_trading_are_no_shift(tmp_path: Path) -> None:
    content = quarter(str) + "2021-06-05,AAA,1,1,1,1,1\n2021-06-06,BBB,1,1,1,1,1\n"
    assert run("ingest", "--bars", written(tmp_path, "b.csv", content), "--to", tmp_path / "data")[0] == 0
    assert len(read_manifest(tmp_path / "data").non_sessions) == 2


def test_dates_of_actions_are_shifted_or_of_no_calendar_in_words(tmp_path: Path) -> None:
    bars = written(tmp_path, "b.csv", quarter(str))
    days = [str(day) for day in xnys(date(2021, 4, 1), date(2021, 6, 1)).days][:12]
    head = "kind,symbol,effective,cash,known_at\n"
    early = head + "".join(f"dividend,AAA,{np.datetime64(day) - 1},0.1,\n" for day in days)
    for name, content, meant in (
        ("early", early, "Write `dates: day_early` in the section `actions`"),
        ("old", head + "dividend,AAA,1066-10-14,0.1,\n", "an action of 1066-10-14 is in no calendar"),
        ("far", head + "dividend,AAA,2999-06-07,0.1,\n", "row 1; years 1885 to 2199"),
        ("known", head + "dividend,AAA,2021-05-04,0.1,2999-06-07\n", "known in the future: 2999-06-07"),
    ):
        path = written(tmp_path, f"{name}.csv", content)
        code, said = run("ingest", "--bars", bars, "--actions", path, "--to", tmp_path / "data")
        assert (code, meant in said) == (2, True), said
    mapping = written(tmp_path, "mapping.yml", "actions: {dates: day_early}\n")
    assert run("ingest", "--bars", bars, "--actions", tmp_path / "early.csv", "--mapping", mapping, "--to", tmp_path / "data")[0] == 0
    found = load_actions(tmp_path / "data", read_manifest(tmp_path / "data"))
    assert [str(action.effective) for action in found] == days


def test_nothing_is_known_or_asked_for_after_today(tmp_path: Path) -> None:
    bars, data = written(tmp_path, "b.csv", text()), tmp_path / "data"
    members = written(tmp_path, "u.csv", "symbol,start,end,known_at\nAAA,2021-06-07,,2999-01-04\n")
    assert run("ingest", "--bars", bars, "--to", data)[0] == 0
    for arguments, meant in (
        (("ingest", "--bars", bars, "--to", data, "--known-at", "2999-01-04"), "a delivery of 2999-01-04 was not had"),
        (("ingest", "--add", "--universe", members, "--to", data), "known in the future: 2999-01-04"),
        (("backfill", "--data", data, "--end", "2999-01-04"), "2999-01-04 has not come"),
        (("as-of", "--data", data, "--known-at", "2999-01-04", "--to", tmp_path / "v"), "2999-01-04 has not come"),
    ):
        code, said = run(*arguments)
        assert (code, meant in said) == (2, True), said


# figures


@pytest.mark.parametrize(
    ("prices", "volume", "decimal", "first"),
    [
        ("1.234,50;1.234,50;1.234,50;1.234,50", "1.000", None, (1234.5, 1000.0)),
        ("1,234.50;1,234.50;1,234.50;1,234.50", "1,000", None, (1234.5, 1000.0)),
        ("1 234,50;1 234,50;1 234,50;1 234,50", "1 000", None, (1234.5, 1000.0)),
        ("1'234.50;1'234.50;1'234.50;1'234.50", "1'000", None, (1234.5, 1000.0)),
        ("100,500;100,500;100,500;100,500", "1000", ",", (100.5, 1000.0)),
        ("100,500;100,500;100,500;100,500", "1000", ".", (100500.0, 1000.0)),
        ("100.500;100.500;100.500;100.500", "1000", None, (100.5, 1000.0)),
        ("100;100;100;100", "1,000,000", None, (100.0, 1e6)),
    ],
)
def test_the_figures_together_show_what_parts_decimals(prices: str, volume: str, decimal: str | None, first: tuple[float, float]) -> None:
    content = HEADER.replace(",", ";") + f"2021-06-07;AAA;{prices};{volume}\n"
    sign = None if decimal is None else DecimalSign(decimal)
    found = read_bars(content.encode(), BarColumns(decimal=sign), where="b.csv")
    assert (found["close"][0], found["volume"][0]) == first


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ("100,500;100,500;100,500;100,500", r"a decimal comma or does it part thousands.*decimal: "),
        ("99,80;99.80;99,80;99,80", "a decimal comma or does it part thousands"),
        ("1,00,000.5;1;1;1", "open: '1,00,000.5' is not a number.*row 1"),
        ("EUR 5;1;1;1", "open: 'EUR 5' is not a number.*row 1"),
    ],
)
def test_figures_that_could_be_two_numbers_are_refused(prices: str, said: str) -> None:
    content = HEADER.replace(",", ";") + f"2021-06-07;AAA;{prices};1000\n"
    with pytest.raises(BadBars, match=said):
        read_bars(content.encode(), BarColumns(), where="b.csv")


# packing and headers


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.csv.gz", gzip.compress(text().encode())[:-20], r"not a readable \.gz file"),
        ("b.zip", zipped({"b.csv": text()})[:-30], "not a readable archive"),
        ("b.json", b'{"bars": {"AAA": [{"t": 1,', "not readable JSON"),
        ("b.json", b'{"message": "forbidden."}', "missing columns"),
        ("b.zip", zipped({"a.xlsx": b"x", "b.csv": text()}), r"neither \.parquet nor \.csv nor \.json \(b\.zip/a\.xlsx\)"),
        ("b.zip", zipped({"x.csv": of_symbol("AAA")}), "missing column: symbol"),
        ("b.csv", text()[:-20], "the last row was cut off"),
        ("b.csv", text().replace("99.8,", "99,8,"), "not a readable CSV file"),
        ("b.csv", text(header="date,symbol,open,high,low,close,Close,volume\n"), "2 columns are called close"),
    ],
    ids=[
        "gzip",
        "zip",
        "JSON cut off",
        "an error",
        "stranger",
        "no symbol",
        "cut off",
        "comma",
        "close twice",
    ],  # packed bytes hold the time
)
def test_a_broken_delivery_is_one_clear_error(name: str, content: str | bytes, said: str) -> None:
    payload = content.encode() if isinstance(content, str) else content
    with pytest.raises(BadBars, match=said):
        read_bars(payload, BarColumns(), where=name)


def test_a_folder_of_files_by_symbol_is_one_delivery_and_the_same_folder_again_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "prices[v2]"
    folder.mkdir()
    for name in CLOSES:
        written(folder, f"{name}.csv", of_symbol(name))
    code, said = run("ingest", "--bars", folder, "--to", tmp_path / "data")
    assert (code, "10 bars from 2021-06-07 to 2021-06-11" in said) == (0, True)
    assert bars_of(tmp_path / "data")["2021-06-08", "BBB"] == 50.5
    assert run("ingest", "--bars", folder, "--to", tmp_path / "data")[0] == 0
    assert read_manifest(tmp_path / "data").version == 1
    (folder / "empty").mkdir()
    assert run("ingest", "--bars", folder / "empty", "--to", tmp_path / "other")[0] == 2
    code, said = run("backfill", "--data", tmp_path / "data", "--bars", folder)
    assert code == 0


def test_adjusted_closes_are_used_under_every_name_and_a_column_that_is_not_used_is_named(tmp_path: Path) -> None:
    for name in ("adjusted_close", "Adj Close", "Adj. Close", "adjClose"):
        content = HEADER.replace("volume", f"{name},volume,rating") + (
            "2021-06-07,AAA,99.8,100.5,99.5,100,95,1000,A\n2021-06-08,AAA,94.8,95.5,94.5,95,95,1000,A\n"
        )
        data = tmp_path / name
        code, said = run("ingest", "--bars", written(tmp_path, "eodhd.csv", content), "--to", data)
        assert (code, "NOTE: columns not used: rating" in said) == (0, True)
        manifest = read_manifest(data)
        assert load_bars(data, manifest, manifest.first, manifest.last).total_return[1, 0] == 0.0


# symbols and kinds


def test_symbols_that_no_broker_knows_are_named_and_the_mapping_mends_them() -> None:
    names = ("aapl", "AAPL", "CAT.US", "BRK-B", "BRK/B", "XNYS:CAT", '"""QQQ"""')
    content = of_rows(*(f"2021-06-07,{name},99.80,100.50,99.50,100.00,1000" for name in names)).encode()
    notes: list[str] = []
    found = read_bars(content, BarColumns(), where="b.csv", note=notes.append)
    assert found["symbol"].tolist() == ["aapl", "AAPL", "CAT.US", "BRK-B", "BRK/B", "XNYS:CAT", '"QQQ"']
    assert len(notes) == 1
    assert notes[0].startswith("6 symbols are not written as the broker writes them: ")
    assert notes[0].endswith("`symbols: broker` in the mapping writes them so")
    again: list[str] = []
    found = read_bars(content, BarColumns(symbols=SymbolForm.BROKER), where="b.csv", note=again.append)
    assert found["symbol"].tolist() == ["AAPL", "AAPL", "CAT", "BRK.B", "BRK.B", "CAT", "QQQ"]
    assert again == []


def test_only_stocks_are_eligible_and_other_kinds_are_named(tmp_path: Path) -> None:
    kinds = {"AAA": "Common Stock", "WRT": "WARRANT", "IDX": "INDEX", "NOT": "ETN", "FND": "etf", "CRY": "CRYPTOCURRENCY"}
    days = pd.bdate_range("2021-06-07", periods=4).strftime("%Y-%m-%d")
    lines = [
        f"{day},{name},{10 + at},{11 + at},{9 + at},{10 + at},{1000 + at},{kind}\n"
        for at, day in enumerate(days)
        for name, kind in kinds.items()
    ]
    path = written(tmp_path, "kinds.csv", HEADER.replace("volume", "volume,kind") + "".join(lines))
    notes: list[str] = []
    manifest = ingest(
        DeliveryFiles(path),
        tmp_path / "d",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig(min_history=3, eligibility=ANY)),
        note=notes.append,
    )
    panel = load_bars(tmp_path / "d", manifest, manifest.first, manifest.last)
    assert [name for n, name in enumerate(panel.symbols) if panel.eligible[-1, n]] == ["AAA"]
    assert notes == ["kinds that are neither stock nor etf, and never eligible: cryptocurrency, etn, index, warrant"]


# actions and members


def actions(*lines: str) -> str:
    return "kind,symbol,effective,ratio,cash\n" + "".join(f"{line}\n" for line in lines)


RAW = of_rows(
    "2021-06-07,AAA,399.80,400.50,399.50,400.00,1000",
    "2021-06-08,AAA,403.80,404.50,403.50,404.00,1000",
    "2021-06-09,AAA,101.80,102.50,101.50,102.00,1000",
    "2021-06-10,AAA,102.80,103.50,102.50,103.00,1000",
)


def test_an_action_told_twice_is_one_action(tmp_path: Path) -> None:
    told = actions("split,AAA,2021-06-09,4,", "split,AAA,2021-06-09,4.0,", "dividend,AAA,2021-06-10,,0.5", "dividend,AAA,2021-06-10,,0.50")
    code, said = run(
        "ingest",
        "--bars",
        written(tmp_path, "raw.csv", RAW),
        "--actions",
        written(tmp_path, "a.csv", told),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )
    assert (code, "NOTE: actions given more than once, which count once: 2" in said) == (0, True)
    manifest = read_manifest(tmp_path / "d")
    panel = load_bars(tmp_path / "d", manifest, manifest.first, manifest.last)
    assert panel.total_return[2, 0] == pytest.approx(4 * 102 / 404 - 1)
    assert panel.total_return[3, 0] == pytest.approx((103 + 0.5) / 102 - 1)


def test_two_splits_of_a_day_that_differ_are_refused(tmp_path: Path) -> None:
    told = actions("split,AAA,2021-06-09,4,", "split,AAA,2021-06-09,2,")
    code, said = run(
        "ingest",
        "--bars",
        written(tmp_path, "raw.csv", RAW),
        "--actions",
        written(tmp_path, "a.csv", told),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )
    assert (code, said) == (2, "2 splits of AAA on 2021-06-09 that differ (a.csv). Keep the true one")
    assert not (tmp_path / "d").exists()


def test_actions_and_members_of_nobody_are_named(tmp_path: Path) -> None:
    universe = "symbol,start,end\nAAA,2021-01-01,\nBBB.US,2021-01-01,\n"
    code, said = run(
        "ingest",
        "--bars",
        written(tmp_path, "b.csv", text()),
        "--actions",
        written(tmp_path, "a.csv", actions("split,AAA.US,2021-06-09,4,")),
        "--universe",
        written(tmp_path, "u.csv", universe),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )
    assert code == 0
    assert "NOTE: 1 action names no symbol of the bars: AAA.US" in said
    assert "NOTE: 1 member is no symbol of the bars: BBB.US" in said


def test_a_membership_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    universe = "symbol,start,end\nAAA,2021-01-01,\nBBB,2021-06-09,2021-06-08\n"
    code, said = run(
        "ingest", "--bars", written(tmp_path, "b.csv", text()), "--universe", written(tmp_path, "u.csv", universe), "--to", tmp_path / "d"
    )
    assert (code, "BBB: an interval that ends on 2021-06-08" in said, "u.csv, row 2" in said) == (2, True, True)


def test_a_file_of_no_actions_is_no_fault(tmp_path: Path) -> None:
    """`trainer fetch` writes one for a time without any."""
    empty = written(tmp_path, "actions.csv", "kind,symbol,effective,ratio,cash,new_symbol\n")
    code, said = run("ingest", "--bars", written(tmp_path, "b.csv", text()), "--actions", empty, "--basis", "raw", "--to", tmp_path / "d")
    assert (code, "10 bars" in said) == (0, True)
    assert load_actions(tmp_path / "d", read_manifest(tmp_path / "d")) == ()


# what the prices themselves contradict


def split_case(tmp_path: Path, bars: str, line: str) -> tuple[int, str]:
    return run(
        "ingest",
        "--bars",
        written(tmp_path, "b.csv", bars),
        "--actions",
        written(tmp_path, "a.csv", actions(line)),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )


@pytest.mark.parametrize(
    ("bars", "line", "said"),
    [
        (text(), "split,AAA,2021-06-09,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-09: open"),
        (RAW, "split,AAA,2021-06-09,0.25,", "the recorded split 1:4 contradicts the prices (AAA 2021-06-09"),
        (RAW, "split,AAA,2021-06-08,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-08"),
        (RAW, "split,AAA,2021-06-10,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-10"),
    ],
    ids=["adjusted prices", "inverted", "a day early", "a day late"],
)
def test_a_split_that_the_prices_did_not_follow_is_refused(tmp_path: Path, bars: str, line: str, said: str) -> None:
    code, told = split_case(tmp_path, bars, line)
    assert code == 2
    assert told.startswith(said)
    assert "--basis split_adjusted" in told
    assert not (tmp_path / "d").exists()


def test_the_true_split_is_accepted(tmp_path: Path) -> None:
    assert split_case(tmp_path, RAW, "split,AAA,2021-06-09,4,")[0] == 0


def red_of(table: pd.DataFrame, tmp_path: Path) -> dict[str, str]:
    """RED session -> its first reason."""
    path = written(tmp_path, "b.csv", table.to_csv(index=False))
    manifest = ingest(
        DeliveryFiles(path), tmp_path / "d", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig())
    )
    return {str(a.session): a.reasons[0] for a in manifest.audits if a.status == "RED"}


def crowd() -> pd.DataFrame:
    """Twenty names of very different prices, each going its own way, over five sessions."""
    table = []
    for at, day in enumerate(DAYS):
        for n in range(20):
            close = round(5.0 * 1.5**n * (1 + (3 * n + 5 * at + n * at) % 7 / 100), 2)
            table.append((day, f"N{chr(65 + n)}", close, close, close, close, 1000 + 10 * n + at))
    return pd.DataFrame(table, columns=["date", "symbol", *FIGURES])


PRICES = ["open", "high", "low", "close"]


def changed(kind: str) -> pd.DataFrame:
    table = crowd()
    monday, tuesday = (table.index[table["date"] == day] for day in DAYS[:2])
    if kind == "repeated":
        table.loc[tuesday, [*FIGURES]] = table.loc[monday, [*FIGURES]].to_numpy()
    elif kind == "idle":
        table.loc[tuesday, "volume"] = 0
    elif kind == "factor":
        table.loc[tuesday, PRICES] = (table.loc[monday, PRICES] * 1.013).round(2).to_numpy()
    elif kind == "rolled":
        table.loc[tuesday, [*FIGURES]] = np.roll(table.loc[tuesday, [*FIGURES]].to_numpy(), 2, axis=0)
    return table


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("sane", {}),
        ("repeated", {"2021-06-08": "the bars of the session before, again"}),
        ("idle", {"2021-06-08": "no share traded in any name"}),
        ("factor", {"2021-06-08": "all closes moved by one factor"}),
        ("rolled", {"2021-06-08": "a quarter of the closes doubled or halved"}),
    ],
)
def test_a_session_that_is_no_day_of_trading_is_red_and_the_day_after_is_not(tmp_path: Path, kind: str, found: dict[str, str]) -> None:
    assert red_of(changed(kind), tmp_path) == found


def test_a_session_repeated_in_two_names_is_red(tmp_path: Path) -> None:
    table = frame().head(6)
    table.loc[2:3, list(FIGURES)] = table.loc[0:1, list(FIGURES)].to_numpy()
    assert red_of(table, tmp_path) == {"2021-06-08": "the bars of the session before, again"}


def test_a_row_that_moved_by_100_and_back_is_quarantined_alone(tmp_path: Path) -> None:
    table = frame()
    table.loc[4, PRICES] *= 100
    assert red_of(table, tmp_path) == {}
    found = bars_of(tmp_path / "d")
    assert ("2021-06-09", "AAA") not in found
    assert len(found) == 9
    manifest = read_manifest(tmp_path / "d")
    held = [row for r in manifest.of_role(FileRole.QUARANTINE) for row in read_table(tmp_path / "d", r).to_pylist()]
    assert [(row["symbol"], row["reasons"]) for row in held] == [("AAA", "shifted_level; extreme_return")]


def test_words_of_others_are_never_markup(tmp_path: Path) -> None:
    """A reason, a symbol and a folder with brackets are shown as they are written."""
    table = frame().replace({"symbol": {"BBB": "BAC[/PL]"}}).head(6)
    table.loc[2:3, list(FIGURES)] = table.loc[0:1, list(FIGURES)].to_numpy()
    days = pd.bdate_range("2021-06-10", periods=120).difference(pd.DatetimeIndex(["2021-07-05", "2021-09-06"]))
    more = [
        (str(day.date()), name, 99.0 + at % 7, 109.0, 98.0, 100.0 + at % 7, 900 + at)
        for at, day in enumerate(days)
        for name in ("AAA", "BAC[/PL]")
    ]
    table = pd.concat([table, pd.DataFrame(more, columns=table.columns)])
    table.loc[table.index[-1], "volume"] = 0
    data = tmp_path / "data[v2]"
    assert run("ingest", "--bars", written(tmp_path, "b.csv", table.to_csv(index=False)), "--to", data)[0] == 0
    reason = "[Stooq] lost it [/today]"
    code, said = run("accept-red", "--data", data, "--session", "2021-06-08", "--reason", reason)
    assert code == 0, said
    code, said = run("audit", "--data", data)
    assert code == 1
    for words in (reason, "BAC[/PL]", "data[v2]"):
        assert words in " ".join(said.split())
