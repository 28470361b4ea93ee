"""Our client on the embedded exchange, in process: both must mean the same by every call."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from appliance.system.clock import VirtualClock
from execution.brokers.alpaca import AlpacaBroker, Credentials
from execution.brokers.base import Acked, Refused, Unknown
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.protocol.faults import Fault
from execution.orders import Fill, Intent, IntentKey, OrderStatus, OrderType, Side, TimeInForce
from execution.reconcile import fill_of
from signals.errors import UnknownBrokerState, UnknownOrder
from signals.market.actions import Action, ActionKind
from tests.fakes import exchange as small

D = date(2021, 11, 22)


def client(served: Exchange) -> AlpacaBroker:
    clock = VirtualClock(served.clock.now(), lambda now: served.clock.move(now))  # type: ignore[attr-defined]
    return AlpacaBroker(small.URL, Credentials("key", "secret"), clock, random.Random(0), adapter=InProcessAdapter(served))


def intent(broker: AlpacaBroker, symbol: str, side: Side, quantity: str, tif: TimeInForce, attempt: int = 0) -> Intent:
    key = IntentKey(broker.account().number, D, "main", symbol, 0, attempt)
    return Intent(key, side, Decimal(quantity), OrderType.MARKET, tif, Decimal(100))


def at(served: Exchange, text: str) -> None:
    served.clock.move(small.new_york(text))  # type: ignore[attr-defined]


def test_a_session_is_understood_alike_on_both_sides() -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    before = broker.account()
    assert (before.status, before.cash, before.multiplier, before.is_blocked) == ("ACTIVE", Decimal(1_000_000), 2, False)
    assert broker.positions() == ()
    assert set(broker.assets()) == {"AAA", "BBB", "CCC"}
    buy = intent(broker, "AAA", Side.BUY, "10", TimeInForce.OPG)
    short = intent(broker, "BBB", Side.SELL, "4", TimeInForce.OPG)
    for order in (buy, short):
        outcome = broker.submit(order)
        assert isinstance(outcome, Acked)
        assert outcome.order.quantity == order.quantity
        assert outcome.order.time_in_force is TimeInForce.OPG
    at(served, "2021-11-22 09:45")
    opened = {"AAA": Decimal(101), "BBB": Decimal(51)}
    assert {p.symbol: p.quantity for p in broker.positions()} == {"AAA": Decimal(10), "BBB": Decimal(-4)}
    fills = [fill_of(activity) for activity in broker.activities(D - timedelta(days=1))]
    assert {(f.symbol, f.side, f.quantity, f.price) for f in fills} == {
        ("AAA", Side.BUY, Decimal(10), opened["AAA"]),
        ("BBB", Side.SELL, Decimal(4), opened["BBB"]),
    }
    assert broker.account().cash == before.cash + sum((fill.cash for fill in fills), Decimal(0))
    assert isinstance(fills[0], Fill)
    found = broker.order(buy.key.client_order_id)
    assert found is not None
    assert (found.status, found.filled_quantity) == (OrderStatus.FILLED, Decimal(10))
    assert [o.client_order_id for o in broker.orders(open_only=False, after=small.new_york("2021-11-22 00:00"))] == [
        buy.key.client_order_id,
        short.key.client_order_id,
    ]
    assert broker.orders(open_only=True) == ()


def test_an_id_is_used_once_for_ever_and_a_duplicate_is_looked_up() -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    order = intent(broker, "AAA", Side.BUY, "10", TimeInForce.OPG)
    assert isinstance(broker.submit(order), Acked)
    assert isinstance(broker.submit(replace(order, quantity=Decimal(11))), Unknown)
    found = broker.order(order.key.client_order_id)
    assert found is not None
    assert found.quantity == 10
    assert broker.cancel(found.id) is True
    assert broker.cancel(found.id) is False
    assert isinstance(broker.submit(order), Unknown)
    assert broker.order("tm1-never-sent") is None


@pytest.mark.parametrize(
    ("when", "symbol", "side", "quantity", "tif"),
    [
        ("2021-11-22 09:28:00", "AAA", Side.BUY, "1", TimeInForce.OPG),
        ("2021-11-22 08:00", "ZZZ", Side.BUY, "1", TimeInForce.OPG),
        ("2021-11-22 08:00", "AAA", Side.BUY, "1000000", TimeInForce.OPG),
        ("2021-11-22 08:00", "AAA", Side.SELL, "0.5", TimeInForce.DAY),
        ("2021-11-22 08:00", "AAA", Side.BUY, "0.5", TimeInForce.OPG),
    ],
    ids=["after the cut-off", "unknown asset", "buying power", "fractional short", "fractional auction"],
)
def test_a_documented_refusal_is_definitive(when: str, symbol: str, side: Side, quantity: str, tif: TimeInForce) -> None:
    served = small.exchange(when)
    broker = client(served)
    order = intent(broker, symbol, side, quantity, tif)
    assert isinstance(broker.submit(order), Refused)
    assert broker.order(order.key.client_order_id) is None


def test_more_orders_than_a_page_holds_are_listed_once_each_though_submitted_in_one_second() -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    number = broker.account().number
    for attempt in range(620):
        key = IntentKey(number, D, "main", "CCC", attempt // 100, attempt % 100)
        tiny = Intent(key, Side.BUY, Decimal(1), OrderType.MARKET, TimeInForce.OPG, Decimal(21))
        assert isinstance(broker.submit(tiny), Acked)
    listed = broker.orders(open_only=False, after=small.new_york("2021-11-22 00:00"))
    assert len(listed) == len({order.id for order in listed}) == 620


def test_the_activities_of_a_split_account_for_the_shares_that_it_moves() -> None:
    action = Action(ActionKind.SPLIT, "AAA", date(2021, 11, 23), D, ratio=Decimal("0.3"))
    served = small.exchange("2021-11-22 08:00", actions=[action])
    broker = client(served)
    assert isinstance(broker.submit(intent(broker, "AAA", Side.BUY, "11", TimeInForce.OPG)), Acked)
    at(served, "2021-11-22 16:20")
    cash = broker.account().cash
    at(served, "2021-11-23 08:00")
    moved = [activity for activity in broker.activities(D - timedelta(days=1)) if activity.kind == "SPLIT"]
    assert sum((item.quantity or Decimal(0) for item in moved), Decimal(11)) == Decimal(3)
    assert {p.symbol: p.quantity for p in broker.positions()} == {"AAA": Decimal(3)}
    assert broker.account().cash == cash + sum((item.net_amount for item in moved), Decimal(0))


def test_the_calendar_tells_an_early_close() -> None:
    broker = client(small.exchange("2021-11-22 08:00"))
    sessions = broker.calendar(date(2021, 11, 24), date(2021, 11, 26))
    assert [(s.day, s.is_early_close) for s in sessions] == [(date(2021, 11, 24), False), (date(2021, 11, 26), True)]


@pytest.mark.parametrize(
    ("fault", "outcome", "is_there"),
    [
        ({"kind": "drop"}, Unknown, True),
        ({"kind": "drop", "accepted": False}, Unknown, False),
        ({"kind": "reset"}, Unknown, True),
        ({"kind": "reset", "accepted": False}, Unknown, False),
        ({"kind": "status", "status": 504}, Unknown, True),
        ({"kind": "status", "status": 500, "accepted": False}, Unknown, False),
        ({"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}, Unknown, True),
        ({"kind": "truncated_json"}, Unknown, True),
        ({"kind": "cut_body"}, Unknown, True),
        ({"kind": "empty"}, Unknown, True),
        ({"kind": "redirect", "accepted": False}, Unknown, False),
        ({"kind": "edit", "set": {"side": "sideways"}}, Unknown, True),
        ({"kind": "edit", "set": {"status": "levitating"}}, Acked, True),
        ({"kind": "nanoseconds"}, Acked, True),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_fault_on_a_submission_leaves_one_post_and_its_order_to_be_found(fault: dict[str, object], outcome: type, is_there: bool) -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    order = intent(broker, "AAA", Side.BUY, "10", TimeInForce.OPG)
    served.faults.arm([Fault.model_validate({"method": "POST", "path": "/v2/orders", "times": 9, **fault})])
    assert isinstance(broker.submit(order), outcome)
    assert len(served.faults.strikes) == 1  # it really occurred, and nothing was sent again
    assert (broker.order(order.key.client_order_id) is not None) is is_there


def test_an_answer_about_another_order_halts() -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    edit = {"kind": "edit", "method": "POST", "set": {"client_order_id": "tm1-other"}}
    served.faults.arm([Fault.model_validate(edit)])
    with pytest.raises(UnknownOrder):
        broker.submit(intent(broker, "AAA", Side.BUY, "10", TimeInForce.OPG))


def test_reads_survive_three_faults_in_a_row() -> None:
    served = small.exchange("2021-11-22 08:00")
    broker = client(served)
    for skip, kind in enumerate(("reset", "truncated_json", "status")):
        row = {"kind": kind, "method": "GET", "path": "/v2/account", "status": 503, "skip": skip}
        served.faults.arm([Fault.model_validate(row)])
    assert broker.account().status == "ACTIVE"
    assert len(served.faults.strikes) == 3


def test_a_key_that_the_exchange_does_not_know_is_told() -> None:
    served = small.exchange("2021-11-22 08:00", key_id="right", secret_key="right")
    with pytest.raises(UnknownBrokerState, match="401"):
        client(served).account()
