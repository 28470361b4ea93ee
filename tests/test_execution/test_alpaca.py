"""The client of the broker over a real socket: what it sends, how often, and what it makes of every kind of answer."""

from __future__ import annotations

import json
import random
import socket
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.system.clock import VirtualClock
from execution.brokers import parsing, transport
from execution.brokers.alpaca import AlpacaBroker, BrokerConfig, Credentials, order_body
from execution.brokers.base import Acked, Refused, Unknown
from execution.orders import Intent, IntentKey, OrderStatus, OrderType, Side, TimeInForce
from signals.errors import BadConfig, BrokerUnreachable, UnknownBrokerState, UnknownOrder
from tests.fakes.wire import Say, Seen, say, wire

START = datetime(2024, 3, 12, 13, 0, tzinfo=UTC)
KEY = IntentKey("PA1", date(2024, 3, 12), "main", "AAPL")
INTENT = Intent(KEY, Side.BUY, Decimal(10), OrderType.MARKET, TimeInForce.OPG, Decimal("171.5"))
CREDENTIALS = Credentials("canary-key", "canary-secret")
ORDER = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "client_order_id": KEY.client_order_id,
    "symbol": "AAPL",
    "side": "buy",
    "type": "market",
    "time_in_force": "opg",
    "status": "accepted",
    "qty": "10",
    "filled_qty": "0",
    "filled_avg_price": None,
    "limit_price": None,
    "created_at": "2024-03-12T13:00:00.123456789Z",
    "submitted_at": "2024-03-12T13:00:00.123456789Z",
    "updated_at": "2024-03-12T13:00:00Z",
    "brand_new_key": {"a": 1},
}
ACCOUNT = {
    "id": "e6fe16f3",
    "account_number": "PA1",
    "status": "ACTIVE",
    "cash": "-23140.2",
    "equity": "103820.56",
    "last_equity": "103529.24",
    "buying_power": "262113.632",
    "multiplier": "2",
    "trading_blocked": False,
    "account_blocked": False,
    "trade_suspended_by_user": False,
    "shorting_enabled": True,
}


HUGE = "1E+99999999999999999999"


def broker(url: str, **options: Any) -> AlpacaBroker:
    clock = options.pop("clock", VirtualClock(START))
    return AlpacaBroker(url, CREDENTIALS, clock, random.Random(1), **options)


def refused(status: int, code: int, message: str = "no") -> Say:
    return say({"code": code, "message": message}, status)


# -- submission: exactly once, and never a guess --------------------------------------------------------------------

OUTCOMES: dict[str, tuple[Say, type]] = {
    "acknowledged": (say(ORDER), Acked),
    "504 after accept": (Say(504, b"<html>gateway</html>"), Unknown),
    "500 html": (Say(500, b"<html>oops</html>"), Unknown),
    "502": (Say(502), Unknown),
    "503 with a refusal's body": (refused(503, 40310000), Unknown),
    "reset": (Say(reset=True), Unknown),
    "truncated JSON": (Say(200, json.dumps(ORDER).encode()[:40]), Unknown),
    "cut body": (replace(say(ORDER), cut=20), Unknown),
    "empty 200": (Say(200), Unknown),
    "a list": (say([ORDER]), Unknown),
    "302 with a whole order": (say(ORDER, 302, Location="http://127.0.0.1:1/elsewhere"), Unknown),
    "deeply nested": (Say(200, b"[" * 100_000), Unknown),
    "a field is missing": (say({k: v for k, v in ORDER.items() if k != "filled_qty"}), Unknown),
    "a number is NaN": (Say(200, json.dumps({**ORDER, "qty": float("nan")}).encode()), Unknown),
    "a number beyond every exponent": (Say(200, json.dumps(ORDER).replace('"10"', HUGE).encode()), Unknown),
    "a text that is such a number": (say({**ORDER, "filled_qty": HUGE}), Unknown),
    "such a number in a key that nobody reads": (Say(200, json.dumps(ORDER)[:-2].encode() + HUGE.encode() + b"}}"), Unknown),
    "half a character": (say({**ORDER, "brand_new_key": "\ud800"}), Unknown),
    "half a character in a key": (say({**ORDER, "\udfff": 1}), Unknown),
    "a refusal with half a character": (refused(403, 40310000, "\ud800"), Unknown),
    "a refusal with a huge number": (Say(403, b'{"code":40310000,"message":"no","cost_basis":%b}' % HUGE.encode()), Unknown),
    "an unknown side": (say({**ORDER, "side": "sideways"}), Unknown),
    "429 of Alpaca's": (refused(429, 42910000), Refused),
    "429 of a proxy": (Say(429, b"slow down", {"Retry-After": "1"}), Unknown),
    "duplicate id": (refused(422, 40010001, "client_order_id must be unique"), Unknown),
    "buying power": (refused(403, 40310000, "insufficient buying power"), Refused),
    "short": (refused(422, 42210000, "asset cannot be sold short"), Refused),
    "malformed request": (refused(400, 40010000), Refused),
    "a code that we do not know": (refused(422, 42299999), Unknown),
    "a code that is a text": (say({"code": "42210000", "message": "?"}, 422), Unknown),
    "401": (say({"message": "unauthorized"}, 401), Unknown),
    "403 without a code": (say({"message": "forbidden."}, 403), Unknown),
    "422 of a proxy": (Say(422, b"<html>"), Unknown),
    "422 with a list": (say([1], 422), Unknown),
}


