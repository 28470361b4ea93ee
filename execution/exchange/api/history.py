"""Endpoint of portfolio history: daily equity at each close."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

from execution.exchange.protocol import query
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import BAD_QUERY, RefusedByVenue
from signals.market.sessions import NEW_YORK

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

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
    last = query.day(request, "end") or query.day(request, "date_end") or today
    start = query.day(request, "start")
    if start is not None:
        return start, last
    period = request.query.get("period") or DEFAULT_PERIOD
    if period == "all":
        return date.min, last
    found = PERIOD.fullmatch(period)
    if found is None:
        raise RefusedByVenue(BAD_QUERY, parameter="period", given=period)
    return last - timedelta(days=int(found[1]) * DAYS[found[2]]), last
