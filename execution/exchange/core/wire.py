"""Builds the JSON bodies of Alpaca's API: decimals as strings, every key present, null for absent values."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal

from execution.exchange.core.accounts import Valuation, mark_of
from execution.exchange.core.assets import Listing, asset_id
from execution.exchange.core.book import AccountBook, AccountSettings, ActivityRow, ExchangePosition, fixed_id
from execution.exchange.core.groups import alternatives_once
from execution.exchange.market.market import MarketData
from execution.exchange.market.spans import Span
from execution.exchange.orders.order import Order
from execution.orders import CENT
from signals.market.sessions import NEW_YORK, Calendar, Session
from signals.text.strict_json import JsonObject

RATIO = Decimal("0.000001")
AVERAGE = Decimal("0.000001")
VENUE = "NYSE"
ORDER_INSTANTS = (
    "created_at",
    "updated_at",
    "submitted_at",
    "filled_at",
    "expired_at",
    "expires_at",
    "canceled_at",
    "failed_at",
    "replaced_at",
)
PRE_BEGINS, POST_ENDS, EARLY_POST_ENDS = time(4), time(20), time(17)
STAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def plain(number: Decimal) -> str:
    """Write a Decimal without exponent and without trailing zeros."""
    if number == 0:
        return "0"
    return format(number.normalize(), "f")


def money(amount: Decimal) -> str:
    """Write USD to the cent."""
    return plain(amount.quantize(CENT, ROUND_HALF_EVEN))


def instant(at: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _optional(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def order_row(order: Order, group: Sequence[Order] = ()) -> JsonObject:
    """Return all 35 keys of an order, with the legs of the `group` that it is the first of."""
    average = order.average_price
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        **{name: instant(getattr(order, name)) for name in ORDER_INSTANTS},
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": order.asset_id,
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": _optional(order.notional),
        "qty": None if order.notional is not None else _optional(order.quantity),
        "filled_qty": plain(order.filled_quantity),
        "filled_avg_price": None if average is None else plain(average.quantize(AVERAGE, ROUND_HALF_EVEN)),
        "order_class": order.order_class,
        "order_type": order.type.value,
        "type": order.type.value,
        "side": order.side.value,
        "position_intent": order.position_intent,
        "time_in_force": order.time_in_force.value,
        "limit_price": _optional(order.limit_price),
        "stop_price": _optional(order.stop_price),
        "status": order.status.value,
        "extended_hours": order.extended_hours,
        "legs": [order_row(leg) for leg in group if leg.parent == order.id] or None,
        "trail_percent": _optional(order.trail_percent),
        "trail_price": _optional(order.trail_price),
        "hwm": _optional(order.high_water),
        "ratio_qty": None,
        "source": None,
        "subtag": None,
    }


def account_row(book: AccountBook, worth: Valuation, last_equity: Decimal, balance_day: str) -> JsonObject:
    """Return the account; the pattern-day-trader fields left Alpaca's responses in 2026 and are absent here."""
    id_ = account_id(book)
    regt = money(worth.buying_power)
    return {
        "id": id_,
        "account_number": account_number(book),
        "status": "ACTIVE",
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "cash": money(worth.cash),
        "equity": money(worth.equity),
        "portfolio_value": money(worth.equity),
        "last_equity": money(last_equity),
        "long_market_value": money(worth.long_value),
        "short_market_value": money(worth.short_value),
        "position_market_value": money(worth.gross),
        "buying_power": regt,
        "regt_buying_power": regt,
        "non_marginable_buying_power": money(max(Decimal(0), worth.equity - worth.gross - worth.reserved)),
        "options_buying_power": "0",
        "options_approved_level": 0,
        "options_trading_level": 0,
        "multiplier": str(worth.multiplier),
        "initial_margin": money(worth.initial_margin),
        "maintenance_margin": money(worth.maintenance_margin),
        "last_maintenance_margin": money(worth.maintenance_margin),
        "sma": "0",
        "accrued_fees": "0",
        "pending_reg_taf_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "intraday_adjustments": "0",
        "balance_asof": balance_day,
        "shorting_enabled": worth.multiplier > 1 and not book.settings.no_shorting,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": book.settings.suspend_trade,
        "created_at": instant(book.opened_at),
    }


