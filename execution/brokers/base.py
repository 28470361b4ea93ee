"""The `Broker` protocol: everything that the order path asks of a broker.

What may be asked again (everything that only reads) raises `BrokerUnreachable` when it cannot be answered; an
unanswered report is never an empty one. What must not be repeated (`submit`, `cancel`) is sent exactly once and
answers with what is proven, or with `Unknown`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from execution.orders import BrokerOrder, Intent
from signals.market.sessions import Session

PAPER_URL = "https://paper-api.alpaca.markets"


@dataclass(frozen=True)
class Account:
    """The account as the broker reports it; money in USD."""

    id: str
    number: str
    status: str
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    buying_power: Decimal
    multiplier: Decimal
    is_blocked: bool
    shorting_enabled: bool


@dataclass(frozen=True)
class Position:
    """A holding; `quantity` is negative for a short, `last_close` the broker's close of the session before."""

    symbol: str
    quantity: Decimal
    average_entry_price: Decimal
    current_price: Decimal | None
    last_close: Decimal | None = None


@dataclass(frozen=True)
class Asset:
    """Permissions of a symbol at the broker."""

    symbol: str
    is_tradable: bool
    is_shortable: bool
    is_easy_to_borrow: bool
    is_fractionable: bool


@dataclass(frozen=True)
class BrokerClock:
    """The broker's own time."""

    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True)
class Activity:
    """One account activity: a fill (`FILL`) or what moved cash or shares without a trade (`SPLIT`, `NC`, `DIV`, ...).

    `quantity` and `price` are None where the kind has none; `net_amount` is the cash effect in USD.
    """

    id: str
    kind: str
    symbol: str
    day: date
    at: datetime | None
    quantity: Decimal | None
    price: Decimal | None
    net_amount: Decimal
    side: str
    order_id: str
    description: str


@dataclass(frozen=True)
class Acked:
    """The broker has the order."""

    order: BrokerOrder


@dataclass(frozen=True)
class Refused:
    """The broker definitively does not have the order: a documented refusal."""

    status: int
    code: int
    message: str


@dataclass(frozen=True)
class Unknown:
    """The request may have reached the broker: only a look-up shows.

    Attributes
    ----------
    is_taken : bool
        The broker says that it has an order of this client order id already.
    """

    reason: str
    is_taken: bool = False


Submission = Acked | Refused | Unknown


class Broker(Protocol):
    """Interface of a broker for the order path."""

    def account(self) -> Account:
        """Return the account."""

    def clock(self) -> BrokerClock:
        """Return the broker's time."""

    def calendar(self, first: date, last: date) -> tuple[Session, ...]:
        """Return the broker's sessions in the closed interval."""

    def assets(self) -> dict[str, Asset]:
        """Return every active US equity by symbol."""

    def positions(self) -> tuple[Position, ...]:
        """Return all holdings, sorted by symbol."""

    def orders(self, *, open_only: bool, after: datetime | None = None) -> tuple[BrokerOrder, ...]:
        """Return all orders submitted after `after`, every page of them, oldest first."""

    def order_of_id(self, order_id: str) -> BrokerOrder | None:
        """Return the order that has the broker's own id, or None when the broker itself says that it has none."""

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, or None when the broker proves that it has none (404)."""

    def activities(self, after: date) -> tuple[Activity, ...]:
        """Return all activities of the days after `after`, every page of them, oldest first."""

    def submit(self, intent: Intent) -> Submission:
        """Send one order, once."""

    def cancel(self, order_id: str) -> bool | None:
        """Ask once to cancel: True accepted, False not cancelable any more, None unknown."""

    def cancel_all(self) -> bool:
        """Ask once to cancel every open order: True when the broker took the request."""
