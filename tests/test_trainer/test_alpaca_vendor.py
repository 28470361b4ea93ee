"""Alpaca's data client against the embedded exchange: pages, adjustment, feed, what may be asked, corporate actions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
import requests
from requests.adapters import BaseAdapter
from typer.testing import CliRunner

from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.market.market import MarketData
from signals.errors import BadBars, BadConfig, BrokerUnreachable, FixInput, TrademlError
from signals.market.actions import Action, ActionKind
from signals.market.dataset import load_actions, load_bars, read_manifest, read_table
from signals.market.manifest import FileRole, PriceBasis
from tests.fakes import exchange as fake
from trainer.__main__ import app
from trainer.curation.audit.findings import missing
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.alpaca import AlpacaVendor, Keys, read_keys
from trainer.curation.vendors.mapping import Mapping

KEYS = Keys("key", "secret")
SMALL = CurationConfig(min_history=30)
END = date(2024, 12, 31)


class Clock:
    """A clock that never waits and remembers for how long it was asked to."""

    def __init__(self, at: datetime) -> None:
        self.at, self.waits = at, list[float]()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return sum(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class Recording(InProcessAdapter):
    """The in-process door, with every request's query kept and the first `failures` answered by a proxy's 503."""

    def __init__(self, exchange: Exchange, failures: int = 0) -> None:
        super().__init__(exchange)
        self.queries: list[dict[str, str]] = []
        self.failures = failures

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        from execution.exchange.doors.inprocess import as_request

        self.queries.append(as_request(request).query)
        if len(self.queries) <= self.failures:
            answer = requests.Response()
            answer.status_code, answer.request, answer.url, answer._content = 503, request, str(request.url), b"away"
            return answer
        return super().send(request, **options)


def vendor(served: Exchange, adapter: BaseAdapter | None = None, at: datetime | None = None) -> AlpacaVendor:
    return AlpacaVendor(fake.URL, KEYS, Clock(at or served.now), adapter=adapter or Recording(served))


ACTIONS = (
    Action(ActionKind.SPLIT, "AAA", date(2021, 11, 23), date(2021, 11, 22), ratio=Decimal(4)),
    Action(ActionKind.SPLIT, "BBB", date(2021, 11, 23), date(2021, 11, 22), ratio=Decimal("0.1")),
    Action(ActionKind.DIVIDEND, "CCC", date(2021, 11, 24), date(2021, 11, 23), cash=Decimal("0.25")),
    Action(ActionKind.SYMBOL_CHANGE, "CCC", date(2021, 11, 29), date(2021, 11, 26), new_symbol="DDD"),
    Action(ActionKind.DELISTING, "BBB", date(2021, 12, 1), date(2021, 11, 30), cash=Decimal("48.50")),
)


def test_raw_bars_of_the_consolidated_tape_are_asked_for_as_they_traded() -> None:
    """AAA on 2021-11-22 opens at 101, trades from 99 to 104, closes at 101.5."""
    served = fake.exchange("2021-12-03 18:00")
    door = Recording(served)
    frame = vendor(served, door).bars(["BBB", "AAA"], date(2021, 11, 22), date(2021, 11, 26))
    assert len(frame) == 8  # Thanksgiving is no session
    assert frame.iloc[0].tolist() == [pd.Timestamp("2021-11-22"), "AAA", 101.0, 104.0, 99.0, 101.5, 100_000.0, "stock", ""]
    asked = door.queries[0]
    assert (asked["adjustment"], asked["feed"], asked["asof"], asked["timeframe"]) == ("raw", "sip", "-", "1Day")


@pytest.mark.parametrize(
    ("at", "last"),
    [
        ("2021-11-22 16:15", date(2021, 11, 19)),
        ("2021-11-22 16:16", date(2021, 11, 22)),
        ("2021-11-26 13:15", date(2021, 11, 24)),
        ("2021-11-26 13:16", date(2021, 11, 26)),
    ],
)
def test_a_session_is_asked_for_16_minutes_after_its_close_and_not_before(at: str, last: date) -> None:
    """Early closes too; the end of the request is never later than 16 minutes ago."""
    served = fake.exchange(at)
    door = Recording(served)
    frame = vendor(served, door).bars(["AAA"], date(2021, 11, 19), date(2021, 12, 3))
    assert frame["date"].max().date() == last
    end = datetime.fromisoformat(door.queries[0]["end"].replace(" ", "+"))
    assert end <= served.now - timedelta(minutes=16)


def test_nothing_is_asked_where_no_session_is_final() -> None:
    served = fake.exchange("2021-11-22 16:15")
    door = Recording(served)
    assert vendor(served, door).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22)).empty
    assert door.queries == []


def test_the_feed_of_one_venue_and_any_other_host_are_refused() -> None:
    with pytest.raises(BadConfig, match="'iex' are no bars of the whole market"):
        AlpacaVendor(fake.URL, KEYS, Clock(fake.new_york("2021-12-03 18:00")), feed="iex")
    with pytest.raises(BadConfig, match="neither Alpaca's data host"):
        AlpacaVendor("https://api.alpaca.markets", KEYS, Clock(fake.new_york("2021-12-03 18:00")))


def test_a_failing_answer_is_asked_for_again_and_then_given_up() -> None:
    served = fake.exchange("2021-12-03 18:00")
    door = Recording(served, failures=2)
    clock = Clock(served.now)
    found = AlpacaVendor(fake.URL, KEYS, clock, adapter=door).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))
    assert (len(found), len(door.queries), len(clock.waits)) == (1, 3, 2)
    with pytest.raises(BrokerUnreachable, match="4 requests"):
        vendor(served, Recording(served, failures=99)).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))


def test_corporate_actions_come_in_our_terms() -> None:
    served = fake.exchange("2021-12-03 18:00", actions=ACTIONS)
    found = vendor(served).actions(["AAA", "BBB", "CCC"], date(2021, 11, 19), date(2021, 12, 3))
    rows = [
        (row.kind, row.symbol, row.effective, row.ratio, row.cash, row.new_symbol)
        for row in found.astype(object).where(found.notna(), None).itertuples()
    ]
    assert rows == [
        ("split", "AAA", date(2021, 11, 23), 4.0, None, None),
        ("split", "BBB", date(2021, 11, 23), 0.1, None, None),
        ("dividend", "CCC", date(2021, 11, 24), None, 0.25, None),
        ("symbol_change", "CCC", date(2021, 11, 29), None, None, "DDD"),
        ("delisting", "BBB", date(2021, 12, 1), None, 48.5, None),
    ]


class Canned(BaseAdapter):
    """Answers every request with one body."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.request, answer.url, answer._content = 200, request, str(request.url), self.body
        return answer

    def close(self) -> None:
        """Nothing to close."""


