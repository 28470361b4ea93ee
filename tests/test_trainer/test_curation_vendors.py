"""Vendors' files: any order, any naming, and one clear error for what cannot be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from signals.config import parse
from signals.errors import BadBars, BadConfig
from signals.market.actions import Action, ActionKind
from signals.market.sessions import xnys
from trainer.curation.vendors.actions import read_actions
from trainer.curation.vendors.bars import read_bars
from trainer.curation.vendors.mapping import ActionColumns, BarColumns, Mapping, UniverseColumns, read_mapping
from trainer.curation.vendors.universe import read_universe

CALENDAR = xnys(date(2000, 1, 1), date(2021, 12, 31))
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CSV = "date,symbol,open,high,low,close,volume\n2020-01-02,A,1,2,0.5,1.5,100\n2020-01-03,NA,2,3,1.5,2.5,\n"


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


def plain() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(CSV), keep_default_na=False, na_values={"volume": [""]})


def test_csv_and_parquet_of_the_same_bars_are_the_same_frame() -> None:
    """The symbol NA is a symbol; an empty volume is a gap."""
    text = read_bars(CSV.encode(), BarColumns(), where="b.csv")
    binary = read_bars(parquet(plain()), BarColumns(), where="b.parquet")
    pd.testing.assert_frame_equal(text, binary)
    assert text.symbol.tolist() == ["A", "NA"]
    assert text.volume.isna().tolist() == [False, True]
    assert text.kind.tolist() == ["stock", "stock"]


def test_columns_are_found_by_the_mapping_and_in_any_case() -> None:
    renamed = CSV.replace("date,symbol,open,high,low,close,volume", "Date,Ticker,OPEN,High,low,Close,Volume,")
    mapping = read_mapping(CONFIGS / "mappings" / "title_case.yml").bars
    with pytest.raises(BadBars, match="Adj Close"):
        read_bars(renamed.encode(), mapping, where="b.csv")
    frame = read_bars(renamed.encode(), BarColumns(columns={"symbol": "Ticker"}), where="b.csv")
    assert frame.symbol.tolist() == ["A", "NA"]


@pytest.mark.parametrize("name", sorted(path.name for path in (CONFIGS / "mappings").glob("*.yml")))
def test_every_shipped_mapping_is_valid(name: str) -> None:
    assert read_mapping(CONFIGS / "mappings" / name) != Mapping()


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([20200102, 20200103], date(2020, 1, 2)),
        (pd.to_datetime(["2020-01-02 05:00", "2020-01-03 05:00"]).tz_localize("UTC"), date(2020, 1, 2)),
        (pd.to_datetime(["2020-01-03 01:00", "2020-01-03 05:00"]).tz_localize("UTC"), date(2020, 1, 2)),
        ([date(2020, 1, 2), date(2020, 1, 3)], date(2020, 1, 2)),
        (["2020-01-02T00:00:00", "2020-01-03T00:00:00"], date(2020, 1, 2)),
    ],
)
def test_dates_of_every_usual_form_are_new_york_dates(values, first: date) -> None:
    frame = plain().assign(date=values)
    assert read_bars(parquet(frame), BarColumns(), where="b.parquet").date[0].date() == first


def test_a_stated_date_format_is_used() -> None:
    text = CSV.replace("2020-01-02", "02/01/2020").replace("2020-01-03", "03/01/2020")
    frame = read_bars(text.encode(), BarColumns(date_format="%d/%m/%Y"), where="b.csv")
    assert [day.date() for day in frame.date] == [date(2020, 1, 2), date(2020, 1, 3)]


def _truncated() -> bytes:
    return parquet(plain())[:-20]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.parquet", b"", "the file is empty"),
        ("b.csv", b"", "the file is empty"),
        ("b.csv", b"date,symbol,open,high,low,close,volume\n", "no rows"),
        ("b.parquet", _truncated, "not a readable Parquet file"),
        ("b.parquet", b"PK\x03\x04 not parquet at all", "not a readable Parquet file"),
        ("b.csv", b"\xff\xfe\x00ba", "not a readable CSV file"),
        ("b.csv", b"\xff\xfe\x00bad", "missing columns: date, symbol"),
        ("b.xlsx", b"x", "neither .parquet nor .csv nor .json"),
        ("b.csv", CSV.replace("close", "last").replace("volume", "size"), r"missing columns: close, volume.*has date"),
        ("b.csv", CSV.replace("2020-01-03", "soon"), r"unreadable date 'soon'.*row 2"),
        ("b.csv", CSV.replace("2020-01-03", ""), r"unreadable date.*row 2"),
        ("b.csv", CSV.replace("2.5", "two"), r"close: 'two' is not a number.*row 2"),
        ("b.csv", CSV.replace("NA", " "), r"a row has no symbol.*row 2"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(name: str, content: bytes | str | Callable[[], bytes], said: str) -> None:
    payload = content.encode() if isinstance(content, str) else content() if callable(content) else content
    with pytest.raises(BadBars, match=said):
        read_bars(payload, BarColumns(), where=name)


def test_a_mapping_of_a_column_that_we_do_not_have_is_refused() -> None:
    with pytest.raises(BadBars, match="tickr"):
        read_bars(CSV.encode(), BarColumns(columns={"tickr": "symbol"}), where="b.csv")
    with pytest.raises(BadConfig, match="barz"):
        parse({"barz": {}}, Mapping, where="m.yml")


ACTIONS = """kind,symbol,effective,known_at,ratio,cash,new_symbol
split,A,2020-08-31,2020-07-30,4,,
dividend,A,2020-08-07,,,0.82,
symbol_change,OLD,2020-08-08,,,,NEW
delisting,B,2020-09-01,,,0,
"""


def test_actions_are_read_and_dated() -> None:
    """No known_at: the session before. An ex-date on a Saturday moves to Monday."""
    found = read_actions(ACTIONS.encode(), ActionColumns(), CALENDAR, where="a.csv")
    assert found == (
        Action(ActionKind.DIVIDEND, "A", date(2020, 8, 7), date(2020, 8, 6), cash=Decimal("0.82")),
        Action(ActionKind.SYMBOL_CHANGE, "OLD", date(2020, 8, 10), date(2020, 8, 7), new_symbol="NEW"),
        Action(ActionKind.SPLIT, "A", date(2020, 8, 31), date(2020, 7, 30), ratio=Decimal(4)),
        Action(ActionKind.DELISTING, "B", date(2020, 9, 1), date(2020, 8, 31), cash=Decimal(0)),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2020-07-30,4", "2020-07-30,", "split lacks its figure"),
        ("0.82", "-0.82", "dividend lacks its figure"),
        (",NEW", ",", "symbol_change lacks its figure"),
        ("delisting", "merger", "unknown kind of action 'merger'"),
        ("kind,", "what,", "missing column: kind"),
        ("2020-07-30", "long ago", r"unreadable date 'long ago'.*known_at"),
    ],
)
def test_an_action_without_its_figure_or_of_an_unknown_kind_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(BadBars, match=said):
        read_actions(ACTIONS.replace(old, new).encode(), ActionColumns(), CALENDAR, where="a.csv")


def test_factors_become_the_actions_of_the_session_after_their_date() -> None:
    """Real rows: 7:1 effective 2014-06-09; 455.61 (1 - .994994/.996788) = $0.82 before the 4:1 of 2020-08-31."""
    table = """symbol,date,price_factor,split_factor,reference_price
