"""Every documented refusal as a row: the request that earns it, and the status, code and facts of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol import refusals
from execution.exchange.protocol.message import ApiRequest, ApiResponse
from tests.fakes.exchange import bars, exchange, new_york

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def send(served: Exchange, method: str, path: str, body: Any = None, **query: str) -> ApiResponse:
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.handle(ApiRequest(method, path, query, HEADERS, content))


def order(served: Exchange, **changes: Any) -> ApiResponse:
    body = {name: value for name, value in {**ORDER, **changes}.items() if value is not None}
    return send(served, "POST", "/v2/orders", body)


def owning(served: Exchange, quantity: str, symbol: str = "AAA") -> None:
    """Buy on the spot: the session is open."""
    assert order(served, symbol=symbol, qty=quantity).status == 200


BRACKET = {"order_class": "bracket", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}
SHORT_BRACKET = {"order_class": "bracket", "take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "110"}}


@dataclass(frozen=True)
class Case:
    name: str
    status: int
    code: int
    ask: Callable[[Exchange], ApiResponse]
    facts: Mapping[str, str] = field(default_factory=dict)
    at: str = "2021-11-22 12:00"
    config: Mapping[str, Any] = field(default_factory=dict)


def after(*steps: Callable[[Exchange], Any]) -> Callable[[Exchange], ApiResponse]:
    """Take the steps in turn; the last one's answer counts."""

    def ask(served: Exchange) -> ApiResponse:
        answers = [step(served) for step in steps]
        last = answers[-1]
        assert isinstance(last, ApiResponse)
        return last

    return ask


def resting(**changes: Any) -> Callable[[Exchange], ApiResponse]:
    return lambda served: order(served, type="limit", limit_price="50", **changes)


def last_id(served: Exchange) -> str:
    return list(served.venue.book.orders)[-1]


def patch_first(**changes: Any) -> Callable[[Exchange], ApiResponse]:
    return lambda served: send(served, "PATCH", f"/v2/orders/{next(iter(served.venue.book.orders))}", changes)


def patch_last(**changes: Any) -> Callable[[Exchange], ApiResponse]:
    def ask(served: Exchange) -> ApiResponse:
        return send(served, "PATCH", f"/v2/orders/{last_id(served)}", changes)

    return ask


def cancel_last(served: Exchange) -> ApiResponse:
    return send(served, "DELETE", f"/v2/orders/{last_id(served)}")


def configure(**changes: Any) -> Callable[[Exchange], ApiResponse]:
    return lambda served: send(served, "PATCH", "/v2/account/configurations", changes)