def test_an_action_that_we_cannot_represent_is_named_for_a_person() -> None:
    body = (
        b'{"corporate_actions": {"stock_mergers": [{"acquirer_symbol": "AAA", "acquiree_symbol": "BBB", '
        b'"acquirer_rate": 1, "acquiree_rate": 2, "process_date": "2021-11-24"}], "stock_dividends": [{"symbol": '
        b'"CCC", "rate": 0.05, "ex_date": "2021-11-23", "process_date": "2021-11-24"}]}, "next_page_token": null}'
    )
    source = vendor(fake.exchange("2021-12-03 18:00"), Canned(body))
    found = source.actions(["AAA", "BBB", "CCC"], date(2021, 11, 19), date(2021, 12, 3))
    assert found[["kind", "symbol", "ratio"]].to_numpy().tolist() == [["split", "CCC", 1.05]]
    assert source.unsupported == ["stock_mergers: BBB, AAA 2021-11-24"]


class Pages(BaseAdapter):
    """Answers by the page token that is asked for; counts the requests, and fails a test that never ends."""

    def __init__(self, pages: dict[str | None, bytes]) -> None:
        super().__init__()
        self.pages, self.asked = pages, list[str | None]()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        token = parse_qs(urlsplit(str(request.url)).query, keep_blank_values=True).get("page_token", [None])[0]
        self.asked.append(token)
        assert len(self.asked) < 50, "the pages never end"
        return Canned(self.pages[token]).send(request)

    def close(self) -> None:
        """Nothing to close."""


DIVIDEND = b'{"corporate_actions": {"cash_dividends": [{"symbol": "CCC", "rate": 0.25, "ex_date": "2021-11-24"}]}, '
ONE_BAR = b'{"bars": {"AAA": [{"t": "2021-11-22T05:00:00Z", "o": 101, "h": 104, "l": 99, "c": 101.5, "v": 7}]}, '
EVENING = "2021-12-03 18:00"


def test_an_empty_page_token_ends_the_pages_and_doubles_nothing() -> None:
    door = Pages({None: DIVIDEND + b'"next_page_token": ""}', "": DIVIDEND + b'"next_page_token": null}'})
    found = vendor(fake.exchange(EVENING), door).actions(["CCC"], date(2021, 11, 19), date(2021, 12, 3))
    assert found["cash"].tolist() == [0.25]
    assert door.asked == [None]
    bars = Pages({None: ONE_BAR + b'"next_page_token": ""}'})
    assert len(vendor(fake.exchange(EVENING), bars).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))) == 1


