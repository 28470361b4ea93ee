"""Endpoints of market data in Alpaca's shapes, never later than the exchange's clock."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from execution.exchange.core.book import fixed_id
from execution.exchange.core.wire import STAMP_FORMAT, bar_row, instant
from execution.exchange.market.spans import Frame, Span, hours, longer, merged, midnight, print_at, restated, within
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import ASSET_NOT_FOUND, BAD_QUERY, RefusedByVenue
from execution.orders import Side, to_price
from signals.market.actions import Action, ActionKind
from signals.market.sessions import NEW_YORK
from signals.text.strict_json import JsonObject

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

BARS_PAGE, BARS_MAX = 1000, 10_000
ACTIONS_PAGE, ACTIONS_MAX = 100, 1000
RAW, MINUTE = Decimal(1), timedelta(minutes=1)
ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})


def bars(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/stocks/bars: sorted by symbol, then time; the limit counts bars over all symbols."""
    rows, token = _bar_page(exchange, request, request.words("symbols"))
    grouped: dict[str, list[JsonObject]] = {}
    for symbol, row in rows:
        grouped.setdefault(symbol, []).append(row)
    return answer({"bars": grouped, "next_page_token": token, "currency": "USD"})


def symbol_bars(exchange: Exchange, request: ApiRequest, symbol: str) -> ApiResponse:
    """GET /v2/stocks/{symbol}/bars."""
    rows, token = _bar_page(exchange, request, (symbol,))
    return answer({"bars": [row for _, row in rows], "symbol": symbol, "next_page_token": token, "currency": "USD"})


def _bar_page(exchange: Exchange, request: ApiRequest, symbols: tuple[str, ...]) -> tuple[list[tuple[str, JsonObject]], str | None]:
    if not symbols:
        raise RefusedByVenue(BAD_QUERY, parameter="symbols", given="")
    frame = Frame.read(request.query.get("timeframe", ""))
    if frame is None or not _serves(exchange, frame):
        raise RefusedByVenue(BAD_QUERY, parameter="timeframe", given=request.query.get("timeframe", ""))
    limit = request.count("limit", BARS_PAGE, BARS_MAX)
    descending = request.word("sort", ("asc", "desc"), "asc") == "desc"
    first = request.instant("start") or midnight(exchange.now.astimezone(NEW_YORK).date())
    last = request.instant("end") or exchange.now
    meant = _meant(request)
    factor = _adjustment(exchange, request)
    resume = _read_token(request.query.get("page_token"))
    page: list[tuple[str, JsonObject]] = []
    for symbol in sorted(set(symbols)):
        if resume and symbol < resume[0]:
            continue
        found = [bar for bar in _spans(exchange, symbol, frame, (first, last), meant, factor) if first <= bar.start <= last]
        for bar in reversed(found) if descending else found:
            if resume and symbol == resume[0] and not _beyond(bar.start, resume[1], descending):
                continue
            if len(page) == limit:
                return page, _token(page[-1])
            page.append((symbol, bar_row(bar)))
    return page, None


def _serves(exchange: Exchange, frame: Frame) -> bool:
    """Whether there are bars to make `frame` of; minutes are made of whole minute bars."""
    minutes = exchange.venue.market.minutes
    return frame.unit != "T" or (minutes is not None and frame.minutes % minutes.length == 0)


def _spans(
    exchange: Exchange,
    symbol: str,
    frame: Frame,
    between: tuple[datetime, datetime],
    meant: tuple[date | None, bool],
    factor: Callable[[str, date], Decimal],
) -> list[Span]:
    """Return every bar of `frame` that begins in `between`, and perhaps some next to it; none ends after now."""
    market, now = exchange.venue.market, exchange.now
    begin, end = (at.astimezone(NEW_YORK).date() for at in between)
    asof, is_mapped = meant
    inside: dict[date, list[Span]] = {}
    if frame.minutes:
        for day, minutes in market.minute_history(symbol, (begin, end), now, asof=asof, mapped=is_mapped).items():
            parts = [restated(bar, factor(symbol, day)) for bar in minutes]
            inside[day] = list(within(frame, parts, market.calendar.session(day), now))
    made = [span for spans in inside.values() for span in spans]
    if frame.unit == "T":
        return made
    wanted = (frame.first_day(begin), frame.last_day(end))
    together = None if frame.unit in "DH" else lambda day: (frame.first_day(day), factor(symbol, day))
    found = market.history(symbol, wanted, now, asof=asof, mapped=is_mapped, together=together)
    days = [restated(bar, factor(symbol, bar.day)) for bar in found if bar.day not in inside]
    if frame.unit == "D":
        return days
    if frame.unit != "H":
        return list(longer(frame, days))
    made += hours(frame, days, market.calendar.session)
    running = market.session_now(now)
    price = None if running is None or running.day in inside else market.opening(symbol, running.day, now)
    if running is not None and price is not None:
        hour = frame.beginning(running.open)
        if hour + timedelta(minutes=frame.minutes) <= now:
            made.append(print_at(hour, price))
    return sorted(made, key=lambda span: span.start)


