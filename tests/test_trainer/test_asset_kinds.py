"""What a symbol is on a day: its bearer then, told by table and name, doubtful where neither knows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from execution.brokers.reported import ReportedAction, ReportedAsset
from trainer.curation.download.kinds import AssetKind, SymbolHistory, kind_table

LISTED = Path("../shared/data/us_listed_symbols_sectors_2026.parquet")
CONSTITUENTS = LISTED.with_name("sp500_constituents_2026.parquet")


HISTORY = SymbolHistory(
    {"META": AssetKind.STOCK, "METV": AssetKind.ETF},
    [
        ReportedAction("symbol_change", "META", date(2022, 1, 31), new_symbol="METV"),
        ReportedAction("symbol_change", "FB", date(2022, 6, 9), new_symbol="META"),
    ],
)


def test_a_symbol_is_what_its_bearer_of_that_day_is() -> None:
    """META was a fund's until 2022-01-31, nobody's until 2022-06-09, and is a company's since, which was FB before."""
    assert HISTORY.kind("META", date(2021, 12, 1)) is AssetKind.ETF
    assert HISTORY.kind("META", date(2022, 6, 9)) is AssetKind.STOCK
    assert HISTORY.kind("FB", date(2020, 1, 2)) is AssetKind.STOCK
    assert HISTORY.of_kind(AssetKind.STOCK) == ("FB", "META")
    assert HISTORY.related(["FB"]) == {"FB", "META", "METV"}


@pytest.mark.parametrize(
    ("symbol", "name", "kind"),
    [
        ("AAPL", "Apple Inc. Common Stock", "stock"),
        ("BRK.B", "Berkshire Hathaway Inc.", "stock"),
        ("SPY", "SPDR S&P 500 ETF Trust", "etf"),
        ("QQQ", "Invesco QQQ Trust, Series 1", "etf"),
        ("IVZ", "Invesco Ltd. Common Stock", "stock"),
        ("NTRS", "Northern Trust Corporation Common Stock", "stock"),
        ("VNO", "Vornado Realty Trust Common Stock", "stock"),
        ("AEHR", "Aehr Test Systems Common Stock", "stock"),
        ("BABA", "Alibaba Group Holding Limited American Depositary Shares", "other"),
        ("BAC.PRB", "Bank of America Corporation Preferred", "other"),
        ("AACIW", "Armada Acquisition Corp. III Warrant", "other"),
        ("EPD", "Enterprise Products Partners L.P. Common Stock", "other"),
        ("NUV", "Nuveen Municipal Value Fund, Inc. Common Stock", "other"),
        ("ZVZZT", "NASDAQ TEST STOCK", "other"),
        ("TVE", "Tennessee Valley Authority", "doubtful"),
        ("XYZQ", "", "doubtful"),
    ],
)
def test_kinds_are_told_by_table_and_name_and_what_neither_knows_is_doubtful(symbol: str, name: str, kind: str) -> None:
    assert kind_table().kind(ReportedAsset(symbol, name, "NYSE", True)) == kind


def test_a_symbol_of_assets_of_two_kinds_is_doubtful() -> None:
    assets = [ReportedAsset("AAA", "Triple A Corp. Common Stock", "NYSE", False), ReportedAsset("AAA", "Alpha ETF", "ARCA", True)]
    assert kind_table().kinds(assets) == {"AAA": AssetKind.DOUBTFUL}


def test_the_rules_know_the_companies_of_a_real_list() -> None:
    """Every one of 503 constituents of the S&P 500 is a stock; of 7,182 listed names under 0.2 % are doubtful."""
    if not LISTED.exists():
        pytest.skip(f"{LISTED} is absent")
    table, listing = kind_table(), pd.read_parquet(LISTED)
    kinds = {
        symbol.strip().replace("/", "."): table.kind(ReportedAsset(symbol.strip().replace("/", "."), name, exchange, True))
        for symbol, name, exchange in zip(listing["symbol"], listing["name"], listing["exchange"], strict=True)
    }
    constituents = {str(symbol).replace("/", ".") for symbol in pd.read_parquet(CONSTITUENTS).iloc[:, 0]}
    assert {symbol for symbol in constituents & kinds.keys() if kinds[symbol] is not AssetKind.STOCK} == set()
    assert len(constituents & kinds.keys()) > 480
    assert sum(kind is AssetKind.DOUBTFUL for kind in kinds.values()) < 0.002 * len(kinds)