def test_the_same_row_on_two_pages_is_one_row() -> None:
    door = Pages({None: DIVIDEND + b'"next_page_token": "b"}', "b": DIVIDEND + b'"next_page_token": null}'})
    found = vendor(fake.exchange(EVENING), door).actions(["CCC"], date(2021, 11, 19), date(2021, 12, 3))
    assert (found["cash"].tolist(), door.asked) == ([0.25], [None, "b"])


def test_a_page_token_that_was_followed_already_is_no_answer() -> None:
    door = Pages({None: ONE_BAR + b'"next_page_token": "b"}', "b": ONE_BAR + b'"next_page_token": "b"}'})
    with pytest.raises(BrokerUnreachable, match="the pages do not end: 'b' is repeated"):
        vendor(fake.exchange(EVENING), door).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))
    assert door.asked == [None, "b"] * 4, "each of the four requests followed it once"


@pytest.mark.parametrize(
    "told",
    [
        b'{"bars": null, "next_page_token": null}',
        b'{"bars": {"AAA": null}}',
        b'{"bars": {}, "next_page_token": ""}',
        b'{"bars": {"AAA": []}}',
    ],
)
def test_null_bars_are_no_bars(told: bytes) -> None:
    frame = vendor(fake.exchange(EVENING), Canned(told)).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))
    assert frame.empty
    assert list(frame)[:3] == ["date", "symbol", "open"]


@pytest.mark.parametrize(
    "told",
    [
        b'{"corporate_actions": null, "next_page_token": null}',
        b'{"corporate_actions": {"cash_dividends": null}, "next_page_token": ""}',
        b'{"corporate_actions": {"spin_offs": null}}',
    ],
)
def test_null_actions_are_no_actions(told: bytes) -> None:
    source = vendor(fake.exchange(EVENING), Canned(told))
    assert source.actions(["CCC"], date(2021, 11, 19), date(2021, 12, 3)).empty
    assert source.unsupported == []


@pytest.mark.parametrize("told", [b"", b"[]", b"null", b'"bars"', b"{}", b"<html>"])
def test_what_is_no_object_is_no_answer_and_no_traceback(told: bytes) -> None:
    with pytest.raises(BrokerUnreachable, match="no whole answer"):
        vendor(fake.exchange(EVENING), Canned(told)).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))


@pytest.mark.parametrize(
    "body",
    [b'{"bars": {"AAA": [{"t": "2021-11-22T05:00:00Z"}]}, "next_page_token": null}', b'{"bars": {"AAA": [7]}, "next_page_token": null}'],
)
def test_an_answer_that_is_no_bars_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(BadBars, match="not in the shape of bars"):
        vendor(fake.exchange("2021-12-03 18:00"), Canned(body)).bars(["AAA"], date(2021, 11, 22), date(2021, 11, 22))


