"""The mapping that a delivery of a stranger was understood by: kept, overridden, and used for what is added."""

from __future__ import annotations

from pathlib import Path

from signals.market.dataset import read_manifest
from signals.market.manifest import PriceBasis
from tests.test_trainer.test_strangers_files import CLOSES, HEADER, bars_of, day_of, frame, run, text, written
from trainer.curation.deliveries.receipts import read_receipts


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
