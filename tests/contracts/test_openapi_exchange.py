"""Every answer of the exchange against Alpaca's own OpenAPI documents, and parsed by the SDK's models (A3).

The documents lie beside the checkout; without them this skips and says so. Schemas are OpenAPI 3.0, of which JSON
Schema lacks `nullable`: `json_schema` translates it.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from alpaca.trading.enums import ActivityType, OrderStatus
from alpaca.trading.models import (
    AccountConfiguration,
    Asset,
    Calendar,
    Clock,
    NonTradeActivity,
    Order,
    PortfolioHistory,
    Position,
    TradeAccount,
    TradeActivity,
)

from execution.exchange.api.exchange import Exchange
from execution.exchange.api.routes import ROUTES, SIM_PREFIX
from execution.exchange.protocol.message import ApiRequest
from execution.orders import OrderStatus as OurStatus
from signals.market.actions import Action, ActionKind
from tests.fakes.exchange import exchange, new_york

DOCUMENTS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "alpaca"
TRADING, DATA = "trading-api.mcp-2026-06.json", "market-data-api.mcp-2026-06.json"
HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
FORMATS = jsonschema.FormatChecker(formats=["uuid", "date"])
Json = Any


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    """RFC 3339 with its zone; the date of an activity, which the document calls an instant, comes as a date."""
    return not isinstance(value, str) or len(value) == 10 or datetime.fromisoformat(value).tzinfo is not None


@cache
def document(name: str) -> Json:
    path = DOCUMENTS / name
    if not path.exists():
        pytest.skip(f"{path} absent: the exchange was NOT checked against Alpaca's OpenAPI documents")
    return json.loads(path.read_text(encoding="utf-8"))


def json_schema(node: Json) -> Json:
    """Translate OpenAPI 3.0 to JSON Schema: a nullable schema also accepts null."""
    if isinstance(node, list):
        return [json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    # A fill satisfies both branches of the document's `oneOf` of activities, as neither requires any key.
    translated = {"anyOf" if key == "oneOf" else key: json_schema(value) for key, value in node.items()}
    if not node.get("nullable"):
        return translated
    if isinstance(translated.get("type"), str):
        translated["type"] = [translated["type"], "null"]
    if "enum" in translated:
        translated["enum"] = [*translated["enum"], None]
    return translated


@cache
def translated(name: str) -> Json:
    return json_schema(document(name))


def check(name: str, method: str, path: str, status: int, content: Json) -> None:
    """Raise unless `content` is what the document says that `path` answers."""
    whole = translated(name)
    described = whole["paths"][path][method.lower()]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.validate(content, {**schema, "components": whole["components"]}, format_checker=FORMATS)


class Asker:
    """Sends requests and checks every answer; remembers which endpoints were checked."""

    def __init__(self, served: Exchange) -> None:
        self.served, self.checked = served, set[tuple[str, str]]()

    def __call__(self, method: str, template: str, body: Json = None, /, *, status: int = 200, **given: str) -> Json:
        names = re.findall(r"\{(\w+)\}", template)
        path = re.sub(r"\{(\w+)\}", lambda found: given[found[1]], template)
        query = {name: value for name, value in given.items() if name not in names}
        content = b"" if body is None else json.dumps(body).encode()
        response = self.served.handle(ApiRequest(method, path, query, HEADERS, content))
        assert response.status == status, response.body
        self.checked.add((method, template))
        if not response.body:
            return None
        answer = json.loads(response.body)
        data = template.startswith(("/v2/stocks", "/v1/"))
        check(DATA if data else TRADING, method, template, status, answer)
        return answer


def order(symbol: str, side: str, time_in_force: str, **more: Json) -> Json:
    return {"symbol": symbol, "qty": "10", "side": side, "type": "market", "time_in_force": time_in_force, **more}


@pytest.fixture(scope="module")
def asked() -> Asker:
    """A scripted day that meets every endpoint, orders of every type, and every kind of activity."""
    document(TRADING), document(DATA)
    actions = [
        Action(ActionKind.SPLIT, "AAA", date(2021, 11, 23), date(2021, 11, 19), ratio=Decimal("1.5")),
        Action(ActionKind.SPLIT, "CCC", date(2021, 11, 24), date(2021, 11, 19), ratio=Decimal("0.1")),
        Action(ActionKind.DIVIDEND, "AAA", date(2021, 11, 24), date(2021, 11, 22), cash=Decimal("0.22")),
        Action(ActionKind.SYMBOL_CHANGE, "OLD", date(2021, 11, 23), date(2021, 11, 22), new_symbol="BBB"),
        Action(ActionKind.DELISTING, "BBB", date(2021, 11, 26), date(2021, 11, 24), cash=Decimal("60")),
    ]
    served = exchange("2021-11-22 08:00", actions=actions, paper_fidelity=False, partial_fill_probability=0.5)
    ask = Asker(served)
    for symbol, side, tif in (("AAA", "buy", "opg"), ("OLD", "sell", "opg"), ("CCC", "buy", "cls")):
        ask("POST", "/v2/orders", order(symbol, side, tif))
    cancelled = ask("POST", "/v2/orders", order("AAA", "buy", "day"))
    ask("GET", "/v2/orders")
    ask("DELETE", "/v2/orders/{order_id}", order_id=cancelled["id"], status=204)
    served.advance(new_york("2021-11-22 12:00"))
    limit = ask("POST", "/v2/orders", order("AAA", "buy", "gtc", type="limit", limit_price="50"))
    ask("POST", "/v2/orders", order("AAA", "buy", "day", type="stop_limit", stop_price="120", limit_price="121"))
    ask("POST", "/v2/orders", order("CCC", "buy", "day", type="stop", stop_price="40"))
    ask("POST", "/v2/orders", order("CCC", "buy", "gtc", type="trailing_stop", trail_percent="5"))
    ask("POST", "/v2/orders", {"symbol": "CCC", "notional": 500, "side": "buy", "type": "market", "time_in_force": "day"})
    ask("PATCH", "/v2/orders/{order_id}", {"limit_price": "51"}, order_id=limit["id"])
    ask("GET", "/v2/orders", limit="500")
    _read_everything(ask, limit)
    served.advance(new_york("2021-11-26 08:00"))
    _read_everything(ask, limit)
    ask("DELETE", "/v2/orders", status=207)
    ask("DELETE", "/v2/positions/{symbol_or_asset_id}", symbol_or_asset_id="AAA", qty="1")
    ask("DELETE", "/v2/positions", status=207, cancel_orders="true")
    return ask


def _read_everything(ask: Asker, limit: Json) -> None:
    for path in (
        "account",
        "account/configurations",
        "account/activities",
        "account/portfolio/history",
        "clock",
        "calendar",
        "assets",
        "positions",
    ):
        ask("GET", f"/v2/{path}")
    ask("GET", "/v2/orders/{order_id}", order_id=limit["id"])
    ask("GET", "/v2/orders:by_client_order_id", client_order_id=limit["client_order_id"])
    ask("GET", "/v2/assets/{symbol_or_asset_id}", symbol_or_asset_id="AAA")
    ask("GET", "/v2/positions/{symbol_or_asset_id}", symbol_or_asset_id="AAA")
    ask("GET", "/v2/account/activities/{activity_type}", activity_type="FILL")
    ask("PATCH", "/v2/account/configurations", {"fractional_trading": True})
    ask("GET", "/v2/stocks/bars", symbols="AAA,CCC", timeframe="1Day", start="2021-11-01", limit="2")
    ask("GET", "/v2/stocks/{symbol}/bars", symbol="AAA", timeframe="1Day", start="2021-11-01")
    for kind in ("bars", "quotes", "trades"):
        ask("GET", f"/v2/stocks/{kind}/latest", symbols="AAA,CCC")
        ask("GET", f"/v2/stocks/{{symbol}}/{kind}/latest", symbol="AAA")
    ask("GET", "/v2/stocks/snapshots", symbols="AAA,CCC,ZZZ")
    ask("GET", "/v2/stocks/{symbol}/snapshot", symbol="AAA")
    for frame in ("1Hour", "1Week", "1Month"):
        ask("GET", "/v2/stocks/bars", symbols="AAA,CCC", timeframe=frame, start="2021-11-01")
    ask("GET", "/v3/clock"), ask("GET", "/v3/clock", markets="XNAS", time="2021-11-26T14:00:00-05:00")
    ask("GET", "/v3/calendar/{market}", market="XNYS", timezone="UTC")
    ask("GET", "/v1/corporate-actions", start="2021-11-01", end="2021-12-31")


def test_every_answer_of_every_endpoint_is_what_the_official_document_says(asked: Asker) -> None:
    served = {(route.method, route.path) for route in ROUTES if not route.path.startswith(SIM_PREFIX)}
    assert served == asked.checked, "an endpoint that is served was not checked"


def test_all_kinds_of_activities_were_among_them(asked: Asker) -> None:
    rows = asked("GET", "/v2/account/activities")
    assert {row["activity_type"] for row in rows} == {"FILL", "SPLIT", "NC", "MA", "DIV"}
    assert {row["type"] for row in rows if row["activity_type"] == "FILL"} == {"fill", "partial_fill"}


def test_the_sdk_models_read_every_answer(asked: Asker) -> None:
    def read(path: str, **query: str) -> Json:
        return json.loads(asked.served.handle(ApiRequest("GET", f"/v2/{path}", query, HEADERS)).body)

    TradeAccount(**read("account")), AccountConfiguration(**read("account/configurations")), Clock(**read("clock"))
    PortfolioHistory(**read("account/portfolio/history", timeframe="1D"))
    for model, path in ((Order, "orders"), (Position, "positions"), (Asset, "assets"), (Calendar, "calendar")):
        rows = read(path, status="all")
        assert rows and all(model(**row) for row in rows), path
    trades, others = read("account/activities/FILL"), read("account/activities", category="non_trade_activity")
    assert trades and all(TradeActivity(**row) for row in trades)
    assert others and all(NonTradeActivity(**row) for row in others)


def test_an_order_has_all_keys_of_the_wire(asked: Asker) -> None:
    """Every property that the document names, and the ones that only appear in the SDK's recordings."""
    row = asked("GET", "/v2/orders", limit="1", direction="asc") or asked("POST", "/v2/orders", order("AAA", "buy", "day"))
    keys = set((row[0] if isinstance(row, list) else row).keys())
    described = set(document(TRADING)["components"]["schemas"]["Order"]["properties"])
    assert described <= keys and keys - described == {"source", "subtag"}


def test_where_the_document_and_the_sdk_differ_is_known() -> None:
    """A new difference shows here first: our parsers must not depend on either side's list."""
    schemas = document(TRADING)["components"]["schemas"]
    statuses = set(schemas["OrderStatus"]["enum"])
    assert statuses == {status.value for status in OurStatus} - {"unknown"}
    assert {status.value for status in OrderStatus} - statuses == {"pending_review"} and len(statuses) == 17
    missing = set(schemas["ActivityType"]["enum"]) - {kind.value for kind in ActivityType}
    assert len(missing) == 12 and {"CFEE", "OPCA", "FOPT"} <= missing | {"CFEE", "OPCA", "FOPT"}
    required = set(TradeActivity.model_fields) & {"account_id"}
    assert required and "account_id" not in schemas["TradingActivities"]["properties"]
    assert get_args(TradeAccount.model_fields["cash"].annotation), "the SDK keeps money optional and as text"
