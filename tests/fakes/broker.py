"""An in-memory `Broker` with a script of faults, and what the order path needs around it.

It keeps its own log of what reached it: tests judge the device by that log, never by the device's record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, auto
from pathlib import Path

from appliance.config import ApplianceConfig, StoresConfig
from appliance.context import Deps
from appliance.controls.latch import Latch
from appliance.ledger import Ledger
from appliance.system.clock import VirtualClock
from appliance.system.ports import Alert
from appliance.system.state_folder import StateFolder
from execution.brokers.base import Account, Acked, Activity, Asset, BrokerClock, Position, Refused, Submission, Unknown
from execution.orders import BrokerOrder, Fill, Intent, OrderStatus, TimeInForce
from signals.errors import BrokerUnreachable, UnknownOrder
from signals.market.sessions import NEW_YORK, Calendar, Session

ACCOUNT = "PA0TEST0042"
ZERO = Decimal(0)


class Crash(BaseException):
    """The process is killed here: nothing may catch it."""


class Fault(Enum):
    """What happens to one POST."""

    NONE = auto()
    DROP_BEFORE = auto()  # never reaches the broker
    DROP_AFTER = auto()  # accepted, the answer is lost
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    REFUSE = auto()
    OTHER_ID = auto()
    UNKNOWN_STATUS = auto()


def weekdays(first: date, count: int) -> Calendar:
    """A calendar of consecutive weekdays, 09:30 to 16:00 New York."""
    days: list[date] = []
    day = first
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return Calendar("TEST", tuple(_session(day) for day in days))


def _session(day: date) -> Session:
    opened, closed = (datetime.combine(day, at, NEW_YORK).astimezone(UTC) for at in (time(9, 30), time(16)))
    return Session(day, opened, closed)


@dataclass
class FakeBroker:
    """A venue in memory: accepts, refuses, loses answers and fills as told.

    `lag` seconds pass before a look-up or a list shows an accepted order. `unreachable` decides, per read, whether the
    broker answers. `is_unique` False lets two orders share a client order id, to prove that we do not rely on luck.
    """

    clock_: VirtualClock
    sessions: Calendar
    prices: dict[str, Decimal]
    cash: Decimal = Decimal(1_000_000)
    fault: Callable[[int], Fault] = lambda number: Fault.NONE
    unreachable: Callable[[int], bool] = lambda number: False
    day_fill: Callable[[Intent], Decimal] = lambda intent: intent.quantity
    lag: float = 0.0
    is_unique: bool = True

    def __post_init__(self) -> None:
        self.held: dict[str, Decimal] = {}
        self.rows: dict[str, BrokerOrder] = {}
        self.news: list[Activity] = []
        self.posts: list[tuple[datetime, Intent]] = []
        self.accepted: list[tuple[datetime, str]] = []
        self.books: list[tuple[datetime, dict[str, Decimal]]] = []  # after each acceptance, all that is open filled
        self.cancelled: list[datetime] = []
        self.reads = 0
        self.status = "ACTIVE"
        self.is_blocked = False
        self.cancel_works = True

    # -- what changes ---------------------------------------------------------------------------------------------

    def submit(self, intent: Intent) -> Submission:
        self.posts.append((self.clock_.now(), intent))
        fault = self.fault(len(self.posts) - 1)
        if fault is Fault.CRASH_BEFORE:
            raise Crash
        if fault is Fault.DROP_BEFORE:
            return Unknown("time-out before accept")
        if fault is Fault.REFUSE:
            return Refused(403, 40310000, "insufficient buying power")
        if fault is Fault.OTHER_ID:
            raise UnknownOrder("the broker acknowledged another order")
        cid = intent.key.client_order_id
        if self.is_unique and any(row.client_order_id == cid for row in self.rows.values()):
            return Unknown("status 422 code 40010001", is_taken=True)
        order = self._accept(intent)
        if fault is Fault.CRASH_AFTER:
            raise Crash
        if fault is Fault.DROP_AFTER:
            return Unknown("time-out after accept")
        if fault is Fault.UNKNOWN_STATUS:
            order = replace(order, status=OrderStatus.UNKNOWN, raw_status="levitating")
            self.rows[order.id] = order
        return Acked(order)

    def _accept(self, intent: Intent) -> BrokerOrder:
        at = self.clock_.now()
        order = BrokerOrder(
            id=f"b{len(self.rows):05d}",
            client_order_id=intent.key.client_order_id,
            symbol=intent.key.symbol,
            side=intent.side,
            type=intent.type,
            time_in_force=intent.time_in_force,
            status=OrderStatus.ACCEPTED,
            raw_status="accepted",
            quantity=intent.quantity,
            filled_quantity=ZERO,
            filled_average_price=None,
            submitted_at=at,
            updated_at=at,
            limit_price=intent.limit_price,
        )
        self.rows[order.id] = order
        self.accepted.append((at, order.client_order_id))
        self.books.append((at, self._all_filled()))
        if intent.time_in_force is TimeInForce.DAY:
            self.fill(order.id, self.day_fill(intent))
        return self.rows[order.id]

    def _all_filled(self) -> dict[str, Decimal]:
        """Signed shares by symbol with every open order filled."""
        shares = dict(self.held)
        for row in self.rows.values():
            if not row.status.is_terminal:
                rest = row.side.sign * (row.quantity - row.filled_quantity)
                shares[row.symbol] = shares.get(row.symbol, ZERO) + rest
        return shares

    def cancel(self, order_id: str) -> bool | None:
        order = self.rows[order_id]
        if order.status.is_terminal:
            return False
        self._end(order, OrderStatus.CANCELED)
        return True

    def cancel_all(self) -> bool:
        self.cancelled.append(self.clock_.now())
        if self.cancel_works:
            for order in list(self.rows.values()):
                if not order.status.is_terminal:
                    self._end(order, OrderStatus.CANCELED)
        return self.cancel_works

    # -- the market -----------------------------------------------------------------------------------------------

    def fill(self, order_id: str, quantity: Decimal) -> None:
        """Fill `quantity` shares more of an order at the symbol's price."""
        order = self.rows[order_id]
        if quantity == 0:
            return
        price, at = self.prices[order.symbol], self.clock_.now()
        filled = order.filled_quantity + quantity
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.PARTIALLY_FILLED
        self.rows[order_id] = replace(
            order, filled_quantity=filled, filled_average_price=price, status=status, raw_status=status.value, updated_at=at
        )
        fill = Fill(f"f{len(self.news):06d}", order_id, order.symbol, order.side, quantity, price, at)
        self.cash += fill.cash
        self.held[order.symbol] = self.held.get(order.symbol, ZERO) + order.side.sign * quantity
        self.news.append(Activity(fill.id, "FILL", order.symbol, self._day(), at, quantity, price, ZERO, order.side.value, order_id, ""))

    def auction(self, share: Callable[[BrokerOrder], Decimal]) -> None:
        """Fill the whole part of a share of each auction order and let the rest expire."""
        for order in list(self.rows.values()):
            if order.time_in_force is TimeInForce.OPG and not order.status.is_terminal:
                self.fill(order.id, (order.quantity * share(order)) // 1)
                if not self.rows[order.id].status.is_terminal:
                    self._end(self.rows[order.id], OrderStatus.EXPIRED)

    def close(self) -> None:
        """The end of the session: what is live expires."""
        for order in list(self.rows.values()):
            if not order.status.is_terminal:
                self._end(order, OrderStatus.EXPIRED)

    def _end(self, order: BrokerOrder, status: OrderStatus) -> None:
        self.rows[order.id] = replace(order, status=status, raw_status=status.value, updated_at=self.clock_.now())

    def act(self, kind: str, symbol: str, shares: Decimal, cash: Decimal = ZERO) -> None:
        """A corporate action: shares and cash move, and an activity says so."""
        self.held[symbol] = self.held.get(symbol, ZERO) + shares
        self.cash += cash
        self.news.append(Activity(f"a{len(self.news):06d}", kind, symbol, self._day(), None, shares, None, cash, "", "", kind))

    def _day(self) -> date:
        return self.clock_.now().astimezone(NEW_YORK).date()

    # -- what only reads ------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        self.reads += 1
        if self.unreachable(self.reads):
            raise BrokerUnreachable("the broker does not answer", where="test")

    def account(self) -> Account:
        self._answer()
        value = sum((q * self.prices[s] for s, q in self.held.items()), ZERO)
        equity = self.cash + value
        return Account("id-1", ACCOUNT, self.status, self.cash, equity, equity, 2 * equity, Decimal(2), self.is_blocked, True)

    def positions(self) -> tuple[Position, ...]:
        self._answer()
        return tuple(
            Position(symbol, held, self.prices[symbol], self.prices[symbol]) for symbol, held in sorted(self.held.items()) if held != 0
        )

    def orders(self, *, open_only: bool, after: datetime | None = None) -> tuple[BrokerOrder, ...]:
        self._answer()
        return tuple(
            row
            for row in sorted(self.rows.values(), key=lambda row: (row.submitted_at, row.id))
            if self._is_visible(row) and not (open_only and row.status.is_terminal) and (after is None or row.submitted_at > after)
        )

    def order(self, client_order_id: str) -> BrokerOrder | None:
        self._answer()
        found = [row for row in self.rows.values() if row.client_order_id == client_order_id and self._is_visible(row)]
        return found[0] if found else None

    def order_of_id(self, order_id: str) -> BrokerOrder | None:
        self._answer()
        row = self.rows.get(order_id)
        return row if row is not None and self._is_visible(row) else None

    def _is_visible(self, row: BrokerOrder) -> bool:
        return (self.clock_.now() - row.submitted_at).total_seconds() >= self.lag

    def activities(self, after: date) -> tuple[Activity, ...]:
        self._answer()
        return tuple(item for item in self.news if item.day > after)

    def calendar(self, first: date, last: date) -> tuple[Session, ...]:
        self._answer()
        return tuple(session for session in self.sessions.sessions if first <= session.day <= last)

    def clock(self) -> BrokerClock:
        self._answer()
        now = self.clock_.now()
        return BrokerClock(now, False, now, now)

    def assets(self) -> dict[str, Asset]:
        self._answer()
        return {symbol: Asset(symbol, True, True, True, True) for symbol in self.prices}


class MemoryFs:
    """Side files in memory: they survive a crash of the process, as synced files do."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.written: list[tuple[str, bytes]] = []
        self.watch: Callable[[str], None] = lambda name: None

    def read(self, path: Path) -> bytes | None:
        return self.files.get(path)

    def write(self, path: Path, content: bytes) -> None:
        self.files[path] = content
        self.written.append((path.name, content))
        self.watch(path.name)

    def remove(self, path: Path) -> None:
        self.files.pop(path, None)

    def rename(self, path: Path, to: Path) -> None:
        if path not in self.files:
            raise FileNotFoundError(path)
        self.write(to, self.files.pop(path))

    def exists(self, path: Path) -> bool:
        return path in self.files

    def head(self, path: Path, size: int) -> bytes:
        return self.files[path][:size]

    def append(self, path: Path, line: bytes) -> None:
        self.files[path] = self.files.get(path, b"") + line + b"\n"


class Inbox:
    """A notifier that keeps what it is given, while its way out is open."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.is_open = True

    def notify(self, alert: Alert) -> bool:
        if self.is_open:
            self.alerts.append(alert)
        return self.is_open


class CrashingLedger(Ledger):
    """A ledger whose process dies at its n-th commit from now: just before it (nothing is kept) or just after."""

    crash_at: int | None = None
    is_after: bool = False
    commits: int = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._connection.in_transaction:
            with super().transaction():
                yield
            return
        self.commits += 1
        dies = self.crash_at is not None and self.commits == self.crash_at
        with super().transaction():
            yield
            if dies and not self.is_after:
                raise Crash
        if dies:
            raise Crash


def deps_of(root: Path, broker: FakeBroker, clock: VirtualClock, calendar: Calendar, fs: MemoryFs, ledger: Ledger, inbox: Inbox) -> Deps:
    """Dependencies of a job around a fake broker; no market store."""
    return Deps(
        config=ApplianceConfig(stores=StoresConfig(data=root, bundles=root)),
        folder=StateFolder(root),
        clock=clock,
        calendar=calendar,
        ledger=ledger,
        latch=Latch(root, fs),
        notifier=inbox,
        fs=fs,
        code_version="test",
        open_market=_no_market,
        open_broker=lambda: broker,
    )


def _no_market() -> object:
    raise AssertionError("a job that sends orders never opens the market store")
