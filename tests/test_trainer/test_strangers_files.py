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
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from signals.errors import TrademlError
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest, PriceBasis
from trainer.__main__ import app
from trainer.curation.vendors.bars import read_bars, recognise_bars
from trainer.curation.vendors.mapping import BarColumns
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


# figures


# packing and headers


# symbols and kinds


# actions and members


def actions(*lines: str) -> str:
    return "kind,symbol,effective,ratio,cash\n" + "".join(f"{line}\n" for line in lines)


RAW = of_rows(
    "2021-06-07,AAA,399.80,400.50,399.50,400.00,1000",
    "2021-06-08,AAA,403.80,404.50,403.50,404.00,1000",
    "2021-06-09,AAA,101.80,102.50,101.50,102.00,1000",
    "2021-06-10,AAA,102.80,103.50,102.50,103.00,1000",
)


# what the prices themselves contradict
