"""The endpoints of orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from execution.exchange.core.desk import cancel, place, replace_order
from execution.exchange.core.wire import order_row
from execution.exchange.orders.order import Order
from execution.exchange.protocol import refusals
from execution.exchange.protocol.draft import parse
from execution.exchange.protocol.message import NO_CONTENT, ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import RefusedByVenue
from execution.orders import OrderStatus

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

PAGE, PAGE_MAX = 50, 500


def submit(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /v2/orders: an order of a group is answered with its legs."""
    return _whole(exchange, place(exchange.venue, parse(request.json())))


def list_orders(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/orders: newest first unless asked otherwise; open ones unless asked otherwise.

    Nested, legs are with the first order of their group, which is open as long as one of it is; else they are rows, held ones of no
    list of open orders.
    """
    status = request.word("status", ("open", "closed", "all"), "open")
    ascending = request.word("direction", ("asc", "desc"), "desc") == "asc"
    limit = request.count("limit", PAGE, PAGE_MAX)
    book = exchange.venue.book
    is_nested, every = request.flag("nested"), book.open_orders() if status == "open" else list(book.orders.values())
    if is_nested:
        pool = sorted({order.root: book.orders[order.root] for order in every}.values(), key=lambda order: order.seq)
    else:
        pool = [order for order in every if status != "open" or order.status is not OrderStatus.HELD]
    rows = [order for order in _selected(exchange, request, pool) if status != "closed" or _is_over(exchange, order, is_nested)]
    if not ascending:
        rows.reverse()
    return answer([order_row(order, book.group(order) if is_nested else ()) for order in rows[:limit]])


def _is_over(exchange: Exchange, order: Order, is_nested: bool) -> bool:
    return not any(one.is_open for one in (exchange.venue.book.group(order) if is_nested else [order]))


def _selected(exchange: Exchange, request: ApiRequest, pool: list[Order]) -> Iterator[Order]:
    after, until = request.instant("after"), request.instant("until")
    low, high = _neighbour(exchange, request, "after_order_id"), _neighbour(exchange, request, "before_order_id")
    if low is not None and high is not None:
        raise RefusedByVenue(refusals.EXCLUSIVE_PARAMETERS, one="after_order_id", other="before_order_id")
    if (low or high) and (after or until):
        raise RefusedByVenue(refusals.EXCLUSIVE_PARAMETERS, one="order ids", other="after or until")
    symbols = frozenset(request.words("symbols"))
    side = request.query.get("side")
    for order in pool:
        if (
            (after is None or order.submitted_at > after)
            and (until is None or order.submitted_at < until)
            and (low is None or order.seq > low.seq)
            and (high is None or order.seq < high.seq)
            and (not symbols or order.symbol in symbols)
            and (not side or order.side == side)
        ):
            yield order


def _neighbour(exchange: Exchange, request: ApiRequest, name: str) -> Order | None:
    given = request.query.get(name)
    return _order(exchange, given) if given else None


def get_order(exchange: Exchange, request: ApiRequest, order_id: str) -> ApiResponse:
    """GET /v2/orders/{order_id}."""
    found = _order(exchange, order_id)
    return _whole(exchange, found) if request.flag("nested") else answer(order_row(found))


def get_by_client_id(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/orders:by_client_order_id."""
    given = request.query.get("client_order_id", "")
    book = exchange.venue.book
    if given not in book.by_client_id:
        raise RefusedByVenue(refusals.ORDER_UNKNOWN, _id=given)
    return answer(order_row(book.orders[book.by_client_id[given]]))


def cancel_order(exchange: Exchange, request: ApiRequest, order_id: str) -> ApiResponse:
    """DELETE /v2/orders/{order_id}."""
    cancel(exchange.venue, _order(exchange, order_id))
    return NO_CONTENT


def cancel_all(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """DELETE /v2/orders: one row an open order, with the status that its own cancellation would have had."""
    rows = []
    book = exchange.venue.book
    for order in book.open_orders():
        try:
            if book.orders[order.id].is_open:  # one of a group ends the others
                cancel(exchange.venue, order)
            rows.append({"id": order.id, "status": 200})
        except RefusedByVenue as refused:
            rows.append({"id": order.id, "status": refused.refusal.status})
    return answer(rows, 207)


def replace(exchange: Exchange, request: ApiRequest, order_id: str) -> ApiResponse:
    """PATCH /v2/orders/{order_id}."""
    return _whole(exchange, replace_order(exchange.venue, _order(exchange, order_id), request.json()))


def _whole(exchange: Exchange, order: Order) -> ApiResponse:
    return answer(order_row(order, exchange.venue.book.group(order)))


def _order(exchange: Exchange, order_id: str) -> Order:
    found = exchange.venue.book.orders.get(order_id)
    if found is None:
        raise RefusedByVenue(refusals.ORDER_UNKNOWN, _id=order_id)
    return found
