"""The venue context that every operation works on: book, market data, settings, update stream."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from execution.exchange.config import ExchangeConfig
from execution.exchange.core.accounts import Valuation, value
from execution.exchange.core.book import AccountBook, ActivityRow
from execution.exchange.market.market import MarketData
from execution.exchange.orders.order import Order

UPDATES_KEPT = 20_000
HALF_BPS = Decimal(20_000)  # a full spread in basis points over this is half of it as a share of the price


@dataclass(frozen=True)
class Update:
    """One event of the `trade_updates` stream; `entry` is the fill behind a fill event."""

    event: str
    order: Order
    at: datetime
    position_quantity: Decimal
    entry: ActivityRow | None = None


class Updates:
    """The newest updates, numbered from the beginning so that every listener keeps its own place."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: deque[Update] = deque(maxlen=UPDATES_KEPT)

    def append(self, update: Update) -> None:
        """Add one."""
        self._kept.append(update)
        self.count += 1

    def cut(self, count: int) -> None:
        """Drop the newest until `count` are left: what they report was taken back."""
        while self.count > count:
            self._kept.pop()
            self.count -= 1

    def since(self, place: int) -> list[Update]:
        """Return what came after the first `place` updates, as far as it is kept."""
        missing = min(self.count - place, len(self._kept))
        return list(self._kept)[len(self._kept) - missing :] if missing else []


@dataclass(frozen=True)
class ExchangeVenue:
    """One account's exchange without its doors."""

    book: AccountBook
    market: MarketData
    config: ExchangeConfig
    updates: Updates = field(default_factory=Updates)

    @property
    def now(self) -> datetime:
        """The instant up to which everything has happened."""
        return self.book.now

    @property
    def half_spread(self) -> Decimal:
        """Share of the price that a continuous order pays."""
        return Decimal(str(self.config.spread_bps)) / HALF_BPS

    def worth(self) -> Valuation:
        """Value the account now."""
        return value(self.book, self.market, self.config, self.now)

    def notify(self, event: str, order: Order, entry: ActivityRow | None = None) -> None:
        """Append to the stream of updates."""
        self.updates.append(Update(event, order, order.updated_at, self.book.quantity(order.symbol), entry))