def account_id(book: AccountBook) -> str:
    """Return the account's id, a function of the seed."""
    return fixed_id("account", str(book.seed))


def account_number(book: AccountBook) -> str:
    """Return the account's number, `PA` and ten characters of its id."""
    return "PA" + account_id(book).replace("-", "")[:10].upper()


def position_row(holding: ExchangePosition, book: AccountBook, market: MarketData, now: datetime) -> JsonObject:
    """Return a position with its marks."""
    price = mark_of(holding, market, now)
    before = market.previous_close(holding.symbol, now) or holding.average_price
    worth, cost = holding.quantity * price, holding.cost
    gain, today = worth - cost, holding.quantity * (price - before)
    side = 1 if holding.quantity > 0 else -1
    closing = (order for order in alternatives_once(book.open_orders_of(holding.symbol)) if order.side.sign == -side)
    free = abs(holding.quantity) - sum((order.remaining for order in closing), Decimal(0))
    return {
        "asset_id": asset_id(holding.symbol),
        "symbol": holding.symbol,
        "exchange": VENUE,
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": plain(holding.quantity),
        "qty_available": plain(free * side),
        "side": "long" if side > 0 else "short",
        "avg_entry_price": plain(holding.average_price.quantize(AVERAGE, ROUND_HALF_EVEN)),
        "cost_basis": money(cost),
        "market_value": money(worth),
        "unrealized_pl": money(gain),
        "unrealized_plpc": _ratio(gain, abs(cost)),
        "unrealized_intraday_pl": money(today),
        "unrealized_intraday_plpc": _ratio(today, abs(holding.quantity * before)),
        "current_price": plain(price),
        "lastday_price": plain(before),
        "change_today": _ratio(price - before, before),
    }


def _ratio(part: Decimal, whole: Decimal) -> str:
    return plain((part / whole).quantize(RATIO)) if whole else "0"


def asset_row(asset: Listing) -> JsonObject:
    """Return an asset, the deprecated fields that the SDK still asks for included."""
    return {
        "id": asset.id,
        "class": "us_equity",
        "exchange": VENUE,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active" if asset.is_active else "inactive",
        "tradable": asset.is_tradable,
        "marginable": True,
        "shortable": asset.is_shortable,
        "easy_to_borrow": asset.is_easy_to_borrow,
        "borrow_status": "easy_to_borrow" if asset.is_easy_to_borrow else "hard_to_borrow",
        "fractionable": asset.is_fractionable,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "attributes": [],
    }


def entry_row(entry: ActivityRow, account: str) -> JsonObject:
    """Return an activity: a trade, or what moved cash or shares without one."""
    if entry.kind == "FILL":
        assert entry.side is not None and entry.quantity is not None and entry.price is not None
        return {
            "id": entry.id,
            "account_id": account,
            "activity_type": "FILL",
            "transaction_time": instant(entry.at),
            "type": "partial_fill" if entry.leaves else "fill",
            "price": plain(entry.price),
            "qty": plain(entry.quantity),
            "side": entry.side.value,
            "symbol": entry.symbol,
            "leaves_qty": plain(entry.leaves),
            "order_id": entry.order_id,
            "cum_qty": plain(entry.cumulative),
            "order_status": entry.order_status,
        }
    row: JsonObject = {
        "id": entry.id,
        "account_id": account,
        "activity_type": entry.kind,
        "date": entry.day.isoformat(),
        "created_at": instant(entry.at),
        "net_amount": money(entry.net_amount),
        "symbol": entry.symbol,
        "description": entry.description,
        "status": "executed",
        "currency": "USD",
    }
    extras = {"activity_sub_type": entry.sub_kind or None, "qty": _optional(entry.quantity)}
    extras |= {"price": _optional(entry.price), "per_share_amount": _optional(entry.per_share)}
    return {**row, **{name: value for name, value in extras.items() if value is not None}}


