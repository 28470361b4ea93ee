"""Endpoints of account, configuration, activities, clock, calendar and assets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Any

from execution.exchange.core.assets import find, listing
from execution.exchange.core.book import AccountSettings, ActivityRow
from execution.exchange.core.wire import (
    MARKETS,
    account_id,
    account_row,
    asset_row,
    calendar_row,
    clock_row,
    entry_row,
    market_clock_row,
    market_day_row,
    settings_row,
)
from execution.exchange.protocol import refusals
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import RefusedByVenue
from signals.market.sessions import NEW_YORK

if TYPE_CHECKING:
    from execution.exchange.api.exchange import Exchange

ACTIVITIES_MAX = 100
TRADES = "FILL"
CALENDAR_FIRST, CALENDAR_LAST = date(1970, 1, 1), date(2099, 12, 31)


def account(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/account."""
    venue = exchange.venue
    today = venue.market.trading_day(venue.now)
    marks = [mark for day, mark in venue.book.marks.items() if day < today]
    last = marks[-1].equity if marks else venue.book.opened_with
    asof = marks[-1].day if marks else venue.book.opened_at.astimezone(NEW_YORK).date()
    return answer(account_row(venue.book, venue.worth(), last, asof.isoformat()))


def configurations(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/account/configurations."""
    return answer(settings_row(exchange.venue.book.settings))


def configure(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """PATCH /v2/account/configurations."""
    book, body = exchange.venue.book, request.json()
    changes: dict[str, Any] = {}
    for name, given in body.items():
        current = getattr(book.settings, name, None)
        if name not in AccountSettings.__dataclass_fields__:
            continue  # Alpaca ignores what it does not know
        if type(given) is not type(current):
            raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=name, given=str(given))
        changes[name] = given
    _check_settings(changes)
    book.set_fact("settings", replace(book.settings, **changes))
    return answer(settings_row(book.settings))


def _check_settings(changes: dict[str, object]) -> None:
    allowed = {"max_margin_multiplier": ("1", "2", "4"), "trade_confirm_email": ("all", "none")}
    for name, words in allowed.items():
        if name in changes and changes[name] not in words:
            raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=name, given=str(changes[name]))


def activities(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/account/activities."""
    kinds = frozenset(request.words("activity_types"))
    category = request.word("category", ("", "trade_activity", "non_trade_activity"), "")
    return _activities(exchange, request, kinds, category)


def activities_of_type(exchange: Exchange, request: ApiRequest, kind: str) -> ApiResponse:
    """GET /v2/account/activities/{activity_type}."""
    return _activities(exchange, request, frozenset({kind}), "")


def _activities(exchange: Exchange, request: ApiRequest, kinds: frozenset[str], category: str) -> ApiResponse:
    size = request.count("page_size", ACTIVITIES_MAX, ACTIVITIES_MAX)
    ascending = request.word("direction", ("asc", "desc"), "desc") == "asc"
    entries = exchange.venue.book.entries
    ordered = list(entries) if ascending else list(reversed(entries))
    ordered = _after_token(ordered, request.query.get("page_token"))
    chosen = [entry for entry in ordered if _wanted(entry, kinds, category) and _in_window(entry, request)]
    account = account_id(exchange.venue.book)
    return answer([entry_row(entry, account) for entry in chosen[:size]])


def _after_token(entries: list[ActivityRow], token: str | None) -> list[ActivityRow]:
    if not token:
        return entries
    for position, entry in enumerate(entries):
        if entry.id == token:
            return entries[position + 1 :]
    raise RefusedByVenue(refusals.BAD_QUERY, parameter="page_token", given=token)


def _wanted(entry: ActivityRow, kinds: frozenset[str], category: str) -> bool:
    if category:
        return (entry.kind == TRADES) == (category == "trade_activity")
    return not kinds or entry.kind in kinds


def _in_window(entry: ActivityRow, request: ApiRequest) -> bool:
    after, until, on = request.instant("after"), request.instant("until"), request.day("date")
    return (
        (after is None or entry.at > after)
        and (until is None or entry.at < until)
        and (on is None or entry.at.astimezone(NEW_YORK).date() == on)
    )


def clock(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/clock."""
    return answer(clock_row(exchange.now, exchange.venue.market))


def calendar(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/calendar: the sessions of [start, end]."""
    table = exchange.venue.market.calendar
    first = request.day("start") or CALENDAR_FIRST
    last = request.day("end") or CALENDAR_LAST
    return answer([calendar_row(table.session(day), table) for day in table.between(first, last)])


def market_clocks(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v3/clock: of each market that is asked for, now or at `time`; NYSE and NASDAQ keep the same hours."""
    at, market = request.instant("time") or exchange.now, exchange.venue.market
    if at >= market.calendar.sessions[-1].open:
        raise RefusedByVenue(refusals.CALENDAR_ENDS, last=market.calendar.days[-1].isoformat())
    asked = request.words("markets") or tuple(MARKETS)
    return answer({"clocks": [market_clock_row(_market(name), at, market) for name in asked]})


def market_calendar(exchange: Exchange, request: ApiRequest, name: str) -> ApiResponse:
    """GET /v3/calendar/{market}: the sessions of [start, end], a week from today unless said otherwise."""
    table, acronym = exchange.venue.market.calendar, _market(name)
    first = request.day("start") or exchange.now.astimezone(NEW_YORK).date()
    last = request.day("end") or first + timedelta(days=7)
    zone = UTC if request.word("timezone", ("", "UTC"), "") else NEW_YORK
    days = [market_day_row(table.session(day), table, zone) for day in table.between(first, last)]
    return answer({"market": MARKETS[acronym], "calendar": days})


def _market(name: str) -> str:
    for acronym, market in MARKETS.items():
        if name in (acronym, market["mic"]):
            return acronym
    raise RefusedByVenue(refusals.BAD_QUERY, parameter="market", given=name)


def assets(exchange: Exchange, request: ApiRequest) -> ApiResponse:
    """GET /v2/assets."""
    venue = exchange.venue
    status = request.word("status", ("", "active", "inactive", "all"), "")
    known = (listing(symbol, venue.book, venue.market, venue.config, venue.now) for symbol in venue.market.ever_listed(venue.now))
    rows = [asset_row(asset) for asset in known if asset is not None]
    if request.query.get("asset_class", "us_equity") != "us_equity":
        rows = []
    return answer([row for row in rows if status in ("", "all", row["status"])])


def asset(exchange: Exchange, request: ApiRequest, name: str) -> ApiResponse:
    """GET /v2/assets/{symbol_or_asset_id}."""
    venue = exchange.venue
    found = find(name, venue.book, venue.market, venue.config, venue.now)
    if found is None:
        raise RefusedByVenue(refusals.ASSET_NOT_FOUND, _symbol=name)
    return answer(asset_row(found))
