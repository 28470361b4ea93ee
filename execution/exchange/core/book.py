"""The state of one account in memory, with the changes since it was last saved.

The only mutable value of the core. Rules live elsewhere; the book keeps rows, indexes and the record of changes.
"""

import hashlib
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from execution.exchange.orders.order import Order
from execution.orders import Side

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOG_ROWS = 200_000  # kept in memory; the state folder keeps every request that may change something
TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ExchangePosition:
    """A position: signed shares, and their mean entry price in USD."""

    symbol: str
    quantity: Decimal
    average_price: Decimal

    @property
    def cost(self) -> Decimal:
        """Signed USD paid for the shares held."""
        return self.quantity * self.average_price


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """One account activity.

    `quantity` is unsigned for a fill and the signed change of the position for everything else.
    """

    id: str
    kind: str
    at: datetime
    day: date
    symbol: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    net_amount: Decimal = Decimal(0)
    side: Side | None = None
    order_id: str = ""
    order_status: str = ""
    cumulative: Decimal = Decimal(0)
    leaves: Decimal = Decimal(0)
    sub_kind: str = ""
    description: str = ""
    per_share: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountMark:
    """The account at a session's close; USD."""

    day: date
    equity: Decimal
    cash: Decimal
    cash_flow: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Account configurations that a client may patch."""

    suspend_trade: bool = False
    no_shorting: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: str = "2"
    trade_confirm_email: str = "all"
    ptp_no_exception_entry: bool = False
    disable_overnight_trading: bool = False
    max_options_trading_level: int = 0


@dataclass(frozen=True, slots=True)
class LogRow:
    """One request as it arrived, whatever became of it."""

    seq: int
    at: datetime
    received_at: datetime | None
    method: str
    path: str
    query: str
    body: str
    status: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class OwnFlow:
    """What own orders of one symbol traded: net USD as it has faded by `at`, and shares taken of the bar that ends at `minute`."""

    at: datetime
    usd: float
    minute: datetime
    taken: Decimal


@dataclass
class Changes:
    """Changes to be stored before the next answer is sent."""

    orders: set[str] = field(default_factory=set)
    positions: set[str] = field(default_factory=set)
    entries: int = 0
    marks: set[date] = field(default_factory=set)
    log: list[LogRow] = field(default_factory=list)
    facts: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.orders or self.positions or self.entries or self.marks or self.log or self.facts)


class AccountBook:
    """The rows of one account."""

    def __init__(self, cash: Decimal, seed: int, settings: AccountSettings) -> None:
        self.seed = seed
        self.cash = cash
        self.opened_with = cash
        self.settings = settings
        self.now: datetime = EPOCH
        self.opened_at: datetime = EPOCH
        self.last_stamp = EPOCH
        self.counter = 0
        self.orders: dict[str, Order] = {}
        self.reserved = Decimal(0)
        self._open: dict[str, dict[str, None]] = {}
        self._legs: dict[str, dict[str, None]] = {}
        self.by_client_id: dict[str, str] = {}
        self.holdings: dict[str, ExchangePosition] = {}
        self.entries: list[ActivityRow] = []
        self.marks: dict[date, AccountMark] = {}
        self.log: deque[LogRow] = deque(maxlen=LOG_ROWS)
        self.requests = 0
        self.halted: frozenset[str] = frozenset()
        self.hard_to_borrow: frozenset[str] = frozenset()
        self.closures: frozenset[date] = frozenset()
        self.flows: dict[str, OwnFlow] = {}
        self.changes = Changes(facts={"cash", "opened_with", "seed", "settings"})

    # -- reading ------------------------------------------------------------------------------------------------

    def open_orders(self) -> list[Order]:
        """Orders that may still fill, in the order of arrival."""
        found = [self.orders[id_] for ids in self._open.values() for id_ in ids]
        return sorted(found, key=lambda order: order.seq)

    def open_orders_of(self, symbol: str) -> list[Order]:
        """Orders of `symbol` that may still fill, in the order of arrival."""
        return [self.orders[id_] for id_ in self._open.get(symbol, ())]

    def group(self, order: Order) -> list[Order]:
        """The orders that belong together with `order`, the first of them first; itself where it is in no group."""
        return [self.orders[order.root], *(self.orders[id_] for id_ in self._legs.get(order.root, ()))]

    def quantity(self, symbol: str) -> Decimal:
        """Signed shares held; 0 when there is no position."""
        held = self.holdings.get(symbol)
        return held.quantity if held else Decimal(0)

    # -- writing ------------------------------------------------------------------------------------------------

    def put(self, order: Order) -> Order:
        """Keep `order` in its newest form."""
        before = self.orders.get(order.id)
        if before is not None:
            self.reserved -= before.reserved
            self._open[before.symbol].pop(order.id, None)
            if before.parent:
                self._legs[before.parent].pop(order.id, None)
        self.orders[order.id] = order
        self.by_client_id[order.client_order_id] = order.id
        if order.parent:
            self._legs.setdefault(order.parent, {})[order.id] = None
        self.reserved += order.reserved
        ids = self._open.setdefault(order.symbol, {})
        if order.is_open:
            ids[order.id] = None
        self.changes.orders.add(order.id)
        return order

    def hold(self, holding: ExchangePosition) -> None:
        """Keep `holding`, or forget the position when nothing is left of it."""
        if holding.quantity:
            self.holdings[holding.symbol] = holding
        else:
            self.holdings.pop(holding.symbol, None)
        self.changes.positions.add(holding.symbol)

    def record(self, entry: ActivityRow) -> None:
        """Append an account activity."""
        self.entries.append(entry)
        self.changes.entries += 1

    def mark(self, mark: AccountMark) -> None:
        """Keep the account's value at a close."""
        self.marks[mark.day] = mark
        self.changes.marks.add(mark.day)

    def log_request(self, row: LogRow) -> None:
        """Append a request to the log; those that only read are not made durable."""
        self.requests = row.seq
        self.log.append(row)
        if row.method != "GET":
            self.changes.log.append(row)
            self.changes.facts.add("requests")

    def pay(self, amount: Decimal) -> None:
        """Add signed USD to the cash."""
        self.cash += amount
        self.changes.facts.add("cash")

    def set_fact(self, name: str, value: object) -> None:
        """Set one of `now`, `settings`, `halted`, `hard_to_borrow`, `closures`, `flows`."""
        setattr(self, name, value)
        self.changes.facts.add(name)

    def stamp(self) -> datetime:
        """Return an instant at `now` that no earlier stamp bears: paging by time then never loses a row."""
        self.last_stamp = max(self.now, self.last_stamp + TICK)
        self.changes.facts.add("last_stamp")
        return self.last_stamp

    def new_id(self, kind: str) -> str:
        """Return the next UUID (version 4 in form) of the seeded sequence."""
        self.counter += 1
        self.changes.facts.add("counter")
        digest = hashlib.sha256(f"{self.seed}|{kind}|{self.counter}".encode()).digest()[:16]
        return str(uuid.UUID(bytes=digest, version=4))


def fixed_id(*parts: str) -> str:
    """Return the UUID (version 4 in form) that always represents `parts`."""
    return str(uuid.UUID(bytes=hashlib.sha256("|".join(parts).encode()).digest()[:16], version=4))
