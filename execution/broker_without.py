"""A broker wrapper that hides names which a person keeps outside the device's book.

Holdings of these names are not reported, their value is no equity, and share changes among their activities change
nothing. Cash that they bring (a dividend) is the account's. An order for one of them is never sent.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from execution.brokers.base import Account, Activity, Asset, Broker, BrokerClock, Position, Submission
from execution.orders import BrokerOrder, Intent
from execution.reconcile import SHARE_KINDS
from signals.errors import BrokerUnreachable, InvariantBroken
from signals.market.sessions import Session


class BrokerWithout:
    """`broker` as if the account did not hold `names`.

    Parameters
    ----------
    names : collection of str
    """

    def __init__(self, broker: Broker, names: Collection[str]) -> None:
        self._broker, self._names = broker, frozenset(names)

    def account(self) -> Account:
        """Return the account, its equity without what the names are worth; raise where one of them has no price.

        Shares that no longer trade are worth their last close, which leaves too little equity rather than too much.
        """
        account = self._broker.account()
        kept = [position for position in self._broker.positions() if position.symbol in self._names]
        prices = [p.last_close if p.current_price is None and p.quantity > 0 else p.current_price for p in kept]
        unpriced = [position.symbol for position, price in zip(kept, prices, strict=True) if price is None]
        if unpriced:
            fix = "Equity without it is not known until the broker prices or removes it; ask the broker"
            raise BrokerUnreachable("the broker names no price of a position that is kept", where=", ".join(unpriced), fix=fix)
        worth = sum((p.quantity * (price or 0) for p, price in zip(kept, prices, strict=True)), Decimal(0))
        before = sum((p.quantity * (p.last_close or price or 0) for p, price in zip(kept, prices, strict=True)), Decimal(0))
        return replace(account, equity=account.equity - worth, last_equity=account.last_equity - before)

    def positions(self) -> tuple[Position, ...]:
        """Return the holdings of other names."""
        return tuple(position for position in self._broker.positions() if position.symbol not in self._names)

    def activities(self, after: date) -> tuple[Activity, ...]:
        """Return the activities; those that change shares of the names change none here."""
        return tuple(
            replace(row, quantity=None) if row.symbol in self._names and row.kind in SHARE_KINDS else row
            for row in self._broker.activities(after)
        )

    def submit(self, intent: Intent) -> Submission:
        """Send one order for another name."""
        if intent.key.symbol in self._names:
            raise InvariantBroken("an order for a name that is kept was about to be sent", where=intent.key.symbol)
        return self._broker.submit(intent)

    def clock(self) -> BrokerClock:
        """Return the broker's time."""
        return self._broker.clock()

    def calendar(self, first: date, last: date) -> tuple[Session, ...]:
        """Return the broker's sessions in the closed interval."""
        return self._broker.calendar(first, last)

    def assets(self) -> dict[str, Asset]:
        """Return every active US equity by symbol."""
        return self._broker.assets()

    def orders(self, *, open_only: bool, after: datetime | None = None) -> tuple[BrokerOrder, ...]:
        """Return all orders submitted after `after`."""
        return self._broker.orders(open_only=open_only, after=after)

    def order_of_id(self, order_id: str) -> BrokerOrder | None:
        """Return the order that has the broker's own id."""
        return self._broker.order_of_id(order_id)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, or None when the broker proves that it has none."""
        return self._broker.order(client_order_id)

    def cancel(self, order_id: str) -> bool | None:
        """Ask once to cancel."""
        return self._broker.cancel(order_id)

    def cancel_all(self) -> bool:
        """Ask once to cancel every open order."""
        return self._broker.cancel_all()
