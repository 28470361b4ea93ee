"""The broker's JSON as values: exact numbers, instants, states, activities, and orders that were made by hand."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execution.brokers import parsing, transport
from execution.orders import OrderType, Side
from signals.errors import BrokerUnreachable, UnknownBrokerState, UnknownOrder
from tests.fakes.wire import Say, say, wire
from tests.test_execution.test_alpaca import ACCOUNT, KEY, ORDER, activity, broker, refused


@pytest.mark.parametrize(
    "written", [None, "", "NaN", "Infinity", "1_000", "٣", 1.5, True, [], "1e99", "0x1", " 1", Decimal("NaN"), Decimal("1E+99")]
)
def test_what_is_no_exact_number_is_not_received(written: object) -> None:
    with pytest.raises(BrokerUnreachable):
        parsing.number({"n": written}, "n")


def test_a_json_number_never_passes_through_a_float() -> None:
    with wire(Say(200, b'{"n": 0.1000000000000000055511151231257827}')) as served:
        answer = broker(served.url)._client.get("/anything")
    assert answer["n"] == Decimal("0.1000000000000000055511151231257827")


@pytest.mark.parametrize("written", ["yesterday", "2024-13-01T00:00:00Z", "2024-03-12T13:00:00", "0001-01-01T00:00:00+01:00"])
def test_what_is_no_instant_is_not_received(written: str) -> None:
    with pytest.raises(BrokerUnreachable):
        parsing.moment(written, "t")


@pytest.mark.parametrize(
    ("parse", "row", "error"),
    [
        (parsing.account, {**ACCOUNT, "status": "DREAMING"}, UnknownBrokerState),
        (parsing.account, {**ACCOUNT, "trading_blocked": "no"}, BrokerUnreachable),
        (parsing.position, {"symbol": "A", "qty": "1", "side": "diagonal", "avg_entry_price": "1"}, UnknownBrokerState),
        (parsing.order, {**ORDER, "type": "wish"}, UnknownBrokerState),
        (parsing.order, {**ORDER, "side": "up"}, UnknownBrokerState),
        (parsing.order, {**ORDER, "symbol": ""}, BrokerUnreachable),
        (parsing.session, {"date": "2024-11-29", "open": "half past", "close": "13:00"}, BrokerUnreachable),
        (parsing.session, {"date": "soon", "open": "09:30", "close": "13:00"}, BrokerUnreachable),
    ],
)
def test_an_unknown_word_halts_and_a_malformed_field_is_not_received(parse: Any, row: Any, error: type) -> None:
    with pytest.raises(error):
        parse(row)


def test_an_account_that_is_blocked_in_any_way_is_blocked() -> None:
    for key in ("trading_blocked", "account_blocked", "trade_suspended_by_user"):
        assert parsing.account({**ACCOUNT, key: True}).is_blocked
    assert not parsing.account(ACCOUNT).is_blocked


def test_an_order_without_quantity_or_later_times_is_still_read() -> None:
    row = {**ORDER, "qty": None, "submitted_at": None, "updated_at": None}
    order = parsing.order(row)
    assert order.quantity == 0
    assert order.submitted_at == order.updated_at == datetime(2024, 3, 12, 13, 0, 0, 123456, tzinfo=UTC)


def test_activities_are_read_by_their_kind() -> None:
    fill = parsing.activity(activity("20240312:1"))
    assert (fill.day, fill.quantity, fill.price, fill.side) == (date(2024, 3, 12), Decimal(2), Decimal("1.5"), "sell_short")
    split = parsing.activity({"id": "x", "activity_type": "SPLIT", "date": "2024-03-12", "symbol": "A", "qty": "-5"})
    assert (split.day, split.quantity, split.net_amount, split.at) == (date(2024, 3, 12), Decimal(-5), Decimal(0), None)


def test_an_evening_fill_belongs_to_its_day_in_new_york() -> None:
    late = parsing.activity(activity("1", transaction_time="2024-03-13T01:00:00Z"))
    assert late.day == date(2024, 3, 12)


FIXTURES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "alpaca_fixtures"


@pytest.mark.parametrize(
    ("name", "parse", "expected"),
    [
        ("account_routes__test_get_account", lambda row: parsing.account(row).cash, Decimal("-23140.2")),
        ("order_routes__test_market_order", lambda row: parsing.order(row).quantity, Decimal(1)),
        ("order_routes__test_limit_order", lambda row: parsing.order(row).type, OrderType.LIMIT),
        ("position_routes__test_get_all_positions", lambda row: parsing.position(row).quantity, Decimal(5)),
    ],
)
def test_what_alpacas_own_client_is_tested_with_is_read(name: str, parse: Any, expected: object) -> None:
    path = FIXTURES / f"py__test_{name}.json"
    if not path.is_file():
        pytest.skip(f"{path} absent")
    content = json.loads(path.read_text(), parse_float=Decimal)
    assert parse(content[0] if isinstance(content, list) else content) == expected


def test_an_order_is_found_by_the_brokers_own_id_and_no_other_is_taken_for_it() -> None:
    with wire(say(ORDER), refused(404, 40410000), say({**ORDER, "id": "another"})) as served:
        client = broker(served.url)
        found = client.order_of_id(ORDER["id"])
        assert found is not None and found.client_order_id == KEY.client_order_id
        assert client.order_of_id("x/../y?z") is None
        with pytest.raises(UnknownOrder, match="another order"):
            client.order_of_id(ORDER["id"])
    assert [seen.path for seen in served.seen] == [f"/v2/orders/{ORDER['id']}", "/v2/orders/x%2F..%2Fy%3Fz", f"/v2/orders/{ORDER['id']}"]


LEG = {
    **ORDER,
    "id": "leg-1",
    "client_order_id": "leg-1",
    "symbol": "AAPL241213C00250000",
    "order_class": "mleg",
    "type": "",
    "asset_class": "us_option",
    "legs": None,
    "position_intent": "buy_to_open",
    "time_in_force": "day",
}


BY_HAND = {
    **ORDER,
    "client_order_id": "by-hand",
    "symbol": "",
    "side": "",
    "order_class": "mleg",
    "asset_class": "",
    "type": "limit",
    "limit_price": "-0.35",
    "time_in_force": "day",
}


@pytest.mark.parametrize(
    ("row", "symbol", "side"),
    [
        (LEG, "AAPL241213C00250000", Side.BUY),
        (
            {**BY_HAND, "legs": [{**LEG, "side": "sell"}, {**LEG, "symbol": "AAPL241213C00260000"}]},
            "AAPL241213C00250000 + AAPL241213C00260000",
            Side.SELL,
        ),
        ({**BY_HAND, "legs": None}, "mleg", Side.BUY),
        ({**BY_HAND, "symbol": None, "side": None, "legs": [], "filled_qty": None}, "mleg", Side.BUY),
        ({**ORDER, "symbol": "BTC/USD", "asset_class": "crypto", "qty": "0.00012"}, "BTC/USD", Side.BUY),
        ({**ORDER, "symbol": "AAPL241213C00250000", "asset_class": "us_option"}, "AAPL241213C00250000", Side.BUY),
    ],
    ids=["a leg", "nested", "not nested", "nulls", "crypto", "an option"],
)
def test_an_order_made_by_hand_in_options_or_coins_is_read_like_any_other(row: dict[str, Any], symbol: str, side: Side) -> None:
    with wire(say([row])) as served:
        (found,) = broker(served.url).orders(open_only=False)
    assert (found.symbol, found.side, found.filled_quantity) == (symbol, side, Decimal(0))


@pytest.mark.parametrize("legs", [3, ["x"], [{}], [{"symbol": "A"}]])
def test_legs_that_are_none_make_the_list_unreadable(legs: object) -> None:
    with pytest.raises(BrokerUnreachable):
        parsing.order({**BY_HAND, "legs": legs})


def test_an_order_of_ours_has_a_symbol_and_a_type_or_was_not_received() -> None:
    for lack in ("symbol", "side", "type"):
        with pytest.raises(BrokerUnreachable):
            parsing.order({**ORDER, lack: ""})


def test_a_position_in_options_or_coins_is_read_like_any_other() -> None:
    row = {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "0.5", "side": "long", "avg_entry_price": "60000.5"}
    assert parsing.position({**row, "current_price": None}).quantity == Decimal("0.5")
    option = {**row, "symbol": "AAPL241213C00250000", "asset_class": "us_option", "qty": "-2", "side": "short"}
    assert parsing.position(option).quantity == -2


def test_when_no_time_is_left_nothing_more_is_read_and_a_reader_may_be_closed_twice() -> None:
    deadline = transport.Deadline()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"late")
        reader = transport._TimedReader(ours, deadline)
        assert reader.readinto(bytearray(1)) == 1
        deadline.until = time.monotonic() - 1
        with pytest.raises(TimeoutError, match="not whole after"):
            reader.readinto(bytearray(1))
        reader.close()
        reader.close()
