"""Account arithmetic: equity, buying power, margin, and the effect of a fill.

    equity       = cash + sum(quantity x mark)
    buying power = multiplier x equity - sum(|quantity| x mark) - reserved        (never below 0)

Regulation T at multiplier 2; at multiplier 1 the same line, less the proceeds of sales that have not settled, is the
settled cash. `reserved` is what open orders that open positions would need: buys and short sales at their limit, else
at the last price plus the collar. Open sells of longs replenish nothing until they are filled.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from execution.exchange.config import ExchangeConfig
from execution.exchange.core.book import AccountBook, ActivityRow, ExchangePosition
from execution.exchange.market.market import MarketData
from execution.exchange.orders.order import Order
from execution.orders import CENT, Fill, Side
from signals.market.sessions import NEW_YORK

MAINTENANCE_LONG = Decimal("0.25")  # FINRA rule 4210, shares of the market value
MAINTENANCE_SHORT = Decimal("0.30")
T_PLUS_1, T_PLUS_2 = 1, 2  # settlement lag of US equities, sessions
T_PLUS_1_SINCE = date(2024, 5, 28)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Valuation:
    """The account at an instant; USD."""

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    reserved: Decimal
    unsettled: Decimal
    multiplier: int

    @property
    def equity(self) -> Decimal:
        """Cash and marked positions."""
        return self.cash + self.long_value + self.short_value

    @property
    def gross(self) -> Decimal:
        """Longs and shorts, both counted positive."""
        return self.long_value - self.short_value

    @property
    def buying_power(self) -> Decimal:
        """Value of positions that may still be opened."""
        return max(ZERO, self.multiplier * self.equity - self.gross - self.reserved - self.unsettled)

    @property
    def initial_margin(self) -> Decimal:
        """Equity that the positions bind."""
        return self.gross / self.multiplier

    @property
    def maintenance_margin(self) -> Decimal:
        """Equity below which a margin call would come."""
        return MAINTENANCE_LONG * self.long_value - MAINTENANCE_SHORT * self.short_value


def mark_of(holding: ExchangePosition, market: MarketData, now: datetime) -> Decimal:
    """Newest known price of a position; its entry price when the market has never shown one."""
    return market.last_price(holding.symbol, now) or holding.average_price


def value(book: AccountBook, market: MarketData, config: ExchangeConfig, now: datetime) -> Valuation:
    """Value the account with the prices known at `now`."""
    multiplier = min(config.multiplier, int(book.settings.max_margin_multiplier))
    values = [holding.quantity * mark_of(holding, market, now) for holding in book.holdings.values()]
    return Valuation(
        book.cash,
        sum((v for v in values if v > 0), ZERO).quantize(CENT),
        sum((v for v in values if v < 0), ZERO).quantize(CENT),
        book.reserved.quantize(CENT),
        unsettled_proceeds(book, market, now) if multiplier == 1 else ZERO,
        multiplier,
    )


def unsettled_proceeds(book: AccountBook, market: MarketData, now: datetime) -> Decimal:
    """USD of sales whose settlement session has not come: a cash account may not spend it yet."""
    days = market.calendar.days
    today = bisect_right(days, market.trading_day(now)) - 1
    total = ZERO
    for entry in reversed(book.entries):
        lag = T_PLUS_1 if entry.day >= T_PLUS_1_SINCE else T_PLUS_2
        if bisect_right(days, entry.day) - 1 + lag <= today:
            break
        if entry.side is Side.SELL:
            total += entry.net_amount
    return total


def hold_price(side: Side, limit: Decimal | None, stop: Decimal | None, last: Decimal, collar: Decimal) -> Decimal:
    """Price per share at which an order that opens a position is held against buying power."""
    collared = last * (1 + collar)
    if side is Side.BUY:
        return limit or max(collared, stop or ZERO)
    return max(collared, limit or ZERO)


def settle(book: AccountBook, fill: Fill, order: Order) -> None:
    """Book one fill of `order` (already in its newest form): cash, position, activity."""
    book.pay(fill.cash)
    held = book.holdings.get(fill.symbol, ExchangePosition(fill.symbol, ZERO, ZERO))
    book.hold(_after(held, fill))
    book.record(
        ActivityRow(
            fill.id,
            "FILL",
            fill.at,
            fill.at.astimezone(NEW_YORK).date(),
            fill.symbol,
            fill.quantity,
            fill.price,
            fill.cash,
            fill.side,
            order.id,
            order.status.value,
            order.filled_quantity,
            order.remaining,
        )
    )


def _after(held: ExchangePosition, fill: Fill) -> ExchangePosition:
    signed = fill.side.sign * fill.quantity
    total = held.quantity + signed
    if held.quantity * signed >= 0:  # opens or enlarges: the mean moves
        average = (held.cost + signed * fill.price) / total
    elif held.quantity * total >= 0:  # shrinks: the mean stays
        average = held.average_price
    else:  # through zero: only the new side counts
        average = fill.price
    return ExchangePosition(held.symbol, total, average)