def clock_row(now: datetime, market: MarketData) -> JsonObject:
    """Return the venue's time, in New York's offset."""
    running = market.session_now(now)
    close = running.close if running else market.next_session(now).close
    return {
        "timestamp": now.astimezone(NEW_YORK).isoformat(),
        "is_open": running is not None,
        "next_open": market.next_session(now).open.astimezone(NEW_YORK).isoformat(),
        "next_close": close.astimezone(NEW_YORK).isoformat(),
    }


MARKETS = {
    "NYSE": {"acronym": "NYSE", "mic": "XNYS", "name": "New York Stock Exchange", "timezone": "America/New_York"},
    "NASDAQ": {"acronym": "NASDAQ", "mic": "XNAS", "name": "NASDAQ", "timezone": "America/New_York"},
}


def market_clock_row(acronym: str, at: datetime, market: MarketData) -> JsonObject:
    """Return the clock of one market at `at`: the session's phase, and when it ends."""
    following = market.next_session(at)
    today = at.astimezone(NEW_YORK).date()
    phases: list[tuple[str, datetime]] = []
    if market.calendar.is_session(today):
        phases = _phases(market.calendar.session(today))
    phase, until = next(((name, ends) for name, ends in phases if at < ends), ("closed", _phases(following)[0][1]))
    running = market.session_now(at)
    return {
        "market": MARKETS[acronym],
        "timestamp": at.astimezone(NEW_YORK).isoformat(),
        "is_market_day": bool(phases),
        "next_market_open": following.open.astimezone(NEW_YORK).isoformat(),
        "next_market_close": (running or following).close.astimezone(NEW_YORK).isoformat(),
        "phase": phase,
        "phase_until": until.astimezone(NEW_YORK).isoformat(),
    }


def _phases(session: Session) -> list[tuple[str, datetime]]:
    """Return the phases of a business day in order, each with its end."""
    ends = session.at(EARLY_POST_ENDS if session.is_early_close else POST_ENDS)
    return [("closed", session.at(PRE_BEGINS)), ("pre", session.open), ("core", session.close), ("post", ends)]


def market_day_row(session: Session, calendar: Calendar, zone: tzinfo) -> JsonObject:
    """Return one day of a market's calendar, with the times of its phases."""
    (_, pre), (_, opened), (_, closed), (_, ends) = ((name, at.astimezone(zone).isoformat()) for name, at in _phases(session))
    return {
        "date": session.day.isoformat(),
        "pre_start": pre,
        "pre_end": opened,
        "core_start": opened,
        "core_end": closed,
        "post_start": closed,
        "post_end": ends,
        "settlement_date": _settles(session, calendar),
    }


def _settles(session: Session, calendar: Calendar) -> str:
    last = session.day == calendar.days[-1]
    return (session.day if last else calendar.next(session.day)).isoformat()


def calendar_row(session: Session, calendar: Calendar) -> JsonObject:
    """Return one day of the calendar."""
    opened, closed = session.open.astimezone(NEW_YORK), session.close.astimezone(NEW_YORK)
    return {
        "date": session.day.isoformat(),
        "open": f"{opened:%H:%M}",
        "close": f"{closed:%H:%M}",
        "session_open": "0400",
        "session_close": "2000" if not session.is_early_close else "1700",
        "settlement_date": _settles(session, calendar),
    }


def bar_row(bar: Span) -> JsonObject:
    """Return a bar, stamped with its beginning."""
    o, h, l, c = (float(price) for price in (bar.open, bar.high, bar.low, bar.close))  # noqa: E741
    typical = (h + l + c) / 3  # daily bars hold no trades to weight by
    trades = max(1, bar.volume // 100) if bar.volume else 0
    return {
        "t": f"{bar.start.astimezone(UTC):{STAMP_FORMAT}}",
        "o": o,
        "h": h,
        "l": l,
        "c": c,
        "v": bar.volume,
        "n": trades,
        "vw": round(typical, 6),
    }


def settings_row(settings: AccountSettings) -> JsonObject:
    """Return the account configurations."""
    return {name: getattr(settings, name) for name in AccountSettings.__dataclass_fields__}