@pytest.mark.parametrize(("answer", "kind"), OUTCOMES.values(), ids=OUTCOMES)
def test_every_answer_to_a_post_is_classified_after_exactly_one_post(answer: Say, kind: type) -> None:
    with wire(answer) as served:
        outcome = broker(served.url).submit(INTENT)
    assert isinstance(outcome, kind), outcome
    assert [request.method for request in served.seen] == ["POST"]


def test_a_silent_socket_is_given_up_and_its_order_is_of_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.2)
    with wire(Say(silent=True)) as served:
        outcome = broker(served.url).submit(INTENT)
        assert isinstance(outcome, Unknown)
        assert outcome.reason == "no answer in time; the request may have left"
        assert served.count("POST") == 1


@pytest.mark.parametrize("answer", [replace(say(ORDER), drip=0.02), Say(drip=0.02, drip_head=True)], ids=["body", "head"])
def test_an_answer_that_drips_has_one_deadline_in_all(answer: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes long before the read time-out, the whole after ten seconds: nobody waits for that."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.4)
    with wire(answer) as served:
        outcome = broker(served.url).submit(INTENT)
        assert isinstance(outcome, Unknown) and outcome.reason == "no answer in time; the request may have left"
        assert served.count("POST") == 1
        with pytest.raises(BrokerUnreachable):
            broker(served.url, config=BrokerConfig(read_retries=0)).account()


def test_the_time_of_a_request_is_not_what_the_one_before_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a connection that was idle longer than a deadline count as late."""
    idle = [0.0]
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + idle[0]))
    with wire(say(ACCOUNT)) as served:
        client = broker(served.url)
        for _ in range(3):
            assert client.account().number == "PA1"
            idle[0] += transport.REQUEST_SECONDS + 1


def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 100_000)
    with wire(Say(200, b" " * 200_000)) as served:
        outcome = broker(served.url).submit(INTENT)
    assert isinstance(outcome, Unknown)
    assert outcome.reason == "the answer has more than 100000 bytes; the request may have left"


def test_a_refused_connection_is_of_unknown_outcome() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound and not listened on: nobody else may take it meanwhile
        assert isinstance(broker(f"http://127.0.0.1:{port}").submit(INTENT), Unknown)


def test_an_acknowledgement_of_another_order_halts() -> None:
    with wire(say({**ORDER, "client_order_id": "tm1-other"})) as served, pytest.raises(UnknownOrder, match="another order"):
        broker(served.url).submit(INTENT)
    assert served.count("POST") == 1


def test_an_unknown_status_is_kept_beside_the_brokers_word() -> None:
    with wire(say({**ORDER, "status": "levitating"})) as served:
        outcome = broker(served.url).submit(INTENT)
    assert isinstance(outcome, Acked)
    assert (outcome.order.status, outcome.order.raw_status) == (OrderStatus.UNKNOWN, "levitating")


def test_the_word_unknown_is_no_status_that_we_know() -> None:
    assert parsing.order({**ORDER, "status": "unknown"}).raw_status == "unknown"
    assert parsing.order({**ORDER, "status": "unknown"}).status is OrderStatus.UNKNOWN


def test_numbers_leave_as_strings_and_fractions_are_cut_off_never_rounded_up() -> None:
    fractional = replace(INTENT, quantity=Decimal("64.0752315259"), limit_price=Decimal("1E+2"))
    with wire(say(ORDER)) as served:
        broker(served.url).submit(fractional)
    body = json.loads(served.seen[0].body)
    assert body["qty"] == "64.075231525"
    assert body["limit_price"] == "100"
    assert not any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in body.values())
    assert order_body(replace(INTENT, quantity=Decimal("1E+3")))["qty"] == "1000"


def test_a_refusal_keeps_status_code_and_message() -> None:
    with wire(refused(403, 40310000, "insufficient qty available")) as served:
        assert broker(served.url).submit(INTENT) == Refused(403, 40310000, "insufficient qty available")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Say(204), True),
        (refused(422, 42210000), False),
        (refused(404, 40410000), False),
        (Say(500, b"<html>"), None),
        (Say(reset=True), None),
        (Say(429), None),
    ],
)
def test_a_cancel_leaves_once_and_says_what_is_proven(answer: Say, expected: bool | None) -> None:
    with wire(answer) as served:
        assert broker(served.url).cancel("abc") is expected
    assert [(r.method, r.path) for r in served.seen] == [("DELETE", "/v2/orders/abc")]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (say([], 207), True),
        (say([{"id": "a", "status": 200}, {"id": "b", "status": 422}], 207), True),
        (say([{"id": "a", "status": 500}], 207), False),
        (Say(500), False),
        (Say(reset=True), False),
        (Say(200), False),
    ],
)
def test_cancelling_everything_leaves_once_and_counts_as_taken_only_when_it_was(answer: Say, expected: bool) -> None:
    with wire(answer) as served:
        assert broker(served.url).cancel_all() is expected
    assert [(r.method, r.path) for r in served.seen] == [("DELETE", "/v2/orders")]


# -- reading: again while it may help, never an empty report for a missing one --------------------------------------


@pytest.mark.parametrize(
    "spoilt",
    [Say(500, b"<html>"), Say(504), Say(429), Say(reset=True), Say(200), Say(200, b'{"id"'), say([]), say({"id": 1})],
    ids=["500", "504", "429", "reset", "empty", "truncated", "not an object", "fields missing"],
)
def test_a_read_is_repeated_three_times_and_then_given_up(spoilt: Say) -> None:
    with wire(spoilt) as served, pytest.raises(BrokerUnreachable):
        broker(served.url).account()
    assert served.count("GET") == 4


@pytest.mark.parametrize(
    "ask",
    [
        lambda device: device.positions(),
        lambda device: device.orders(open_only=False),
        lambda device: device.activities(date(2024, 3, 11)),
        lambda device: device.assets(),
    ],
    ids=["positions", "orders", "activities", "assets"],
)
def test_a_list_that_does_not_arrive_is_never_an_empty_one(ask: Any) -> None:
    with wire(Say(503, b"<html>busy</html>")) as served, pytest.raises(BrokerUnreachable):
        ask(broker(served.url))


def test_a_read_that_succeeds_on_its_last_repeat_is_answered() -> None:
    with wire(Say(500), Say(reset=True), Say(200), say(ACCOUNT)) as served:
        account = broker(served.url).account()
    assert served.count("GET") == 4
    assert (account.cash, account.equity) == (Decimal("-23140.2"), Decimal("103820.56"))


@pytest.mark.parametrize(
    ("headers", "at_least", "at_most"),
    [
        ({"Retry-After": "7"}, 7, 7.001),
        ({"X-RateLimit-Reset": str(int(START.timestamp()) + 9)}, 9, 9.001),
        ({"Retry-After": "9999"}, 60, 60.001),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.2, 0.8),
        ({}, 0.2, 0.8),
    ],
)
def test_a_busy_broker_is_given_the_time_it_asks_for(headers: dict[str, str], at_least: float, at_most: float) -> None:
    clock = VirtualClock(START)
    with wire(Say(429, b"", headers), say(ACCOUNT)) as served:
        broker(served.url, clock=clock).account()
    assert at_least <= clock.monotonic() <= at_most


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_state_of_the_account_that_a_person_must_see(status: int) -> None:
    with wire(say({"message": "forbidden."}, status)) as served, pytest.raises(UnknownBrokerState, match="key"):
        broker(served.url).positions()
    assert served.count("GET") == 1


def test_a_refused_question_is_not_asked_again() -> None:
    with wire(refused(422, 42210000)) as served, pytest.raises(BrokerUnreachable, match="422"):
        broker(served.url).positions()
    assert served.count("GET") == 1


def test_only_the_brokers_own_404_proves_that_an_order_is_absent() -> None:
    with wire(refused(404, 40410000, "order not found")) as served:
        assert broker(served.url).order("cid") is None
        assert served.seen[0].query == {"client_order_id": "cid"}
    with wire(Say(404, b"<html>not here</html>")) as served, pytest.raises(BrokerUnreachable):
        broker(served.url).order("cid")
    with wire(say({"message": "no such position"}, 404)) as served, pytest.raises(BrokerUnreachable):
        broker(served.url).positions()


def test_a_look_up_that_answers_with_another_order_halts() -> None:
    with wire(say(ORDER)) as served, pytest.raises(UnknownOrder, match="another order"):
        broker(served.url).order("tm1-mine")


def paged(total: int, size_key: str, token_key: str) -> Any:
    """A handler that serves `total` rows in pages, each after the row whose id is the token."""

    def handler(seen: Seen) -> Say:
        first = int(seen.query[token_key]) + 1 if token_key in seen.query else 0
        last = min(total, first + int(seen.query[size_key]))
        if size_key == "limit":
            return say([{**ORDER, "id": str(n), "client_order_id": f"c{n}"} for n in range(first, last)])
        return say([activity(str(n)) for n in range(first, last)])

    return handler


def activity(identity: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "activity_type": "FILL",
        "transaction_time": "2024-03-12T14:30:00.1Z",
        "type": "fill",
        "price": "1.5",
        "qty": "2",
        "side": "sell_short",
        "symbol": "A",
        "order_id": "o",
        **changes,
    }


@pytest.mark.parametrize("total", [0, 1, 499, 500, 501, 1201])
def test_every_order_is_listed_exactly_once_whatever_the_page(total: int) -> None:
    with wire(paged(total, "limit", "after_order_id")) as served:
        found = broker(served.url).orders(open_only=False, after=START)
    assert [order.id for order in found] == [str(n) for n in range(total)]
    assert served.seen[0].query["after"] == "2024-03-12T13:00:00Z"
    assert all("after" not in request.query for request in served.seen[1:])  # the two may not be combined


@pytest.mark.parametrize("total", [0, 100, 1201])
def test_every_activity_is_listed_exactly_once_whatever_the_page(total: int) -> None:
    with wire(paged(total, "page_size", "page_token")) as served:
        found = broker(served.url, config=BrokerConfig(burst=100)).activities(date(2024, 3, 1))
    assert [item.id for item in found] == [str(n) for n in range(total)]


def test_a_page_that_repeats_an_order_is_no_report() -> None:
    page = say([{**ORDER, "id": str(n)} for n in range(500)])
    with wire(page) as served, pytest.raises(BrokerUnreachable, match="cannot be read"):
        broker(served.url).orders(open_only=True)
    assert served.seen[0].query["status"] == "open"


def test_a_symbol_held_twice_is_no_report() -> None:
    held = {"symbol": "A", "qty": "5", "side": "long", "avg_entry_price": "1.0"}
    with wire(say([held, held])) as served, pytest.raises(BrokerUnreachable, match="cannot be read"):
        broker(served.url).positions()


def test_positions_are_signed_and_sorted() -> None:
    rows = [
        {"symbol": "B", "qty": "-5", "side": "short", "avg_entry_price": "2.5", "current_price": "3"},
        {"symbol": "A", "qty": "0.5", "side": "long", "avg_entry_price": "1.0", "current_price": None},
        {"symbol": "C", "qty": "7", "side": "short", "avg_entry_price": "1"},
    ]
    with wire(say(rows)) as served:
        found = broker(served.url).positions()
    assert [(p.symbol, p.quantity) for p in found] == [("A", Decimal("0.5")), ("B", Decimal(-5)), ("C", Decimal(-7))]


def test_clock_calendar_and_assets_are_read() -> None:
    clock = {
        "timestamp": "2024-03-12T09:00:00.123456789-04:00",
        "is_open": False,
        "next_open": "2024-03-12T09:30:00-04:00",
        "next_close": "2024-03-12T16:00:00-04:00",
    }
    days = [{"date": "2024-11-29", "open": "09:30", "close": "13:00"}, {"date": "2030-01-01", "open": "09:30", "close": "16:00"}]
    assets = [
        {"symbol": "A", "status": "active", "tradable": True, "shortable": True, "easy_to_borrow": True, "fractionable": True},
        {"symbol": "B", "status": "inactive", "tradable": True, "shortable": True, "borrow_status": "hard_to_borrow"},
    ]
    with wire(say(clock), say(days), say(assets)) as served:
        client = broker(served.url)
        assert client.clock().now == datetime(2024, 3, 12, 13, 0, 0, 123456, tzinfo=UTC)
        (session,) = client.calendar(date(2024, 11, 29), date(2024, 11, 29))
        assert (session.close, session.is_early_close) == (datetime(2024, 11, 29, 18, tzinfo=UTC), True)
        found = client.assets()
    assert (found["A"].is_tradable, found["A"].is_easy_to_borrow, found["A"].is_fractionable) == (True, True, True)
    assert (found["B"].is_tradable, found["B"].is_easy_to_borrow, found["B"].is_fractionable) == (False, False, False)


# -- construction: paper only, time-outs always, no repeats of its own ------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://api.alpaca.markets",
        "http://paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets.evil.com",
        "https://evil.com/?paper-api.alpaca.markets",
        "https://user@api.alpaca.markets",
        "ftp://127.0.0.1",
        "",
    ],
)
def test_no_client_can_be_built_for_another_host(url: str) -> None:
    with pytest.raises(BadConfig):
        broker(url)


# -- pace ------------------------------------------------------------------------------------------------------------


# -- parsing -----------------------------------------------------------------------------------------------------------
