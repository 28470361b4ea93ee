"""Asking Alpaca for bars: who may be asked, what is asked again, and what is no answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from execution.brokers.listings import AlpacaListings
from execution.brokers.market_data import AlpacaData, Keys, _Bars, read_keys
from execution.brokers.rate_limit import TokenBucket
from execution.brokers.reported import ReportedAction, ReportedAsset, ReportedBar
from execution.brokers.retrying import LONGEST_WAIT_SECONDS, PATIENCE, REPEATS, tame
from execution.brokers.transport import GuardedTransport
from signals.errors import BadBars, BadConfig, BrokerUnreachable, InvariantBroken
from tests.fakes.bundles import weekdays

DAY = date(2025, 6, 2)
BAR = {"t": "2025-06-02T04:00:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 100}


@dataclass
class Standing:
    """A clock in the evening of the session; it does not wait."""

    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2025, 6, 2, 22, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return sum(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@dataclass
class Answers(BaseAdapter):
    """Gives the answers of a list, the last one for ever: a status with a document, or a fault of the line."""

    answers: Sequence[tuple[int, object] | Exception]
    asked: int = 0
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        self.query = request.url or ""
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code, response.request, response.url = answer[0], request, request.url or ""
        response._content = json.dumps(answer[1]).encode()
        response.headers.update(self.headers if answer[0] != 200 else {})
        return response

    def close(self) -> None:
        return


def data(*answers: tuple[int, object] | Exception) -> tuple[AlpacaData, Answers, Standing]:
    adapter, clock = Answers(answers), Standing()
    return AlpacaData("http://127.0.0.1:9", Keys("k", "s"), clock, adapter=adapter), adapter, clock


def told(*bars: object) -> tuple[int, object]:
    return 200, {"bars": {"AAA": list(bars)}, "next_page_token": None}


def ask(source: AlpacaData) -> list[ReportedBar]:
    return source.bars(["AAA"], DAY, DAY, weekdays(date(2025, 5, 1), 60))


def test_a_bar_comes_as_it_was_told() -> None:
    source, _, _ = data(told(BAR))
    assert ask(source) == [ReportedBar(DAY, "AAA", 1.0, 2.0, 0.5, 1.5, 100.0)]


@pytest.mark.parametrize("passing", [(503, {}), (429, {}), requests.ConnectionError("gone"), requests.Timeout("slow")])
def test_what_may_pass_is_asked_again_after_a_longer_wait_each_time(passing: tuple[int, object] | Exception) -> None:
    source, adapter, clock = data(passing, passing, told(BAR))
    assert len(ask(source)) == 1 and adapter.asked == 3
    assert len(clock.waits) == 2 and clock.waits[1] > clock.waits[0] > 0
    source, adapter, _ = data(passing)
    with pytest.raises(BrokerUnreachable, match=f"no whole answer after {REPEATS + 1} requests"):
        ask(source)
    assert adapter.asked == REPEATS + 1


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    source, adapter, _ = data((status, {"message": "no"}))
    with pytest.raises(BadBars, match=f"refused with {status}"):
        ask(source)
    assert adapter.asked == 1


@pytest.mark.parametrize("lack", ["t", "o", "v"])
def test_a_row_that_is_no_bar_makes_the_answer_none(lack: str) -> None:
    words = ("soon", None, True, "NaN", "Infinity", "1E+99999999999999999999", [])
    for bar in ({k: v for k, v in BAR.items() if k != lack}, *({**BAR, lack: word} for word in words)):
        source, _, _ = data(told(BAR, bar))
        with pytest.raises(BadBars, match="not in the shape of bars"):
            ask(source)


def test_a_session_that_is_too_young_and_no_symbol_at_all_are_not_asked_for() -> None:
    source, adapter, _ = data(told(BAR))
    calendar = weekdays(date(2025, 5, 1), 60)
    tomorrow = calendar.next(DAY)
    assert source.bars(["AAA"], tomorrow, tomorrow, calendar) == source.bars([], DAY, DAY, calendar) == []
    assert adapter.asked == 0


def test_actions_that_the_books_can_hold_come_with_their_figures_and_the_others_by_name() -> None:
    """2 for 1, a tenth in shares, 0.25 USD, a new name, 12.50 USD for each share, nothing for a share; a spin-off."""
    families = {
        "forward_splits": [{"symbol": "AAA", "ex_date": "2025-06-03", "new_rate": 2, "old_rate": 1}],
        "stock_dividends": [{"symbol": "BBB", "ex_date": "2025-06-03", "rate": 0.1}],
        "cash_dividends": [{"symbol": "CCC", "ex_date": "2025-06-03", "rate": 0.25}],
        "name_changes": [{"old_symbol": "DDD", "new_symbol": "DDX", "process_date": "2025-06-03"}],
        "cash_mergers": [{"acquiree_symbol": "EEE", "effective_date": "2025-06-03", "rate": 12.5}],
        "worthless_removals": [{"symbol": "FFF", "process_date": "2025-06-03"}],
        "spin_offs": [{"source_symbol": "GGG", "new_symbol": "HHH", "process_date": "2025-06-04"}],
    }
    source, _, _ = data((200, {"corporate_actions": families, "next_page_token": None}))
    found, untold = source.actions(["AAA"], DAY, date(2025, 6, 4))
    day = date(2025, 6, 3)
    assert sorted(found) == sorted(
        [
            ReportedAction("split", "AAA", day, ratio=2.0),
            ReportedAction("split", "BBB", day, ratio=1.1),
            ReportedAction("dividend", "CCC", day, cash=0.25),
            ReportedAction("symbol_change", "DDD", day, new_symbol="DDX"),
            ReportedAction("delisting", "EEE", day, cash=12.5),
            ReportedAction("delisting", "FFF", day, cash=0.0),
        ]
    )
    assert untold == ["spin_offs: HHH, GGG 2025-06-04"]
    spoilt = {"forward_splits": [{"symbol": "AAA", "ex_date": "2025-06-03", "new_rate": 2, "old_rate": 0}]}
    source, _, _ = data((200, {"corporate_actions": spoilt, "next_page_token": None}))
    with pytest.raises(BadBars, match="not in the shape of corporate actions"):
        source.actions(["AAA"], DAY, date(2025, 6, 4))


@pytest.mark.parametrize(
    "families",
    [
        {"name_changes": [{"old_symbol": 7, "new_symbol": "DDX", "process_date": "2025-06-03"}]},  # no text
        {"name_changes": ["DDD to DDX"]},  # no object
    ],
)
def test_an_action_of_another_shape_is_refused(families: dict[str, object]) -> None:
    source, _, _ = data((200, {"corporate_actions": families, "next_page_token": None}))
    with pytest.raises(BadBars, match="not in the shape of corporate actions"):
        source.actions(["AAA"], DAY, date(2025, 6, 4))


def test_one_venue_s_bars_and_other_hosts_are_refused() -> None:
    with pytest.raises(BadConfig, match="no bars of the whole market"):
        AlpacaData("http://127.0.0.1:9", Keys("k", "s"), Standing(), feed="iex")
    for url in ("https://data.alpaca.markets.example", "http://data.alpaca.markets", "https://paper-api.example"):
        with pytest.raises(BadConfig, match="neither Alpaca's data host nor this machine"):
            AlpacaData(url, Keys("k", "s"), Standing())


def test_keys_come_from_two_files_and_are_never_shown(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="need a key pair"):
        read_keys(None)
    (tmp_path / "alpaca-key-id").write_text("an-id\n")
    with pytest.raises(BadConfig, match="no key pair"):
        read_keys(tmp_path)
    (tmp_path / "alpaca-secret-key").write_text("a-secret\n")
    keys = read_keys(tmp_path)
    assert (keys.key_id, keys.secret_key) == ("an-id", "a-secret") and "secret" not in repr(keys).replace("Keys", "")


def test_a_close_is_asked_in_shares_of_now_and_a_name_without_one_is_absent() -> None:
    """What is no positive number is no close."""
    bars = {"AAA": [BAR], "BBB": [{**BAR, "c": 0.0}], "CCC": []}
    source, adapter, _ = data((200, {"bars": bars, "next_page_token": None}))
    assert source.closes(["AAA", "BBB", "CCC", "DDD"], DAY, weekdays(date(2025, 5, 1), 60)) == {"AAA": Decimal("1.5")}
    assert "adjustment=split" in adapter.query and "feed=sip" in adapter.query


def test_the_newest_trades_are_asked_for_as_a_free_key_may_see_them() -> None:
    today, before = {"t": "2025-06-02T13:00:00.123456789Z"}, {"t": "2025-06-02T03:59:59Z"}  # 23:59 of the day before
    trades = {"AAA": {"p": 12.34, **today}, "BBB": {"p": 0, **today}, "CCC": None, "DDD": {"p": 12.34, **before}}
    source, adapter, _ = data((200, {"trades": trades}))
    assert source.latest(["AAA", "BBB", "CCC", "DDD", "EEE"]) == {"AAA": Decimal("12.34")}
    assert "feed=delayed_sip" in adapter.query
    assert source.latest([]) == {} and adapter.asked == 1


@pytest.mark.parametrize("trade", [{}, {"p": 1.0}, {"t": BAR["t"]}, {"t": BAR["t"], "p": None}, {"t": "soon", "p": 1.0}])
def test_a_row_that_is_no_trade_makes_the_answer_none(trade: object) -> None:
    source, _, _ = data((200, {"trades": {"AAA": trade}}))
    with pytest.raises(BadBars, match="not in the shape of trades"):
        source.latest(["AAA"])


def test_a_thousand_names_take_ten_requests() -> None:
    """Half of what may leave at once, and a fraction of what may leave in a minute."""
    source, adapter, clock = data((200, {"bars": {}, "next_page_token": None}))
    source.closes([f"N{number}" for number in range(1000)], DAY, weekdays(date(2025, 5, 1), 60))
    assert adapter.asked == 10 and clock.waits == []


# -- an answer that is no page ----------------------------------------------------------------------------------------


def questions(source: AlpacaData) -> dict[str, Callable[[], object]]:
    return {
        "bars": lambda: ask(source),
        "closes": lambda: source.closes(["AAA"], DAY, weekdays(date(2025, 5, 1), 60)),
        "trades": lambda: source.latest(["AAA"]),
        "corporate_actions": lambda: source.actions(["AAA"], DAY, DAY),
    }


@pytest.mark.parametrize("question", ["bars", "closes", "trades", "corporate_actions"])
@pytest.mark.parametrize("told", [[], 7, "soon", None, True, {}, [{"bars": {}}], {"news": []}, {"quotes": {}}], ids=repr)
def test_an_answer_that_is_no_page_is_asked_for_again_and_then_refused(question: str, told: object) -> None:
    """Never taken for a market without bars, and never an error of Python."""
    source, adapter, _ = data((200, told))
    with pytest.raises(BrokerUnreachable, match=r"after 4 requests \(.*(no JSON object|has no)"):
        questions(source)[question]()
    assert adapter.asked == REPEATS + 1


@pytest.mark.parametrize("question", ["bars", "closes", "trades", "corporate_actions"])
@pytest.mark.parametrize("part", [[], [BAR], 7, "soon", True, {"AAA": 7}, {"AAA": "soon"}, {"AAA": [], "BBB": True}], ids=repr)
def test_a_page_whose_part_holds_no_rows_is_no_answer(question: str, part: object) -> None:
    """The second page only is misshapen; what came on the first is not kept for an answer."""
    name = "bars" if question == "closes" else question
    rows: object = {} if question == "trades" else []
    first, second = (200, {name: {"AAA": rows}, "next_page_token": "b"}), (200, {name: part, "next_page_token": None})
    source, adapter, _ = data(*[first, second] * (REPEATS + 1))
    with pytest.raises(BrokerUnreachable, match=f"{name} (is no JSON object|holds something else than rows)"):
        questions(source)[question]()
    assert adapter.asked == 2 * (REPEATS + 1)


def test_pages_that_do_not_end_are_no_answer() -> None:
    again = {"bars": {"AAA": [BAR]}, "next_page_token": "b"}
    source, adapter, _ = data((200, again))
    with pytest.raises(BrokerUnreachable, match="the pages do not end: 'b' is repeated"):
        ask(source)
    assert adapter.asked == 2 * (REPEATS + 1)


def test_a_client_whose_repeats_cannot_be_switched_off_is_not_used() -> None:
    """Another version of alpaca-py keeps its session elsewhere: it would wait, and repeat, without a limit of ours."""

    client = _Bars("k", "s", raw_data=True, url_override="http://127.0.0.1:9")
    del client._session
    with pytest.raises(InvariantBroken, match="cannot be held to time-outs"):
        tame(client, GuardedTransport(TokenBucket(180, 20, Standing()), Answers([])))


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": str(int(Standing().now().timestamp()) + 40)}, 40.0),
        ({"Retry-After": "86400"}, LONGEST_WAIT_SECONDS),
        ({"Retry-After": "Tue, 02 Jun 2025 22:01:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_who_has_patience_waits_as_long_as_a_429_asks_for_and_no_longer_than_a_minute_and_a_half(
    headers: Mapping[str, str], waited: float
) -> None:
    """A date, or nothing at all, asks for no number of seconds: then it waits as after any failure."""
    adapter, clock = Answers([*[(429, {})] * 5, told(BAR)], headers=headers), Standing()
    source = AlpacaData("http://127.0.0.1:9", Keys("k", "s"), clock, adapter=adapter, patience=PATIENCE)
    assert len(ask(source)) == 1 and adapter.asked == 6
    assert all(wait >= waited and wait <= LONGEST_WAIT_SECONDS for wait in clock.waits) and len(clock.waits) == 5


def test_patience_ends() -> None:
    adapter = Answers([(429, {})])
    source = AlpacaData("http://127.0.0.1:9", Keys("k", "s"), Standing(), adapter=adapter, patience=2)
    with pytest.raises(BrokerUnreachable, match=f"after {REPEATS + 3} requests"):
        ask(source)


def test_monthly_bars_are_asked_for_from_the_first_of_the_month() -> None:
    source, adapter, _ = data(told({**BAR, "t": "2025-06-01T04:00:00Z"}))
    found = source.months(["AAA"], DAY, DAY, weekdays(date(2025, 5, 1), 60))
    assert [row.day for row in found] == [date(2025, 6, 1)]
    assert "timeframe=1Month" in adapter.query and "start=2025-06-01" in adapter.query


def test_every_change_of_a_symbol_is_asked_for_without_naming_one() -> None:
    change = {"old_symbol": "FB", "new_symbol": "META", "process_date": "2022-06-09"}
    source, adapter, _ = data((200, {"corporate_actions": {"name_changes": [change, change]}, "next_page_token": None}))
    assert source.name_changes(date(2022, 1, 1), DAY) == [ReportedAction("symbol_change", "FB", date(2022, 6, 9), new_symbol="META")]
    assert "types=name_change" in adapter.query and "symbols=" not in adapter.query


def test_the_list_of_assets_has_active_and_inactive_ones_and_an_answer_without_a_symbol_is_none() -> None:
    active = {"symbol": "AAA", "name": "Triple A Corp. Common Stock", "exchange": "NYSE", "status": "active"}
    adapter = Answers([(200, [active]), (503, {}), (200, [{**active, "symbol": "BBB", "name": None, "status": "inactive"}])])
    found = AlpacaListings("http://127.0.0.1:9", Keys("k", "s"), Standing(), adapter=adapter).assets()
    assert found == (ReportedAsset("AAA", "Triple A Corp. Common Stock", "NYSE", True), ReportedAsset("BBB", "", "NYSE", False))
    with pytest.raises(BrokerUnreachable):
        AlpacaListings("http://127.0.0.1:9", Keys("k", "s"), Standing(), adapter=Answers([(200, [{"name": "x"}])])).assets()
    with pytest.raises(BadConfig, match="nowhere else"):
        AlpacaListings("https://api.alpaca.markets", Keys("k", "s"), Standing())
