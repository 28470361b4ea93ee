"""The routing table: method, path and function of every endpoint."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from execution.exchange.api import account, data, orders, positions, sim
from execution.exchange.protocol.message import ApiResponse

SIM_PREFIX = "/_sim/"
Endpoint = Callable[..., ApiResponse]  # (exchange, request, *path arguments)


@dataclass(frozen=True)
class Route:
    """One endpoint."""

    method: str
    path: str
    endpoint: Endpoint


ROUTES = (
    Route("GET", "/v2/account", account.account),
    Route("GET", "/v2/account/configurations", account.configurations),
    Route("PATCH", "/v2/account/configurations", account.configure),
    Route("GET", "/v2/account/activities", account.activities),
    Route("GET", "/v2/account/activities/{activity_type}", account.activities_of_type),
    Route("GET", "/v2/account/portfolio/history", positions.portfolio_history),
    Route("GET", "/v2/clock", account.clock),
    Route("GET", "/v2/calendar", account.calendar),
    Route("GET", "/v3/clock", account.market_clocks),
    Route("GET", "/v3/calendar/{market}", account.market_calendar),
    Route("GET", "/v2/assets", account.assets),
    Route("GET", "/v2/assets/{symbol_or_asset_id}", account.asset),
    Route("GET", "/v2/positions", positions.positions),
    Route("DELETE", "/v2/positions", positions.close_all),
    Route("GET", "/v2/positions/{symbol_or_asset_id}", positions.position),
    Route("DELETE", "/v2/positions/{symbol_or_asset_id}", positions.close),
    Route("POST", "/v2/orders", orders.submit),
    Route("GET", "/v2/orders", orders.list_orders),
    Route("DELETE", "/v2/orders", orders.cancel_all),
    Route("GET", "/v2/orders:by_client_order_id", orders.get_by_client_id),
    Route("GET", "/v2/orders/{order_id}", orders.get_order),
    Route("PATCH", "/v2/orders/{order_id}", orders.replace),
    Route("DELETE", "/v2/orders/{order_id}", orders.cancel_order),
    Route("GET", "/v2/stocks/bars", data.bars),
    Route("GET", "/v2/stocks/bars/latest", partial(data.of_many, data.latest_bar, "bars")),
    Route("GET", "/v2/stocks/quotes/latest", partial(data.of_many, data.quote, "quotes")),
    Route("GET", "/v2/stocks/trades/latest", partial(data.of_many, data.trade, "trades")),
    Route("GET", "/v2/stocks/snapshots", partial(data.of_many, data.snapshot, "")),
    Route("GET", "/v2/stocks/{symbol}/bars", data.symbol_bars),
    Route("GET", "/v2/stocks/{symbol}/bars/latest", partial(data.of_one, data.latest_bar, "bar")),
    Route("GET", "/v2/stocks/{symbol}/quotes/latest", partial(data.of_one, data.quote, "quote")),
    Route("GET", "/v2/stocks/{symbol}/trades/latest", partial(data.of_one, data.trade, "trade")),
    Route("GET", "/v2/stocks/{symbol}/snapshot", partial(data.of_one, data.snapshot, "")),
    Route("GET", "/v1/corporate-actions", data.corporate_actions),
    Route("GET", "/_sim/clock", sim.clock),
    Route("POST", "/_sim/advance", sim.advance),
    Route("GET", "/_sim/log", sim.log),
    Route("GET", "/_sim/faults", sim.list_faults),
    Route("POST", "/_sim/faults", sim.arm_faults),
    Route("DELETE", "/_sim/faults", sim.clear_faults),
    Route("POST", "/_sim/halt", sim.halt),
    Route("POST", "/_sim/borrow", sim.borrow),
    Route("POST", "/_sim/closure", sim.closure),
)
_EXACT = {(route.method, route.path): route.endpoint for route in ROUTES if "{" not in route.path}
_PATTERNS = [(route.method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", route.path)), route.endpoint) for route in ROUTES if "{" in route.path]


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
