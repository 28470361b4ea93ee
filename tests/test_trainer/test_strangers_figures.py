"""Figures, packing, headers, symbols and kinds of assets as strangers write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from signals.errors import BadBars, SymbolUnknown
from signals.market.dataset import load_bars, read_manifest
from signals.market.eligibility_rule import ANY
from signals.market.manifest import PriceBasis
from tests.fakes.terminal import Person
from tests.test_trainer.test_strangers_files import (
    ALL,
    CLOSES,
    HEADER,
    LAYOUTS,
    PLAIN,
    a_file_a_symbol,
    bars_of,
    of_rows,
    of_symbol,
    run,
    text,
    written,
    zipped,
)
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.bars import read_bars, recognise_bars
from trainer.curation.vendors.mapping import BarColumns, DecimalSign, Mapping, SymbolForm


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