def _meant(request: ApiRequest) -> tuple[date | None, bool]:
    """Read `asof`: the day on which the symbols are meant; `-` for the bare symbols, which no name change maps."""
    if request.query.get("asof") == "-":
        return None, False
    return request.day("asof"), True


def _adjustment(exchange: Exchange, request: ApiRequest) -> Callable[[str, date], Decimal]:
    """Return the divisor of prices: splits by now on raw bars; adjusted bars are served as they are."""
    wanted = frozenset(request.words("adjustment")) or frozenset({"raw"})
    if not wanted <= ADJUSTMENTS:
        raise RefusedByVenue(BAD_QUERY, parameter="adjustment", given=request.query.get("adjustment", ""))
    if not wanted & {"split", "all"}:
        return lambda symbol, day: Decimal(1)
    return lambda symbol, day: exchange.venue.market.split_factor(symbol, day, exchange.now)


def _beyond(start: datetime, mark: datetime, descending: bool) -> bool:
    return start < mark if descending else start > mark


def _token(last: tuple[str, JsonObject]) -> str:
    return base64.urlsafe_b64encode(f"{last[0]}|{last[1]['t']}".encode()).decode()


def _read_token(token: str | None) -> tuple[str, datetime] | None:
    if not token:
        return None
    try:
        symbol, stamp = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        return symbol, datetime.strptime(stamp, STAMP_FORMAT).replace(tzinfo=UTC)
    except (ValueError, binascii.Error):
        raise RefusedByVenue(BAD_QUERY, parameter="page_token", given=token) from None


RowSource = Callable[["Exchange", str], "JsonObject | None"]