def test_keys_are_read_from_a_folder_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "alpaca-key-id").write_text("PK123\n")
    with pytest.raises(BadConfig, match="no key pair"):
        read_keys(tmp_path)
    (tmp_path / "alpaca-secret-key").write_text("verysecret\n")
    keys = read_keys(tmp_path)
    assert (keys.key_id, keys.secret_key) == ("PK123", "verysecret")
    assert "verysecret" not in repr(keys) + str(keys)
    with pytest.raises(BadConfig, match="key pair"):
        read_keys(None)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated generated market of 60 names over 300 sessions: 16,800 bars, two pages."""
    folder = tmp_path_factory.mktemp("market")
    bars, actions = generate(5, 60, 300, END).write(folder / "vendor")
    ingest(DeliveryFiles(bars, actions), folder / "us", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=SMALL))
    return folder


@pytest.fixture(scope="module")
def served(market: Path) -> Exchange:
    """An exchange on that market, the evening after its last session."""
    manifest = read_manifest(market / "us")
    panel = load_bars(market / "us", manifest, manifest.first, manifest.last)
    venue = MarketData(panel, manifest.calendar, load_actions(market / "us", manifest), basis=PriceBasis.RAW)
    at = manifest.calendar.session(END).close + timedelta(hours=2)
    return Exchange(venue, ExchangeVirtualClock(at), seed=1, state=None, config=ExchangeConfig())


@pytest.fixture
def address(served: Exchange) -> Iterator[str]:
    with fake.serving(served) as url:
        yield url


def cells(folder: Path) -> pd.DataFrame:
    manifest = read_manifest(folder)
    parts = [read_table(folder, record).to_pandas() for record in manifest.of_role(FileRole.BARS)]
    return pd.concat(parts).set_index(["session", "symbol"]).sort_index()


def symbols_of(market: Path) -> list[str]:
    return sorted(set(cells(market / "us").index.get_level_values("symbol")))


def test_every_page_is_read_and_every_bar_comes_once(market: Path, served: Exchange) -> None:
    manifest = read_manifest(market / "us")
    door = Recording(served)
    found = vendor(served, door).bars(symbols_of(market), manifest.first, END)
    assert len(door.queries) == 2
    assert not found.duplicated(["symbol", "date"]).any()
    held = cells(market / "us")
    assert set(zip(found["date"].dt.date, found["symbol"], strict=True)) == set(held.index)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "alpaca-key-id").write_text("key")
    (folder / "alpaca-secret-key").write_text("secret")
    return folder


def test_a_dataset_fetched_over_loopback_curates_to_the_same_bars(market: Path, address: str, credentials: Path, tmp_path: Path) -> None:
    """trainer fetch, trainer ingest: the vendor's file and Alpaca's answers give the same prices and returns."""
    manifest = read_manifest(market / "us")
    code, said = run(
        "fetch",
        "--symbols",
        ",".join(symbols_of(market)),
        "--start",
        manifest.first,
        "--end",
        END,
        "--to",
        tmp_path / "alpaca",
        "--url",
        address,
        "--credentials",
        credentials,
    )
    assert code == 0, said
    code, said = run(
        "ingest",
        "--bars",
        tmp_path / "alpaca" / "bars.parquet",
        "--actions",
        tmp_path / "alpaca" / "actions.csv",
        "--basis",
        "raw",
        "--to",
        tmp_path / "us",
    )
    assert code == 0, said
    assert read_manifest(tmp_path / "us").vendor == "alpaca"
    mine, theirs = cells(tmp_path / "us"), cells(market / "us")
    assert mine.index.equals(theirs.index)
    for column in ("open", "high", "low", "close", "volume", "total_return"):
        pd.testing.assert_series_equal(mine[column], theirs[column], rtol=1e-6)
    assert (mine["security"] == theirs["security"]).all()


def test_a_backfill_over_loopback_fills_the_hole(market: Path, address: str, credentials: Path, tmp_path: Path) -> None:
    manifest = read_manifest(market / "us")
    week = [manifest.calendar.offset(END, -60 + i) for i in range(5)]
    frame = pd.read_parquet(market / "vendor" / "bars.parquet")
    day = pd.to_datetime(frame["date"]).dt.date
    alive = sorted(frame.loc[day < week[0], "symbol"].unique())[::3]
    frame[~(day.isin(week) & frame["symbol"].isin(alive))].to_parquet(tmp_path / "hole.parquet")
    data = tmp_path / "us"
    ingest(
        DeliveryFiles(tmp_path / "hole.parquet", market / "vendor" / "actions.parquet"),
        data,
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=SMALL),
    )
    lacking = missing(data, read_manifest(data), week[0], week[-1])
    code, said = run(
        "backfill",
        "--data",
        data,
        "--vendor",
        "alpaca",
        "--start",
        week[0],
        "--end",
        week[-1],
        "--url",
        address,
        "--credentials",
        credentials,
    )
    assert code == 0, said
    assert f"{sum(r.sessions for r in lacking)} of {sum(r.sessions for r in lacking)} missing bars filled" in said
    assert read_manifest(data).vendor == "alpaca, parquet"
    mine, theirs = cells(data), cells(market / "us")
    assert mine.index.equals(theirs.index)
    pd.testing.assert_series_equal(mine["total_return"], theirs["total_return"], rtol=1e-6)


def test_iex_and_missing_keys_are_refused_on_the_command_line(market: Path, credentials: Path) -> None:
    asked = ("backfill", "--data", market / "us", "--vendor", "alpaca")
    assert run(*asked, "--feed", "iex", "--credentials", credentials)[0] == 2
    code, said = run(*asked)
    assert code == 2
    assert "alpaca-key-id" in said


def test_the_lists_are_asked_of_the_paper_host_however_the_data_s_address_ends() -> None:
    for url in ("https://data.alpaca.markets", "https://data.alpaca.markets/"):
        AlpacaVendor(url, KEYS, Clock(datetime(2025, 6, 30, tzinfo=UTC)))
    with pytest.raises(FixInput):
        AlpacaVendor("https://data.alpaca.markets.example/", KEYS, Clock(datetime(2025, 6, 30, tzinfo=UTC)))
