"""Order checks of the venue: one rule per function, in the order of `CHECKS`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from execution.exchange.config import ExchangeConfig
from execution.exchange.core.accounts import Valuation, hold_price, value
from execution.exchange.core.assets import Listing, listing
from execution.exchange.core.book import AccountBook
from execution.exchange.core.groups import alternatives_once
from execution.exchange.core.wire import plain
from execution.exchange.market.market import MarketData
from execution.exchange.orders.order import OCO, Order
from execution.exchange.protocol import refusals
from execution.exchange.protocol.draft import Draft
from execution.exchange.protocol.refusals import RefusedByVenue
from execution.orders import OrderStatus, OrderType, Side, TimeInForce

SHORT_MINIMUM_EQUITY = Decimal(2000)
NOTIONAL_MINIMUM = Decimal(1)
LEAST_DISTANCE = Decimal("0.01")  # of an exit from the price
NO_COLLAR = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


@dataclass(frozen=True)
class CheckContext:
    """Facts that the rules may use."""

    book: AccountBook
    market: MarketData
    config: ExchangeConfig
    now: datetime
    replacing: Order | None = None  # its reservation and its shares count as free

    def others(self, symbol: str) -> list[Order]:
        """Orders of `symbol` that may fill, but the one that is being replaced and those of its group."""
        mine = self.replacing.root if self.replacing else ""
        return [order for order in self.book.open_orders_of(symbol) if order.root != mine and order.status is not OrderStatus.HELD]

    def asset(self, symbol: str) -> Listing:
        """Return the asset of `symbol`, or refuse."""
        found = listing(symbol, self.book, self.market, self.config, self.now)
        if found is None:
            raise RefusedByVenue(refusals.ASSET_UNKNOWN, symbol=symbol)
        return found

    @cached_property
    def valuation(self) -> Valuation:
        """The account now."""
        return value(self.book, self.market, self.config, self.now)

    @property
    def free_buying_power(self) -> Decimal:
        """Buying power, with that of the order being replaced given back."""
        return self.valuation.buying_power + (self.replacing.reserved if self.replacing else Decimal(0))

    def price(self, symbol: str) -> Decimal:
        """Newest price of `symbol`, or refuse."""
        last = self.market.last_price(symbol, self.now)
        if last is None:
            raise RefusedByVenue(refusals.NO_PRICE, symbol=symbol)
        return last


def intent_of(draft: Draft, book: AccountBook) -> str:
    """Return the position intent that the side and the holding imply."""
    held = book.quantity(draft.symbol)
    if draft.side is Side.BUY:
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def check(draft: Draft, context: CheckContext) -> None:
    """Raise `RefusedByVenue` for the first rule that `draft` breaks."""
    for rule in CHECKS:
        rule(draft, context)


def _trading_allowed(draft: Draft, context: CheckContext) -> None:
    if context.book.settings.suspend_trade:
        raise RefusedByVenue(refusals.TRADING_BLOCKED)


def _client_id_is_new(draft: Draft, context: CheckContext) -> None:
    if draft.client_order_id in context.book.by_client_id:
        raise RefusedByVenue(refusals.CLIENT_ORDER_ID_TAKEN)


def _asset_tradable(draft: Draft, context: CheckContext) -> None:
    asset = context.asset(draft.symbol)
    if not asset.is_active:
        raise RefusedByVenue(refusals.ASSET_INACTIVE, symbol=draft.symbol)
    if not asset.is_tradable:
        raise RefusedByVenue(refusals.ASSET_NOT_TRADABLE, symbol=draft.symbol)
    context.price(draft.symbol)


def _fractional_allowed(draft: Draft, context: CheckContext) -> None:
    if not draft.is_fractional:
        return
    if not context.book.settings.fractional_trading:
        raise RefusedByVenue(refusals.FRACTIONAL_OFF)
    if not context.asset(draft.symbol).is_fractionable:
        raise RefusedByVenue(refusals.NOT_FRACTIONABLE, symbol=draft.symbol)
    if draft.type is not OrderType.MARKET and context.config.fractional_market_only:
        raise RefusedByVenue(refusals.NOTIONAL_MARKET if draft.notional else refusals.FRACTIONAL_TYPE)
    if draft.type is OrderType.TRAILING_STOP:
        raise RefusedByVenue(refusals.FRACTIONAL_TYPE)
    if intent_of(draft, context.book) == "sell_to_open":
        raise RefusedByVenue(refusals.FRACTIONAL_SHORT)
    if draft.notional is not None and draft.notional < NOTIONAL_MINIMUM:
        raise RefusedByVenue(refusals.NOTIONAL_SMALL, minimum=plain(NOTIONAL_MINIMUM))


def _intent_is_true(draft: Draft, context: CheckContext) -> None:
    implied = intent_of(draft, context.book)
    if draft.position_intent not in ("", implied):
        raise RefusedByVenue(refusals.INTENT_CONTRADICTS, given=draft.position_intent, **{"is": implied})


def _notional_beside_closing(draft: Draft, context: CheckContext) -> None:
    outside = context.market.session_now(context.now) is None
    if draft.notional is None or draft.side is Side.BUY or not outside:
        return
    if any(order.side is Side.SELL and order.notional is None for order in context.others(draft.symbol)):
        raise RefusedByVenue(refusals.NOTIONAL_WHILE_CLOSING)


def _stop_on_its_side(draft: Draft, context: CheckContext) -> None:
    if draft.stop_price is None or context.market.session_now(context.now) is None:
        return
    last = context.price(draft.symbol)
    if draft.side.sign * (draft.stop_price - last) < 0:
        relation = "above" if draft.side is Side.BUY else "below"
        raise RefusedByVenue(refusals.STOP_LIMIT_ORDER, relation=relation, current=plain(last))


def _group_fits(draft: Draft, context: CheckContext) -> None:
    """An entry with exits around its price, or exits of a holding: the profit on one side of the price, the loss on the other."""
    if draft.order_class == "simple":
        return
    is_exit = intent_of(draft, context.book).endswith("to_close")
    if is_exit != (draft.order_class == OCO):
        raise RefusedByVenue(refusals.EXIT_ORDER if draft.order_class == OCO else refusals.ENTRY_ORDER, **{"class": draft.order_class})
    base = None if is_exit else draft.limit_price
    base = context.price(draft.symbol) if base is None else base
    up = draft.side.sign if not is_exit else -draft.side.sign
    wanted = (("take_profit.limit_price", None if is_exit else draft.take_profit, up), ("stop_loss.stop_price", draft.stop_loss, -up))
    for field, price, sign in wanted:
        if price is not None and sign * (price - base) < LEAST_DISTANCE:
            relation, beside = (">=", "+") if sign > 0 else ("<=", "-")
            raise RefusedByVenue(refusals.LEG_TOO_NEAR, field=field, relation=relation, _sign=beside, base_price=plain(base))


def _no_wash_trade(draft: Draft, context: CheckContext) -> None:
    for order in context.others(draft.symbol):
        if order.side is not draft.side and _crosses(draft, order):
            raise RefusedByVenue(
                refusals.WASH_TRADE, existing_order_id=order.id, reject_reason=f"opposite side {order.type.value} order exists"
            )


def _crosses(draft: Draft, order: Order) -> bool:
    if draft.type not in NO_COLLAR or order.type not in NO_COLLAR:
        return True  # a market or stop order has no price at which it would not meet the other
    assert draft.limit_price is not None and order.limit_price is not None
    return draft.side.sign * (draft.limit_price - order.limit_price) >= 0


def _enough_shares(draft: Draft, context: CheckContext) -> None:
    intent = intent_of(draft, context.book)
    if not intent.endswith("to_close"):
        return
    existing = abs(context.book.quantity(draft.symbol))
    closing = alternatives_once(context.others(draft.symbol))
    held = sum((_shares(order, context) for order in closing if order.side is draft.side), Decimal(0))
    wanted = draft.quantity
    if wanted is None:
        assert draft.notional is not None
        wanted = draft.notional / context.price(draft.symbol)
    if wanted > existing - held:
        raise RefusedByVenue(
            refusals.INSUFFICIENT_QTY,
            _requested=plain(wanted),
            available=plain(existing - held),
            existing_qty=plain(existing),
            held_for_orders=plain(held),
            symbol=draft.symbol,
        )


def _shares(order: Order, context: CheckContext) -> Decimal:
    if order.quantity is not None:
        return order.remaining
    assert order.notional is not None
    return order.notional / context.price(order.symbol)


def _short_allowed(draft: Draft, context: CheckContext) -> None:
    if intent_of(draft, context.book) != "sell_to_open":
        return
    if context.book.settings.no_shorting or context.config.multiplier < 2:
        raise RefusedByVenue(refusals.SHORT_NOT_ALLOWED)
    if context.valuation.equity < SHORT_MINIMUM_EQUITY:
        raise RefusedByVenue(refusals.SHORT_EQUITY)
    asset = context.asset(draft.symbol)
    if asset.is_shortable and not asset.is_easy_to_borrow and draft.time_in_force is not TimeInForce.DAY:
        raise RefusedByVenue(refusals.HTB_DAY_ONLY, symbol=draft.symbol)
    if not asset.is_easy_to_borrow:
        raise RefusedByVenue(refusals.SHORT_ASSET, symbol=draft.symbol)


def _enough_buying_power(draft: Draft, context: CheckContext) -> None:
    if not intent_of(draft, context.book).endswith("to_open"):
        return
    held = hold_price_of(draft, context)
    cost = draft.notional if draft.quantity is None else draft.quantity * held
    assert cost is not None
    free = context.free_buying_power
    if cost > free:
        raise RefusedByVenue(refusals.INSUFFICIENT_BUYING_POWER, buying_power=plain(free), cost_basis=plain(cost))


def hold_price_of(draft: Draft, context: CheckContext) -> Decimal:
    """Price per share at which `draft` would be held against buying power."""
    last = context.price(draft.symbol)
    return hold_price(draft.side, draft.limit_price, draft.stop_price, last, context.config.market_collar)


CHECKS: tuple[Callable[[Draft, CheckContext], None], ...] = (
    _trading_allowed,
    _client_id_is_new,
    _asset_tradable,
    _intent_is_true,
    _fractional_allowed,
    _notional_beside_closing,
    _stop_on_its_side,
    _group_fits,
    _no_wash_trade,
    _enough_shares,
    _short_allowed,
    _enough_buying_power,
)