def of_many(row_of: RowSource, name: str, exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """Answer with the rows of the symbols that are known, as `name` where it is not empty."""
    rows = {symbol: row_of(exchange, symbol) for symbol in request.words("symbols")}
    known = {symbol: row for symbol, row in rows.items() if row is not None}
    return answer({name: known, "currency": "USD"} if name else known)


def of_one(row_of: RowSource, name: str, exchange: Exchange, request: ApiRequest, symbol: str) -> ApiResponse:
    """Answer with the row of one symbol, or refuse."""
    row = row_of(exchange, symbol)
    if row is None:
        raise RefusedByVenue(ASSET_NOT_FOUND, _symbol=symbol)
    return answer({"symbol": symbol, "currency": "USD", **({name: row} if name else row)})


def quote(exchange: Exchange, symbol: str) -> JsonObject | None:
    """Return the last price with half the spread on either side."""
    venue = exchange.venue
    price = venue.market.last_price(symbol, venue.now)
    if price is None:
        return None
    bid, ask = (float(to_price(price * (1 + side.sign * venue.half_spread))) for side in (Side.SELL, Side.BUY))
    return {"t": instant(venue.now), "ax": "N", "ap": ask, "as": 1, "bx": "N", "bp": bid, "bs": 1, "c": ["R"], "z": "A"}


def trade(exchange: Exchange, symbol: str) -> JsonObject | None:
    """Return the last price as a trade."""
    venue = exchange.venue
    price = venue.market.last_price(symbol, venue.now)
    if price is None:
        return None
    return {"t": instant(venue.now), "x": "N", "p": float(price), "s": 1, "c": ["@"], "i": 1, "z": "A"}


def latest_bar(exchange: Exchange, symbol: str) -> JsonObject | None:
    """Return the last closed daily bar."""
    found = exchange.venue.market.latest(symbol, exchange.now, 1)
    return bar_row(restated(found[0], RAW)) if found else None


def snapshot(exchange: Exchange, symbol: str) -> JsonObject | None:
    """Return what is known now: while a session runs its day holds the opening print, or the minutes that are over."""
    venue, market, now = exchange.venue, exchange.venue.market, exchange.now
    asked, last, running = quote(exchange, symbol), trade(exchange, symbol), market.session_now(now)
    if asked is None or last is None:
        return None
    days = [restated(bar, RAW) for bar in market.latest(symbol, now, 2)]
    minutes = [print_at(market.calendar.session(day.start.date()).close - MINUTE, day.close) for day in days]
    price = None if running is None else market.opening(symbol, running.day, venue.now)
    passed = {} if running is None else market.minute_history(symbol, (running.day, running.day), now)
    if running is not None and running.day in passed:
        spans = [restated(bar, RAW) for bar in passed[running.day]]
        days, minutes = [*days, merged(midnight(running.day), spans)], spans
    elif running is not None and price is not None:
        days, minutes = [*days, print_at(midnight(running.day), price)], [*minutes, print_at(running.open, price)]
    rows: JsonObject = {"latestTrade": last, "latestQuote": asked}
    bars = {"minuteBar": minutes[-1:], "dailyBar": days[-1:], "prevDailyBar": days[-2:-1]}
    return {**rows, **{name: bar_row(found[0]) for name, found in bars.items() if found}}


def corporate_actions(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v1/corporate-actions: what is public at `now`, by process date in [start, end]."""
    today = exchange.now.astimezone(NEW_YORK).date()
    first, last = request.day("start") or today, request.day("end") or today
    symbols, types = frozenset(request.words("symbols")), frozenset(request.words("types"))
    limit = request.count("limit", ACTIONS_PAGE, ACTIONS_MAX)
    descending = request.word("sort", ("asc", "desc"), "asc") == "desc"
    found = [
        (family, row)
        for action in exchange.venue.market.announced(exchange.now)
        for family, row in (_action(action),)
        if first <= action.effective <= last
        and (not symbols or {action.symbol, action.new_symbol} & symbols)
        and (not types or family.removesuffix("s") in types)
    ]
    if descending:
        found.reverse()
    start = _action_offset(request.query.get("page_token"), [str(row["id"]) for _, row in found])
    page = found[start : start + limit]
    grouped: dict[str, list[JsonObject]] = {}
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


def _action(action: Action) -> tuple[str, JsonObject]:
    day = action.effective.isoformat()
    row: JsonObject = {"id": fixed_id("action", action.kind, action.symbol, day), "process_date": day}
    dates: JsonObject = {"ex_date": day, "record_date": day, "payable_date": day}  # here everything happens on the effective day
    cusip = fixed_id("cusip", action.symbol).replace("-", "")[:9].upper()
    if action.kind is ActionKind.SPLIT:
        assert action.ratio is not None
        new, old = action.ratio.as_integer_ratio()
        rates: JsonObject = {"symbol": action.symbol, "new_rate": new, "old_rate": old, **dates}
        if new > old:
            return "forward_splits", {**row, **rates, "cusip": cusip}
        return "reverse_splits", {**row, **rates, "old_cusip": cusip, "new_cusip": cusip}
    if action.kind is ActionKind.DIVIDEND:
        assert action.cash is not None
        terms: JsonObject = {"symbol": action.symbol, "cusip": cusip, "rate": float(action.cash), "special": False, "foreign": False}
        return "cash_dividends", {**row, **terms, **dates}
    if action.kind is ActionKind.SYMBOL_CHANGE:
        names: JsonObject = {"old_symbol": action.symbol, "new_symbol": action.new_symbol}
        return "name_changes", {**row, **names, "old_cusip": cusip, "new_cusip": cusip}
    assert action.cash is not None
    if action.cash:
        terms = {"acquiree_symbol": action.symbol, "acquiree_cusip": cusip, "rate": float(action.cash)}
        return "cash_mergers", {**row, **terms, "effective_date": day}
    return "worthless_removals", {**row, "symbol": action.symbol, "cusip": cusip}