EVENING = "2021-11-22 20:00"
CASES = (
    Case("no credentials", 401, 0, lambda x: x.handle(ApiRequest("GET", "/v2/account"))),
    Case("no such endpoint", 404, 40410000, lambda x: send(x, "GET", "/v2/nowhere")),
    Case("body is no JSON", 400, 40010000, lambda x: send(x, "POST", "/v2/orders", b"{")),
    Case("neither qty nor notional", 400, 40010001, lambda x: order(x, qty=None)),
    Case("both qty and notional", 400, 40010001, lambda x: order(x, notional="10")),
    Case("qty is not positive", 422, 40010001, lambda x: order(x, qty="0")),
    Case("qty is no number", 422, 42210000, lambda x: order(x, qty="many")),
    Case("qty is not finite", 422, 42210000, lambda x: order(x, qty="NaN")),
    Case("ten decimals", 422, 42210000, lambda x: order(x, qty="1.0123456789")),
    Case("unknown side", 422, 42210000, lambda x: order(x, side="hold")),
    Case("no time in force", 422, 40010001, lambda x: order(x, time_in_force=None)),
    Case("limit order without limit", 422, 42210000, lambda x: order(x, type="limit")),
    Case("market order with limit", 422, 42210000, lambda x: order(x, limit_price="100")),
    Case("trailing stop without trail", 422, 40010001, lambda x: order(x, type="trailing_stop", side="sell")),
    Case("sub-penny above a dollar", 422, 42210000, lambda x: order(x, type="limit", limit_price="100.001")),
    Case("five decimals below a dollar", 422, 42210000, lambda x: order(x, type="limit", limit_price="0.12345")),
    Case("long client order id", 422, 40010001, lambda x: order(x, client_order_id="x" * 129)),
    Case("client order id used", 422, 40010001,
         after(lambda x: order(x, client_order_id="a"), lambda x: order(x, client_order_id="a"))),
    Case("client order id used by a cancelled order", 422, 40010001,
         after(resting(client_order_id="a"), cancel_last, lambda x: order(x, client_order_id="a"))),
    Case("opg during the day", 422, 42210000, lambda x: order(x, time_in_force="opg")),
    Case("cls after its cut-off", 422, 42210000, lambda x: order(x, time_in_force="cls"), at="2021-11-22 15:50"),
    Case("opg stop order", 422, 42210000,
         lambda x: order(x, time_in_force="opg", type="stop", stop_price="110"), at=EVENING),
    Case("ioc out of hours", 422, 42210000, lambda x: order(x, time_in_force="ioc"), at=EVENING),
    Case("extended hours market order", 422, 42210000, lambda x: order(x, extended_hours=True)),
    Case("extended hours as a text", 422, 42210000,
         lambda x: order(x, type="limit", limit_price="100", extended_hours="true")),
    Case("extended hours as a number", 422, 42210000, lambda x: order(x, extended_hours=0)),
    *(Case(f"{leg} on a simple order", 422, 42210000, lambda x, leg=leg, given=given: order(x, **{leg: given}))
      for leg, given in (("take_profit", {"limit_price": "110"}), ("stop_loss", {"stop_price": "90"}), ("legs", []))),
    Case("take profit with the class simple", 422, 42210000,
         lambda x: order(x, order_class="simple", take_profit={"limit_price": "110"})),
    Case("advanced instructions", 422, 42210000, lambda x: order(x, advanced_instructions={"algorithm": "VWAP"})),
    Case("an order class that nobody knows", 422, 42210000, lambda x: order(x, order_class="braket")),
    Case("an order class that is no word", 422, 42210000, lambda x: order(x, order_class=["bracket"])),
    Case("a position intent that nobody knows", 422, 42210000, lambda x: order(x, position_intent="open")),
    Case("an intent of the other side", 422, 42210000, lambda x: order(x, position_intent="sell_to_open")),
    Case("an intent to close what is not held", 422, 42210000, lambda x: order(x, position_intent="buy_to_close")),
    Case("an intent to open against a holding", 422, 42210000,
         after(lambda x: owning(x, "3"), lambda x: order(x, side="sell", position_intent="sell_to_open"))),
    Case("a client order id that is no text", 422, 42210000, lambda x: order(x, client_order_id=5)),
    *(Case(f"replacing {name}", 422, 42210000, after(resting(), patch_last(**{"qty": "2", name: given})))
      for name, given in (("side", "sell"), ("extended_hours", True), ("take_profit", {"limit_price": "110"}))),
    Case("bracket without exits", 422, 42210000, lambda x: order(x, order_class="bracket")),
    *(Case(f"{name} of a group", 422, 42210000, lambda x, given=given: order(x, **{**BRACKET, **given})) for name, given in (
        ("an ioc order", {"time_in_force": "ioc"}),
        ("an order in extended hours", {"type": "limit", "limit_price": "100", "extended_hours": True}),
        ("a trailing entry", {"type": "trailing_stop", "trail_price": "1"}),
        ("two legs of an oto", {"order_class": "oto"}),
        ("a loss above the profit", {"stop_loss": {"stop_price": "111"}}),
        ("a leg of unknown fields", {"take_profit": {"limit_price": "110", "stop_price": "111"}}),
        ("a leg that is no object", {"take_profit": "110"}),
        ("a loss without its stop", {"order_class": "oto", "take_profit": {"limit_price": "110"}, "stop_loss": {"limit_price": "90"}}),
        ("a profit of a fraction of a cent", {"take_profit": {"limit_price": "110.001"}}),
        ("an exit of nothing", {"order_class": "oco", "side": "sell", "type": "limit", "take_profit": {"limit_price": "110"}}),
        ("a market exit", {"order_class": "oco", "side": "sell"}),
        ("a profit at the price", {"take_profit": {"limit_price": "101"}}),
        ("a loss at the limit", {"type": "limit", "limit_price": "99", "stop_loss": {"stop_price": "99"}}),
    )),
    Case("an entry against a holding", 422, 42210000,
         after(lambda x: owning(x, "3"), lambda x: order(x, side="sell", **SHORT_BRACKET))),
    Case("the quantity of a group", 422, 42210000,
         after(lambda x: order(x, type="limit", limit_price="95", **BRACKET), patch_first(qty="2"))),
    Case("the held leg of a group", 422, 42210000,
         after(lambda x: order(x, type="limit", limit_price="95", **BRACKET), patch_last(stop_price="89"))),
    Case("order of several options", 422, 42210000, lambda x: order(x, order_class="mleg")),
    Case("unknown asset", 422, 42210000, lambda x: order(x, symbol="ZZZ")),
    Case("symbols are case-sensitive", 422, 42210000, lambda x: order(x, symbol="aaa")),
    Case("asset not tradable", 422, 42210000, lambda x: order(x), config={"not_tradable": ("AAA",)}),
    Case("asset not fractionable", 403, 40310000, lambda x: order(x, qty="0.5"), config={"not_fractionable": ("AAA",)}),
    Case("fractional switched off", 403, 40310000,
         after(configure(fractional_trading=False), lambda x: order(x, qty="0.5"))),
    Case("fractional gtc", 422, 42210000, lambda x: order(x, qty="0.5", time_in_force="gtc")),
    Case("fractional bracket", 422, 42210000, lambda x: order(x, qty="0.5", order_class="bracket")),
    Case("fractional limit, by the letter", 422, 42210000,
         lambda x: order(x, qty="0.5", type="limit", limit_price="90"), config={"fractional_market_only": True}),
    Case("fractional short", 422, 42210000, lambda x: order(x, qty="0.5", side="sell")),
    Case("notional below a dollar", 403, 40310000, lambda x: order(x, qty=None, notional="0.5")),
    Case("notional sale next to a closing order", 403, 40310000,
         after(lambda x: owning(x, "10"), lambda x: x.advance(new_york(EVENING)),
               lambda x: order(x, side="sell", qty="1"), lambda x: order(x, side="sell", qty=None, notional="100"))),
    Case("stop on the wrong side", 422, 42210000, lambda x: order(x, type="stop", stop_price="90")),
    Case("short in a cash account", 403, 40310000, lambda x: order(x, side="sell"), config={"multiplier": 1}),
    Case("short with shorting off", 403, 40310000,
         after(configure(no_shorting=True), lambda x: order(x, side="sell"))),
    Case("short below 2,000 of equity", 403, 40310000, lambda x: order(x, side="sell"), config={"cash": "1999.99"}),
    Case("short of what cannot be borrowed", 422, 42210000, lambda x: order(x, side="sell"),
         config={"not_shortable": ("AAA",)}),
    Case("short of the hard to borrow", 422, 42210000, lambda x: order(x, side="sell"),
         config={"hard_to_borrow": ("AAA",)}),
    Case("gtc short of the hard to borrow", 422, 42210000, lambda x: order(x, side="sell", time_in_force="gtc"),
         config={"hard_to_borrow": ("AAA",)}),
    Case("more than is held", 403, 40310000,
         after(lambda x: owning(x, "10"), lambda x: order(x, side="sell", qty="11")),
         facts={"existing_qty": "10", "held_for_orders": "0", "available": "10", "symbol": "AAA"}),
    Case("more than is free", 403, 40310000,
         after(lambda x: owning(x, "10"), lambda x: order(x, side="sell", qty="8", type="limit", limit_price="200"),
               lambda x: order(x, side="sell", qty="3")),
         facts={"existing_qty": "10", "held_for_orders": "8", "available": "2"}),
    Case("a cover of more than is short", 403, 40310000,
         after(lambda x: order(x, side="sell", qty="5"), lambda x: order(x, qty="6")), facts={"available": "5"}),
    Case("beyond buying power", 403, 40310000, lambda x: order(x, qty="20000"),
         facts={"buying_power": "2000000", "cost_basis": "2080600"}),
    Case("beyond what open orders leave", 403, 40310000,
         after(resting(qty="39000"), lambda x: order(x, qty="1000")), facts={"buying_power": "50000"}),
    Case("wash trade", 403, 40310000, after(lambda x: owning(x, "10"), resting(), lambda x: order(x, side="sell")),
         facts={"reject_reason": "opposite side limit order exists"}),
    Case("suspended by the user", 403, 40310000, after(configure(suspend_trade=True), lambda x: order(x))),
    Case("unknown order", 404, 40410000, lambda x: send(x, "GET", "/v2/orders/00000000-0000-4000-8000-000000000000")),
    Case("unknown client order id", 404, 40410000,
         lambda x: send(x, "GET", "/v2/orders:by_client_order_id", client_order_id="no")),
    Case("cancel what is filled", 422, 42210000, after(lambda x: owning(x, "1"), cancel_last)),
    Case("replace what is accepted", 422, 42210000, after(resting(), patch_last(limit_price="51")), at=EVENING),
    Case("replace what is filled", 422, 42210000, after(lambda x: owning(x, "1"), patch_last(qty="2"))),
    Case("replace a notional order", 422, 42210000,
         after(lambda x: order(x, qty=None, notional="100", type="limit", limit_price="50"),
               patch_last(limit_price="51"))),
    Case("replace a fractional quantity", 422, 42210000, after(resting(qty="1.5"), patch_last(qty="2.5"))),
    Case("replace nothing", 422, 42210000, after(resting(), patch_last())),
    Case("unknown position", 404, 40410000, lambda x: send(x, "GET", "/v2/positions/AAA")),
    Case("close an unknown position", 404, 40410000, lambda x: send(x, "DELETE", "/v2/positions/AAA")),
    Case("unknown asset id", 404, 40410000, lambda x: send(x, "GET", "/v2/assets/ZZZ")),
    Case("both order ids", 422, 42210000, after(resting(), lambda x: send(
        x, "GET", "/v2/orders", after_order_id=last_id(x), before_order_id=last_id(x)))),
    Case("limit above 500", 400, 40010001, lambda x: send(x, "GET", "/v2/orders", limit="501")),
    Case("page size above 100", 400, 40010001, lambda x: send(x, "GET", "/v2/account/activities", page_size="101")),
    Case("minute bars", 400, 40010001, lambda x: send(x, "GET", "/v2/stocks/bars", symbols="AAA", timeframe="1Min")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_refusal_has_its_status_its_code_and_its_facts_and_changes_nothing(case: Case) -> None:
    served = exchange(case.at, **case.config)
    before = served.venue.book.cash
    response = case.ask(served)
    content = json.loads(response.body)
    assert (response.status, content.get("code", 0)) == (case.status, case.code), content
    assert content["message"] and "{" not in content["message"].replace('{"', "")
    assert {name: content.get(name) for name in case.facts} == dict(case.facts)
    if case.ask.__name__ == "<lambda>":
        assert served.venue.book.cash == before and not served.venue.book.orders


def test_a_refusal_leaves_the_book_as_it_was() -> None:
    served = exchange("2021-11-22 12:00")
    owning(served, "10")
    book = served.venue.book
    state = (book.cash, dict(book.orders), dict(book.holdings), len(book.entries), book.reserved)
    assert order(served, side="sell", qty="11").status == 403
    assert (book.cash, dict(book.orders), dict(book.holdings), len(book.entries), book.reserved) == state


def test_every_refusal_of_the_table_has_a_status_that_says_client_error() -> None:
    rows = [row for row in vars(refusals).values() if isinstance(row, refusals.ApiRefusal)]
    assert len(rows) >= 40 and len({row.name for row in rows}) == len(rows)
    assert all(
        400 <= row.status < 500 and (row.code == 0 or str(row.code).startswith(str(row.status)) or row.code == 40010001) for row in rows
    )


def test_a_name_without_any_price_yet_is_refused() -> None:
    served = exchange("2021-11-19 08:00", panel=bars())
    assert order(served).status == 422 and date(2021, 11, 19) == served.venue.market.trading_day(served.now)


@pytest.mark.parametrize("said", [{"position_intent": "buy_to_open"}, {"extended_hours": False}, {"order_class": ""}, {"legs": None}])
def test_what_says_nothing_new_is_taken(said: dict[str, Any]) -> None:
    assert order(exchange("2021-11-22 12:00"), **said).status == 200
