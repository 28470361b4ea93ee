"""Endpoints of positions, whose closing is an ordinary market order, and of the daily equity at each close."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from execution.exchange.core.assets import find
from execution.exchange.core.book import ExchangePosition
from execution.exchange.core.desk import cancel, place
from execution.exchange.core.wire import order_row, position_row
from execution.exchange.core.working import SHARE_STEP
from execution.exchange.orders.order import Order
from execution.exchange.protocol import refusals
from execution.exchange.protocol.draft import decimal_of, parse
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import BAD_QUERY, RefusedByVenue
from signals.market.sessions import NEW_YORK
from signals.text.strict_json import JsonObject

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

HUNDRED = Decimal(100)


def positions(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/positions, sorted by symbol."""
    venue = exchange.venue
    held = sorted(venue.book.holdings.values(), key=lambda holding: holding.symbol)
    return answer([position_row(holding, venue.book, venue.market, venue.now) for holding in held])


def position(exchange: Exchange, request: ApiRequest, name: str) -> ApiResponse:
    """GET /v2/positions/{symbol_or_asset_id}."""
    venue = exchange.venue
    return answer(position_row(_held(exchange, name), venue.book, venue.market, venue.now))


def close(exchange: Exchange, request: ApiRequest, name: str) -> ApiResponse:
    """DELETE /v2/positions/{symbol_or_asset_id}: all of it, `qty` shares or `percentage` of it."""
    held = _held(exchange, name)
    quantity, percentage = request.query.get("qty"), request.query.get("percentage")
    if quantity and percentage:
        raise RefusedByVenue(refusals.PERCENTAGE_OR_QTY)
    wanted = abs(held.quantity)
    if quantity:
        wanted = decimal_of(quantity, "qty")
    if percentage:
        share = decimal_of(percentage, "percentage") / HUNDRED
        wanted = (wanted * share).quantize(SHARE_STEP, ROUND_DOWN)
    return answer(order_row(_close(exchange, held, wanted)))


def close_all(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """DELETE /v2/positions: one row a position, with the order or the refusal of closing it."""
    venue = exchange.venue
    if request.flag("cancel_orders"):
        for order in venue.book.open_orders():
            if venue.book.orders[order.id].is_open:  # one of a group ends the others
                cancel(venue, order)
    rows: list[JsonObject] = []
    for held in sorted(venue.book.holdings.values(), key=lambda holding: holding.symbol):
        try:
            body: JsonObject = order_row(_close(exchange, held, abs(held.quantity)))
            rows.append({"symbol": held.symbol, "status": 200, "body": body})
        except RefusedByVenue as refused:
            rows.append({"symbol": held.symbol, "status": refused.refusal.status, "body": refused.content})
    return answer(rows, 207)


def _close(exchange: Exchange, held: ExchangePosition, quantity: Decimal) -> Order:
    side = "sell" if held.quantity > 0 else "buy"
    asked: JsonObject = {"symbol": held.symbol, "qty": quantity, "side": side, "type": "market", "time_in_force": "day"}
    return place(exchange.venue, parse(asked))


def _held(exchange: Exchange, name: str) -> ExchangePosition:
    venue = exchange.venue
    asset = find(name, venue.book, venue.market, venue.config, venue.now)
    held = venue.book.holdings.get(asset.symbol) if asset else None
    if held is None:
        raise RefusedByVenue(refusals.POSITION_UNKNOWN)
    return held


PERIOD = re.compile(r"(\d{1,2})([DWMA])")
DAYS = {"D": 1, "W": 7, "M": 31, "A": 366}
DEFAULT_PERIOD = "1M"


def portfolio_history(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/account/portfolio/history; profit and loss count from the equity before the first point."""
    venue = exchange.venue
    first, last = _range(exchange, request)
    before = [mark for day, mark in venue.book.marks.items() if day < first]
    marks = [mark for day, mark in venue.book.marks.items() if first <= day <= last]
    base = before[-1].equity if before else venue.book.opened_with
    opened = venue.book.opened_at.astimezone(NEW_YORK).date()
    return answer(
        {
            "timestamp": [int(venue.market.calendar.session(mark.day).close.timestamp()) for mark in marks],
            "equity": [float(mark.equity) for mark in marks],
            "profit_loss": [float(mark.equity - base) for mark in marks],
            "profit_loss_pct": [round(float((mark.equity - base) / base), 6) if base else 0.0 for mark in marks],
            "base_value": float(base),
            "base_value_asof": (before[-1].day if before else opened).isoformat(),
            "timeframe": "1D",
            "cashflow": {},
        }
    )


def _range(exchange: Exchange, request: ApiRequest) -> tuple[date, date]:
    today = exchange.now.astimezone(NEW_YORK).date()
    last = request.day("end") or request.day("date_end") or today
    start = request.day("start")
    if start is not None:
        return start, last
    period = request.query.get("period") or DEFAULT_PERIOD
    if period == "all":
        return date.min, last
    found = PERIOD.fullmatch(period)
    if found is None:
        raise RefusedByVenue(BAD_QUERY, parameter="period", given=period)
    return last - timedelta(days=int(found[1]) * DAYS[found[2]]), last
