"""Whatever bytes arrive, the exchange answers: refusals of the client's fault, never an exception or a broken core."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.exchange.api.routes import ROUTES
from execution.exchange.protocol.message import ApiRequest
from tests.fakes.exchange import exchange

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
SERVED = exchange("2021-11-22 12:00")
PARAMETERS = (
    "status", "limit", "after", "until", "direction", "symbols", "page_token", "page_size", "start", "end", "date",
    "period", "timeframe", "adjustment", "asof", "sort", "types", "qty", "percentage", "client_order_id",
    "after_order_id", "asset_class", "category", "method",
)  # fmt: skip
FIELDS = (
    "symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price", "trail_price",
    "trail_percent", "client_order_id", "extended_hours", "order_class", "trail", "to", "halted", "hard", "faults",
    "no_shorting", "max_margin_multiplier",
)  # fmt: skip
WORDS = st.sampled_from(
    ["AAA", "buy", "sell", "market", "limit", "stop", "trailing_stop", "day", "gtc", "opg", "1Day", "1e400", "-1", "0",
     "NaN", "Infinity", "1e-30", "9999-12-31T23:59:59-05:00", "0001-01-01", "2021-11-22", "99999999999A", "99A",
     "2021-11-22T12:00:00.123456789Z", "all", "asc", "-", "", "\x00", "é", "QUFBfDIwMjE="]
)  # fmt: skip
SCALARS = WORDS | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2))
ORDERS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=9)
NEARLY = ORDERS.map(lambda odd: {"symbol": "AAA", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"} | odd)
BODIES = (ORDERS | NEARLY).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=20) | st.just(b"[" * 100_000)


@settings(max_examples=700)
@given(
    st.sampled_from(ROUTES),
    WORDS | st.text(max_size=10),
    st.dictionaries(st.sampled_from(PARAMETERS), WORDS | st.text(max_size=10), max_size=3),
    BODIES,
)
def test_no_request_breaks_the_exchange(route: Any, argument: str, query: dict[str, str], body: bytes) -> None:
    path = route.path.split("{")[0] + argument if "{" in route.path else route.path
    SERVED.faults.clear()
    response = SERVED.handle(ApiRequest(route.method, path, query, HEADERS, body))
    assert response.status in (200, 204, 207, 400, 401, 403, 404, 422), response
    assert not response.body or isinstance(json.loads(response.body), dict | list)


@pytest.mark.parametrize("faults", [None, 1, "text", {"kind": "drop"}, True, [None], [1], ["text"], [[]], [{}]])
def test_faults_that_are_no_list_of_rows_are_refused(faults: object) -> None:
    request = ApiRequest("POST", "/_sim/faults", {}, HEADERS, json.dumps({"faults": faults}).encode())
    assert SERVED.handle(request).status == 422
    assert json.loads(SERVED.handle(ApiRequest("GET", "/_sim/faults", {}, HEADERS)).body)["script"] == []


NUMBERS = st.sampled_from(["1e400", "1e-30", "NaN", "Infinity", "-0", "1e15", "1e11", 10**30, 1e300, 0.1, "100", "0.5"])
PRICED = ("limit_price", "stop_price", "trail_price", "trail_percent", "qty", "notional")


@settings(max_examples=600)
@given(
    st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing_stop"]),
    st.sampled_from(["buy", "sell"]),
    st.dictionaries(st.sampled_from(PRICED), NUMBERS, max_size=3),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=1),
)
def test_no_number_breaks_an_order(type_: str, side: str, numbers: dict[str, Any], odd: dict[str, Any]) -> None:
    body = {"symbol": "AAA", "side": side, "type": type_, "time_in_force": "day"} | numbers | odd
    request = ApiRequest("POST", "/v2/orders", {}, HEADERS, json.dumps(body).encode())
    assert SERVED.handle(request).status in (200, 400, 403, 422)
    assert SERVED.handle(ApiRequest("GET", "/v2/account", {}, HEADERS)).status == 200
