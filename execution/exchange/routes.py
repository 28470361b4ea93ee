"""Every endpoint as a row: method, path, function. A segment in braces is an argument."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from execution.exchange import account_api, data_api, history_api, orders_api, positions_api, sim_api
from execution.exchange.message import Response

SIM_PREFIX = "/_sim/"
Endpoint = Callable[..., Response]  # (exchange, request, *path arguments)


@dataclass(frozen=True)
class Route:
    """One endpoint."""

    method: str
    path: str
    endpoint: Endpoint


ROUTES = (
    Route("GET", "/v2/account", account_api.account),
    Route("GET", "/v2/account/configurations", account_api.configurations),
    Route("PATCH", "/v2/account/configurations", account_api.configure),
    Route("GET", "/v2/account/activities", account_api.activities),
    Route("GET", "/v2/account/activities/{activity_type}", account_api.activities_of_type),
    Route("GET", "/v2/account/portfolio/history", history_api.portfolio_history),
    Route("GET", "/v2/clock", account_api.clock),
    Route("GET", "/v2/calendar", account_api.calendar),
    Route("GET", "/v3/clock", account_api.market_clocks),
    Route("GET", "/v3/calendar/{market}", account_api.market_calendar),
    Route("GET", "/v2/assets", account_api.assets),
    Route("GET", "/v2/assets/{symbol_or_asset_id}", account_api.asset),
    Route("GET", "/v2/positions", positions_api.positions),
    Route("DELETE", "/v2/positions", positions_api.close_all),
    Route("GET", "/v2/positions/{symbol_or_asset_id}", positions_api.position),
    Route("DELETE", "/v2/positions/{symbol_or_asset_id}", positions_api.close),
    Route("POST", "/v2/orders", orders_api.submit),
    Route("GET", "/v2/orders", orders_api.list_orders),
    Route("DELETE", "/v2/orders", orders_api.cancel_all),
    Route("GET", "/v2/orders:by_client_order_id", orders_api.get_by_client_id),
    Route("GET", "/v2/orders/{order_id}", orders_api.get_order),
    Route("PATCH", "/v2/orders/{order_id}", orders_api.replace),
    Route("DELETE", "/v2/orders/{order_id}", orders_api.cancel_order),
    Route("GET", "/v2/stocks/bars", data_api.bars),
    Route("GET", "/v2/stocks/bars/latest", data_api.latest_bars),
    Route("GET", "/v2/stocks/quotes/latest", data_api.latest_quotes),
    Route("GET", "/v2/stocks/trades/latest", data_api.latest_trades),
    Route("GET", "/v2/stocks/snapshots", data_api.snapshots),
    Route("GET", "/v2/stocks/{symbol}/bars", data_api.symbol_bars),
    Route("GET", "/v2/stocks/{symbol}/bars/latest", data_api.latest_bar),
    Route("GET", "/v2/stocks/{symbol}/quotes/latest", data_api.latest_quote),
    Route("GET", "/v2/stocks/{symbol}/trades/latest", data_api.latest_trade),
    Route("GET", "/v2/stocks/{symbol}/snapshot", data_api.snapshot),
    Route("GET", "/v1/corporate-actions", data_api.corporate_actions),
    Route("GET", "/_sim/clock", sim_api.clock),
    Route("POST", "/_sim/advance", sim_api.advance),
    Route("GET", "/_sim/log", sim_api.log),
    Route("GET", "/_sim/faults", sim_api.list_faults),
    Route("POST", "/_sim/faults", sim_api.arm_faults),
    Route("DELETE", "/_sim/faults", sim_api.clear_faults),
    Route("POST", "/_sim/halt", sim_api.halt),
    Route("POST", "/_sim/borrow", sim_api.borrow),
    Route("POST", "/_sim/closure", sim_api.closure),
)
_EXACT = {(route.method, route.path): route.endpoint for route in ROUTES if "{" not in route.path}
_PATTERNS = [
    (route.method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", route.path)), route.endpoint)
    for route in ROUTES
    if "{" in route.path
]


def find(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
    """Return the endpoint of a request and its path arguments, or None."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact, ()
    for allowed, pattern, endpoint in _PATTERNS:
        found = pattern.fullmatch(path) if allowed == method else None
        if found:
            return endpoint, tuple(unquote(part) for part in found.groups())
    return None