AAPL,2014-06-06,0.901182,0.035714,645.57
AAPL,2020-08-06,0.994994,0.250000,455.61
AAPL,2020-08-28,0.996788,0.250000,499.23
AAPL,2050-12-31,0.996788,1.000000,0
"""
    mapping = read_mapping(CONFIGS / "mappings" / "factors.yml").actions
    found = read_actions(table.encode(), mapping, CALENDAR, where="f.csv")
    assert [(a.kind, a.effective, a.ratio) for a in found if a.kind is ActionKind.SPLIT] == [
        (ActionKind.SPLIT, date(2014, 6, 9), Decimal(7)),
        (ActionKind.SPLIT, date(2020, 8, 31), Decimal(4)),
    ]
    assert [(a.effective, a.cash) for a in found if a.effective == date(2020, 8, 7)] == [(date(2020, 8, 7), Decimal("0.82"))]


def test_membership_intervals_are_half_open() -> None:
    table = "symbol,start_date,end_date\nB,2020-01-02,\nA,2020-01-02,2020-02-03\n"
    columns = {"start": "start_date", "end": "end_date"}
    found = read_universe(table.encode(), UniverseColumns(columns=columns), where="u.csv").to_pylist()
    assert found == [
        {"symbol": "A", "start": date(2020, 1, 2), "end": date(2020, 2, 3)},
        {"symbol": "B", "start": date(2020, 1, 2), "end": None},
    ]
    inclusive = UniverseColumns(columns=columns, is_end_inclusive=True)
    assert read_universe(table.encode(), inclusive, where="u.csv").to_pylist()[0]["end"] == date(2020, 2, 4)
