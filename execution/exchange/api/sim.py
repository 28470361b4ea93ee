"""Endpoints of the simulation itself: clock, log, halts, borrow, closures, faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING

from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.core.desk import touch
from execution.exchange.core.wire import instant
from execution.exchange.protocol import refusals
from execution.exchange.protocol.faults import Fault
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import RefusedByVenue
from signals.config import parse
from signals.errors import BadConfig
from signals.market.sessions import NEW_YORK
from signals.text.strict_json import Json

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

LOG_ROWS_MAX = 10**12
FAULTS_MAX = 10_000
TOLD_MAX = 200


def clock(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /_sim/clock."""
    now = exchange.now
    return answer(
        {
            "now": instant(now),
            "new_york": now.astimezone(NEW_YORK).isoformat(),
            "virtual": isinstance(exchange.clock, ExchangeVirtualClock),
            "trading_day": exchange.venue.market.trading_day(now).isoformat(),
            "data_ends": instant(exchange.venue.market.ends()),
        }
    )


def advance(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /_sim/advance {"to": ISO 8601}: everything due by then happens before the answer."""
    if not isinstance(exchange.clock, ExchangeVirtualClock):
        raise RefusedByVenue(refusals.CLOCK_NOT_VIRTUAL)
    to = _instant(request.json(), "to")
    last = exchange.venue.market.calendar.sessions[-1]
    if to >= last.open:
        raise RefusedByVenue(refusals.CALENDAR_ENDS, last=last.day.isoformat())
    if to < exchange.now:
        raise RefusedByVenue(refusals.CLOCK_BACKWARDS, now=str(instant(exchange.now)))
    exchange.advance(to)
    return clock(exchange, request)


def log(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /_sim/log: requests in the order of arrival; `method` and `after` (a sequence number) select."""
    method, after = request.query.get("method"), request.count("after", 0, LOG_ROWS_MAX)
    rows = [row for row in exchange.venue.book.log if row.seq > after and method in (None, row.method)]
    return answer([{**asdict(row), "at": instant(row.at), "received_at": instant(row.received_at)} for row in rows])


def halt(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /_sim/halt {"symbol": S, "halted": bool}: a halted name does not trade; resuming meets the last price."""
    symbol, halted = _symbol_and_flag(request.json(), "halted")
    venue = exchange.venue
    venue.book.set_fact("halted", venue.book.halted | {symbol} if halted else venue.book.halted - {symbol})
    if not halted:
        for order in venue.book.open_orders_of(symbol):
            touch(venue, order)
    return answer({"halted": sorted(venue.book.halted)})


def borrow(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /_sim/borrow {"symbol": S, "hard": bool}: open short sales of what became hard fall before the next open."""
    symbol, hard = _symbol_and_flag(request.json(), "hard")
    book = exchange.venue.book
    book.set_fact("hard_to_borrow", book.hard_to_borrow | {symbol} if hard else book.hard_to_borrow - {symbol})
    return answer({"hard_to_borrow": sorted(book.hard_to_borrow)})


def closure(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /_sim/closure {"session": D}: an unscheduled closure; what waited for D only is cancelled, with the reason.

    Orders good until cancelled go on waiting. D must not have opened yet.
    """
    given = str(request.json().get("session") or "")
    day = ApiRequest("POST", "", {"session": given}).day("session")
    if day is None or not _is_ahead(exchange, day):
        raise RefusedByVenue(refusals.NOT_TO_CLOSE, day=given)
    ended = exchange.strike(day)
    rows = [
        {
            "id": order.id,
            "client_order_id": order.client_order_id,
            "time_in_force": order.time_in_force.value,
            "status": order.status.value,
            "reason": f"the exchange does not open on {day}",
        }
        for order in ended
    ]
    return answer({"closures": sorted(map(str, exchange.venue.book.closures)), "ended": rows})


def _is_ahead(exchange: Exchange, day: date) -> bool:
    """Whether `day` is a session that has yet to open and has another behind it."""
    calendar = exchange.venue.market.calendar
    return calendar.is_session(day) and exchange.now < calendar.session(day).open < calendar.sessions[-1].open


def _symbol_and_flag(body: Mapping[str, Json], flag: str) -> tuple[str, bool]:
    symbol, value = body.get("symbol"), body.get(flag)
    if not isinstance(symbol, str) or not isinstance(value, bool):
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=f"symbol or {flag}", given=str(dict(body)))
    return symbol, value


def _instant(body: Mapping[str, Json], name: str) -> datetime:
    found = ApiRequest("POST", "", {name: str(body.get(name) or "")}).instant(name)
    if found is None:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=name, given="")
    return found


def list_faults(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /_sim/faults: the script and what struck."""
    script = exchange.faults
    rows = [row.model_dump(mode="json") for row in script.rows]
    strikes = [{"row": s.row, "kind": s.kind, "method": s.method, "path": s.path} for s in script.strikes]
    return answer({"script": rows, "strikes": strikes})


def arm_faults(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """POST /_sim/faults {"faults": [...]}: add rows to the script."""
    given = request.json().get("faults", [])
    if not isinstance(given, list) or len(given) + len(exchange.faults.rows) > FAULTS_MAX:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter="faults", given=str(given)[:TOLD_MAX])
    try:
        rows = [parse(row, Fault, where="faults") for row in given]
    except BadConfig as error:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter="faults", given=str(error)) from None
    exchange.faults.arm(rows)
    return list_faults(exchange, request)


def clear_faults(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """DELETE /_sim/faults."""
    exchange.faults.clear()
    return list_faults(exchange, request)
