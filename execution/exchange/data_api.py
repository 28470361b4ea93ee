"""The endpoints of market data: what the gate lets through, in Alpaca's shapes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from execution.exchange import query
from execution.exchange.book import fixed_id
from execution.exchange.message import Request, Response, answer
from execution.exchange.refusals import BAD_QUERY, RefusedByVenue
from execution.exchange.wire import bar_row, instant
from execution.fills import to_price
from execution.orders import Side
from signals.actions import Action, ActionKind
from signals.sessions import NEW_YORK

if TYPE_CHECKING:
    from execution.exchange.exchange import Exchange

BARS_PAGE, BARS_MAX = 1000, 10_000
ACTIONS_PAGE, ACTIONS_MAX = 100, 1000
DAILY = re.compile(r"1D(ay)?", re.IGNORECASE)
ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})


def bars(exchange: Exchange, request: Request) -> Response:
    """GET /v2/stocks/bars: sorted by symbol, then time; the limit counts bars over all symbols."""
    rows, token = _bar_page(exchange, request, query.words(request, "symbols"))
    grouped: dict[str, list[dict[str, Any]]] = {}
    for symbol, row in rows:
        grouped.setdefault(symbol, []).append(row)
    return answer({"bars": grouped, "next_page_token": token, "currency": "USD"})


def symbol_bars(exchange: Exchange, request: Request, symbol: str) -> Response:
    """GET /v2/stocks/{symbol}/bars."""
    rows, token = _bar_page(exchange, request, (symbol,))
    return answer({"bars": [row for _, row in rows], "symbol": symbol, "next_page_token": token, "currency": "USD"})


def _bar_page(
    exchange: Exchange, request: Request, symbols: tuple[str, ...]
) -> tuple[list[tuple[str, dict[str, Any]]], str | None]:
    if not symbols:
        raise RefusedByVenue(BAD_QUERY, parameter="symbols", given="")
    if not DAILY.fullmatch(request.query.get("timeframe", "")):
        raise RefusedByVenue(BAD_QUERY, parameter="timeframe", given=request.query.get("timeframe", ""))
    limit = query.count(request, "limit", BARS_PAGE, BARS_MAX)
    descending = query.word(request, "sort", ("asc", "desc"), "asc") == "desc"
    first, last = _range(exchange, request)
    mapping = _mapping(request)
    factor = _adjustment(exchange, request)
    resume = _read_token(request.query.get("page_token"))
    page: list[tuple[str, dict[str, Any]]] = []
    for symbol in sorted(set(symbols)):
        if resume and symbol < resume[0]:
            continue
        found = exchange.venue.market.history(symbol, first, last, exchange.now, **mapping)
        for bar in reversed(found) if descending else found:
            if resume and symbol == resume[0] and not _beyond(bar.day, resume[1], descending):
                continue
            if len(page) == limit:
                return page, _token(page[-1])
            page.append((symbol, bar_row(bar, factor(symbol, bar.day))))
    return page, None


def _range(exchange: Exchange, request: Request) -> tuple[date, date]:
    first, last = query.instant(request, "start"), query.instant(request, "end")
    today = exchange.now.astimezone(NEW_YORK).date()
    start = first.astimezone(NEW_YORK) if first else None
    begin = today if start is None else start.date()
    if start is not None and (start.hour, start.minute, start.second, start.microsecond) != (0, 0, 0, 0):
        begin = date.fromordinal(begin.toordinal() + 1)  # a bar is stamped at its New York midnight
    return begin, last.astimezone(NEW_YORK).date() if last else today


def _mapping(request: Request) -> Mapping[str, Any]:
    """Read `asof`: the day on which the symbols are meant, or `-` for the bare symbols."""
    if request.query.get("asof") == "-":
        return {"mapped": False}
    return {"asof": query.day(request, "asof")}


def _adjustment(exchange: Exchange, request: Request) -> Callable[[str, date], Decimal]:
    """Return the divisor of prices: splits by now on raw bars; adjusted bars are served as they are."""
    wanted = frozenset(query.words(request, "adjustment")) or frozenset({"raw"})
    if not wanted <= ADJUSTMENTS:
        raise RefusedByVenue(BAD_QUERY, parameter="adjustment", given=request.query.get("adjustment", ""))
    if not wanted & {"split", "all"}:
        return lambda symbol, day: Decimal(1)
    return lambda symbol, day: exchange.venue.market.split_factor(symbol, day, exchange.now)


def _beyond(day: date, mark: date, descending: bool) -> bool:
    return day < mark if descending else day > mark


def _token(last: tuple[str, dict[str, Any]]) -> str:
    return base64.urlsafe_b64encode(f"{last[0]}|{last[1]['t']}".encode()).decode()


def _read_token(token: str | None) -> tuple[str, date] | None:
    if not token:
        return None
    try:
        symbol, stamp = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        return symbol, date.fromisoformat(stamp[:10])
    except (ValueError, binascii.Error):
        raise RefusedByVenue(BAD_QUERY, parameter="page_token", given=token) from None


def latest_quotes(exchange: Exchange, request: Request) -> Response:
    """GET /v2/stocks/quotes/latest: the last price with half the spread on either side."""
    quotes = {symbol: _quote(exchange, symbol) for symbol in query.words(request, "symbols")}
    return answer({"quotes": {symbol: row for symbol, row in quotes.items() if row is not None}, "currency": "USD"})


def _quote(exchange: Exchange, symbol: str) -> dict[str, Any] | None:
    venue = exchange.venue
    price = venue.market.last_price(symbol, venue.now)
    if price is None:
        return None
    bid, ask = (float(to_price(price * (1 + side.sign * venue.half_spread))) for side in (Side.SELL, Side.BUY))
    return {"t": instant(venue.now), "ax": "N", "ap": ask, "as": 1, "bx": "N", "bp": bid, "bs": 1, "c": ["R"], "z": "A"}


def latest_trades(exchange: Exchange, request: Request) -> Response:
    """GET /v2/stocks/trades/latest."""
    venue, rows = exchange.venue, {}
    for symbol in query.words(request, "symbols"):
        price = venue.market.last_price(symbol, venue.now)
        if price is not None:
            rows[symbol] = {"t": instant(venue.now), "x": "N", "p": float(price), "s": 1, "c": ["@"], "i": 1, "z": "A"}
    return answer({"trades": rows, "currency": "USD"})


def latest_bars(exchange: Exchange, request: Request) -> Response:
    """GET /v2/stocks/bars/latest: the last closed daily bar."""
    venue, rows = exchange.venue, {}
    for symbol in query.words(request, "symbols"):
        found = venue.market.history(symbol, date.min, date.max, venue.now)
        if found:
            rows[symbol] = bar_row(found[-1])
    return answer({"bars": rows, "currency": "USD"})


def corporate_actions(exchange: Exchange, request: Request) -> Response:
    """GET /v1/corporate-actions: what is public at `now`, by process date in [start, end]."""
    today = exchange.now.astimezone(NEW_YORK).date()
    first, last = query.day(request, "start") or today, query.day(request, "end") or today
    symbols, types = frozenset(query.words(request, "symbols")), frozenset(query.words(request, "types"))
    limit = query.count(request, "limit", ACTIONS_PAGE, ACTIONS_MAX)
    descending = query.word(request, "sort", ("asc", "desc"), "asc") == "desc"
    found = [
        (family, row) for action in exchange.venue.market.announced(exchange.now)
        for family, row in (_action(action),)
        if first <= action.effective <= last and (not symbols or {action.symbol, action.new_symbol} & symbols)
        and (not types or family.removesuffix("s") in types)
    ]  # fmt: skip
    if descending:
        found.reverse()
    start = _action_offset(request.query.get("page_token"), [row["id"] for _, row in found])
    page = found[start : start + limit]
    grouped: dict[str, list[dict[str, Any]]] = {}
    for family, row in page:
        grouped.setdefault(family, []).append(row)
    token = page[-1][1]["id"] if start + limit < len(found) else None
    return answer({"corporate_actions": grouped, "next_page_token": token})


def _action_offset(token: str | None, ids: list[str]) -> int:
    if not token:
        return 0
    if token not in ids:
        raise RefusedByVenue(BAD_QUERY, parameter="page_token", given=token)
    return ids.index(token) + 1


def _action(action: Action) -> tuple[str, dict[str, Any]]:
    day = action.effective.isoformat()
    row: dict[str, Any] = {"id": fixed_id("action", action.kind, action.symbol, day), "process_date": day}
    dates = {"ex_date": day, "record_date": day, "payable_date": day}  # here everything happens on the effective day
    cusip = fixed_id("cusip", action.symbol).replace("-", "")[:9].upper()
    if action.kind is ActionKind.SPLIT:
        assert action.ratio is not None
        new, old = action.ratio.as_integer_ratio()
        rates = {"symbol": action.symbol, "new_rate": new, "old_rate": old, **dates}
        if new > old:
            return "forward_splits", row | rates | {"cusip": cusip}
        return "reverse_splits", row | rates | {"old_cusip": cusip, "new_cusip": cusip}
    if action.kind is ActionKind.DIVIDEND:
        assert action.cash is not None
        told = {"symbol": action.symbol, "cusip": cusip, "rate": float(action.cash), "special": False, "foreign": False}
        return "cash_dividends", row | told | dates
    if action.kind is ActionKind.SYMBOL_CHANGE:
        names = {"old_symbol": action.symbol, "new_symbol": action.new_symbol}
        return "name_changes", row | names | {"old_cusip": cusip, "new_cusip": cusip}
    assert action.cash is not None
    if action.cash:
        told = {"acquiree_symbol": action.symbol, "acquiree_cusip": cusip, "rate": float(action.cash)}
        return "cash_mergers", row | told | {"effective_date": day}
    return "worthless_removals", row | {"symbol": action.symbol, "cusip": cusip}
