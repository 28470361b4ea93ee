"""Reconciliation of our book with the broker's: differences, their causes, and the action. Pure.

Entry point: `reconcile`.

Invariants
----------
1. Expected = agreed before + activities that are not booked yet; nothing else moves shares or cash.
2. An activity counts once: its id decides, neither its order nor how often it is read.
3. A symbol whose shares differ from the expected ones yields exactly one break with both numbers, exactly.
4. Shares moved by a corporate action are no break when its activities account for them exactly, and are one when they
   do not.
5. Cash differs by more than the tolerance: a break. Within it: a note, so that no cent disappears unseen.
6. An order or a fill that is not ours is a break the first time it is seen.
7. An order of ours that the broker does not report, reports without our having sent it, reports twice, over-filled or
   in a status that we do not know, is a break. One that only moved on is a note that asks to be taken over.
8. An order's filled quantity is the sum of its fills.
9. When nothing is a break, the expected shares are the broker's, to the last digit.
10. Shares that enter without a fill are a person's to decide, and a break the first time they are seen, where they came by a
   transfer; and, while a person keeps names out of the book, where none of ours accounts for them: neither a split of what we
   hold, nor as many rows of the same kind and day that took shares of ours out. A kept name may be what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from execution.brokers.base import Activity, Position
from execution.orders import BrokerOrder, Fill, OrderStatus, Side
from signals.errors import UnknownBrokerState

ZERO = Decimal(0)
FILL = "FILL"
# Kinds whose quantity is a signed change of a holding. A dividend's, for one, is only what it was paid on.
SHARE_KINDS = frozenset({"SPLIT", "NC", "SPIN", "MA", "REO", "REORG", "FOPT", "JNLS", "ACATS"})
TRANSFERS = frozenset({"JNLS", "ACATS"})  # somebody moved shares between accounts
EXCHANGES = frozenset({"NC", "MA", "REO", "REORG"})  # shares leave under one name and come back under another


class Cause(StrEnum):
    """Why two books differ."""

    QUANTITY = "quantity"
    CASH = "cash"
    CORPORATE_ACTION = "corporate_action"
    FOREIGN_ORDER = "foreign_order"
    FOREIGN_FILL = "foreign_fill"
    FOREIGN_SHARES = "foreign_shares"
    ORDER_MISSING = "order_missing"
    ORDER_UNEXPECTED = "order_unexpected"
    ORDER_MOVED_ON = "order_moved_on"
    DUPLICATE_ORDER = "duplicate_order"
    OVERFILL = "overfill"
    FILLS_DIFFER = "fills_differ"
    UNKNOWN_STATUS = "unknown_status"


class Remedy(StrEnum):
    """Remedy of a difference."""

    NOTE = "note"
    TAKE_OVER = "take over the broker's report"
    ADOPT_AND_HALT = "record it as the broker reports it and halt"
    CANCEL_AND_HALT = "cancel the newest and halt"
    HALT = "halt and compare with the account"


@dataclass(frozen=True)
class Difference:
    """One difference: `subject` is a symbol, a client order id or `cash`."""

    cause: Cause
    subject: str
    ours: str
    theirs: str
    remedy: Remedy

    @property
    def is_break(self) -> bool:
        """Whether nothing explains it."""
        return self.remedy not in (Remedy.NOTE, Remedy.TAKE_OVER)

    def sentence(self) -> str:
        """One line for a person."""
        return f"{self.cause} {self.subject}: ours {self.ours}, the broker's {self.theirs}"


class OrderState(StrEnum):
    """Where an intent of ours stands, as far as the broker's book is concerned."""

    UNSENT = "unsent"
    LIVE = "live"
    ENDED = "ended"


@dataclass(frozen=True)
class OwnOrder:
    """An order by our record; `fills` is the sum of its booked fills."""

    client_order_id: str
    standing: OrderState
    quantity: Decimal
    filled_quantity: Decimal


@dataclass(frozen=True)
class AgreedBook:
    """The book that both sides last agreed on: cash in USD and signed shares by symbol, zeros left out."""

    cash: Decimal
    positions: Mapping[str, Decimal]


@dataclass(frozen=True)
class Ours:
    """Our side.

    Attributes
    ----------
    book : AgreedBook
        As agreed last.
    booked : frozenset of str
        Ids of activities that are in `book` already.
    orders : tuple of OwnOrder
        Every intent that can stand in the broker's list.
    known_foreign : frozenset of str
        Broker ids of orders that are not ours and that a person has seen.
    filled : mapping of broker order id to Decimal
        Shares of the booked fills.
    keeps : bool
        Whether a person keeps names of the account out of the book; their activities are not among the broker's here.
    """

    book: AgreedBook
    booked: frozenset[str]
    orders: tuple[OwnOrder, ...]
    known_foreign: frozenset[str]
    filled: Mapping[str, Decimal]
    keeps: bool = False


@dataclass(frozen=True)
class Theirs:
    """The broker's side: complete reports, fetched together.

    Attributes
    ----------
    orders : tuple of BrokerOrder
        All since the session of the last agreement, and since our oldest unfinished intent.
    listed_since : frozenset of str
        Client order ids of ours that such a list must hold.
    """

    cash: Decimal
    positions: tuple[Position, ...]
    orders: tuple[BrokerOrder, ...]
    activities: tuple[Activity, ...]
    listed_since: frozenset[str]


@dataclass(frozen=True)
class Reconciliation:
    """The comparison.

    Attributes
    ----------
    differences : tuple of Difference
        Breaks first, then by cause and subject.
    news : tuple of Activity
        Activities to book, each once.
    """

    expected: AgreedBook
    differences: tuple[Difference, ...]
    news: tuple[Activity, ...]

    @property
    def breaks(self) -> tuple[Difference, ...]:
        """The differences that nothing explains."""
        return tuple(difference for difference in self.differences if difference.is_break)

    def knowing(self, accepted: Iterable[Difference]) -> Reconciliation:
        """Return the comparison in which exactly these differences, which a person accepted, are notes."""
        known = frozenset(accepted)
        return replace(self, differences=tuple(replace(d, remedy=Remedy.NOTE) if d in known else d for d in self.differences))

    @property
    def is_clean(self) -> bool:
        """Whether both books agree."""
        return not self.breaks


def reconcile(ours: Ours, theirs: Theirs, *, cash_tolerance: Decimal) -> Reconciliation:
    """Compare both sides.

    Raises
    ------
    UnknownBrokerState
        A fill whose side is a word that we do not know.
    """
    news = _news(ours.booked, theirs.activities)
    expected = _expected(ours.book, news)
    found = [
        *_shares(expected, theirs.positions),
        *_cash(expected, theirs.cash, cash_tolerance),
        *_explained(news),
        *_entered(ours, news),
        *_orders(ours, theirs),
        *_fills(ours, theirs, news),
    ]
    ordered = sorted(found, key=lambda difference: (not difference.is_break, difference.cause, difference.subject))
    return Reconciliation(expected, tuple(ordered), news)


def fill_of(activity: Activity) -> Fill:
    """Return the fill that a FILL activity reports."""
    if activity.at is None or activity.quantity is None or activity.price is None:
        raise UnknownBrokerState("a fill lacks its time, quantity or price", where=activity.id)
    side = side_of(activity)
    return Fill(activity.id, activity.order_id, activity.symbol, side, activity.quantity, activity.price, activity.at)


def side_of(activity: Activity) -> Side:
    """Return the direction of a fill; a short sale is a sale."""
    if activity.side == "buy":
        return Side.BUY
    if activity.side in ("sell", "sell_short"):
        return Side.SELL
    raise UnknownBrokerState(f"fill side is {activity.side!r}, a word that we do not know", where=activity.id)


def share_change(activity: Activity) -> Decimal:
    """Signed shares by which the activity changes its symbol's holding."""
    if activity.kind == FILL:
        fill = fill_of(activity)
        return fill.side.sign * fill.quantity
    return activity.quantity or ZERO if activity.kind in SHARE_KINDS else ZERO


def cash_change(activity: Activity) -> Decimal:
    """Signed USD by which the activity changes the cash."""
    return fill_of(activity).cash if activity.kind == FILL else activity.net_amount


def _news(booked: frozenset[str], activities: Iterable[Activity]) -> tuple[Activity, ...]:
    fresh = {activity.id: activity for activity in activities if activity.id not in booked}
    return tuple(fresh[key] for key in sorted(fresh))


def _expected(book: AgreedBook, news: Sequence[Activity]) -> AgreedBook:
    shares, cash = dict(book.positions), book.cash
    for activity in news:
        cash += cash_change(activity)
        change = share_change(activity)
        if change != 0:
            shares[activity.symbol] = shares.get(activity.symbol, ZERO) + change
    return AgreedBook(cash, {symbol: held for symbol, held in sorted(shares.items()) if held != 0})


def _shares(expected: AgreedBook, positions: Sequence[Position]) -> list[Difference]:
    held = {position.symbol: position.quantity for position in positions if position.quantity != 0}
    return [
        Difference(Cause.QUANTITY, symbol, _figure(expected.positions.get(symbol)), _figure(held.get(symbol)), Remedy.HALT)
        for symbol in sorted({*expected.positions, *held})
        if expected.positions.get(symbol, ZERO) != held.get(symbol, ZERO)
    ]


def _cash(expected: AgreedBook, cash: Decimal, tolerance: Decimal) -> list[Difference]:
    if cash == expected.cash:
        return []
    remedy = Remedy.NOTE if abs(cash - expected.cash) <= tolerance else Remedy.HALT
    return [Difference(Cause.CASH, "cash", _figure(expected.cash), _figure(cash), remedy)]


def _explained(news: Sequence[Activity]) -> list[Difference]:
    """Name every symbol that moved without a trade (invariant 4); an unexplained rest shows as QUANTITY."""
    moved: dict[str, tuple[list[str], Decimal, Decimal]] = {}
    for activity in news:
        if activity.kind == FILL:
            continue
        subject = activity.symbol or "cash"
        kinds, shares, cash = moved.get(subject, ([], ZERO, ZERO))
        moved[subject] = ([*kinds, activity.kind], shares + share_change(activity), cash + cash_change(activity))
    return [
        Difference(
            Cause.CORPORATE_ACTION, subject, ", ".join(sorted(set(kinds))), f"{_figure(shares)} shares and {_figure(cash)} USD", Remedy.NOTE
        )
        for subject, (kinds, shares, cash) in sorted(moved.items())
    ]


def _entered(ours: Ours, news: Sequence[Activity]) -> list[Difference]:
    """Name shares that entered without a fill and that nothing of ours accounts for (invariant 10)."""
    moved = [activity for activity in news if activity.kind != FILL and share_change(activity) != 0]
    # A row that left for cash became no shares.
    left = Counter((row.kind, row.day) for row in moved if row.kind in EXCHANGES and share_change(row) < 0 and not cash_change(row))
    came = Counter((row.kind, row.day) for row in moved if row.kind in EXCHANGES and share_change(row) > 0)

    def is_ours(row: Activity) -> bool:
        if row.kind in TRANSFERS:
            return False
        if not ours.keeps:
            return True
        if row.kind == "SPLIT":
            return row.symbol in ours.book.positions
        return 0 < came[row.kind, row.day] <= left[row.kind, row.day]

    return [
        Difference(Cause.FOREIGN_SHARES, row.symbol, "nothing became them", f"{_figure(share_change(row))} by {row.kind}", Remedy.HALT)
        for row in moved
        if share_change(row) > 0 and not is_ours(row)
    ]


def _orders(ours: Ours, theirs: Theirs) -> list[Difference]:
    reported: dict[str, list[BrokerOrder]] = {}
    for order in theirs.orders:
        reported.setdefault(order.client_order_id, []).append(order)
    own = {order.client_order_id: order for order in ours.orders}
    found = [
        difference
        for cid, orders in reported.items()
        for difference in (_own(own[cid], orders) if cid in own else _foreign(orders, ours.known_foreign))
    ]
    for cid in sorted(theirs.listed_since):
        if cid in own and own[cid].standing is not OrderState.UNSENT and cid not in reported:
            found.append(Difference(Cause.ORDER_MISSING, cid, own[cid].standing, "not reported", Remedy.HALT))
    return found


def _foreign(orders: Sequence[BrokerOrder], known: frozenset[str]) -> list[Difference]:
    return [
        Difference(Cause.FOREIGN_ORDER, order.client_order_id, "not ours", _order_line(order), Remedy.ADOPT_AND_HALT)
        for order in orders
        if order.id not in known
    ]


def _own(own: OwnOrder, orders: Sequence[BrokerOrder]) -> list[Difference]:
    cid, order = own.client_order_id, orders[0]
    if len(orders) > 1:
        both = " and ".join(sorted(order.id for order in orders))
        return [Difference(Cause.DUPLICATE_ORDER, cid, "one order", both, Remedy.CANCEL_AND_HALT)]
    if own.standing is OrderState.UNSENT:
        return [Difference(Cause.ORDER_UNEXPECTED, cid, "never sent", _order_line(order), Remedy.ADOPT_AND_HALT)]
    if order.status is OrderStatus.UNKNOWN:
        return [Difference(Cause.UNKNOWN_STATUS, cid, own.standing, order.raw_status, Remedy.HALT)]
    if order.filled_quantity > own.quantity:
        return [Difference(Cause.OVERFILL, cid, _figure(own.quantity), _figure(order.filled_quantity), Remedy.HALT)]
    if own.standing is OrderState.ENDED and order.filled_quantity != own.filled_quantity:
        theirs = f"{_figure(order.filled_quantity)} filled"
        return [Difference(Cause.FILLS_DIFFER, cid, f"ended with {_figure(own.filled_quantity)}", theirs, Remedy.HALT)]
    if order.status is OrderStatus.FILLED and order.filled_quantity != own.quantity:
        theirs = f"filled with {_figure(order.filled_quantity)}"
        return [Difference(Cause.FILLS_DIFFER, cid, f"{_figure(own.quantity)} asked for", theirs, Remedy.HALT)]
    has_moved = order.status.is_terminal or order.filled_quantity != own.filled_quantity
    if own.standing is OrderState.LIVE and has_moved:
        return [Difference(Cause.ORDER_MOVED_ON, cid, own.standing, _order_line(order), Remedy.TAKE_OVER)]
    return []


def _fills(ours: Ours, theirs: Theirs, news: Sequence[Activity]) -> list[Difference]:
    own = {order.client_order_id for order in ours.orders}
    listed = {order.id: order for order in theirs.orders}
    total = dict(ours.filled)
    found: list[Difference] = []
    for activity in news:
        if activity.kind != FILL:
            continue
        fill = fill_of(activity)
        total[fill.order_id] = total.get(fill.order_id, ZERO) + fill.quantity
        order = listed.get(fill.order_id)
        is_ours = order.client_order_id in own if order is not None else fill.order_id in ours.filled
        if not is_ours and fill.order_id not in ours.known_foreign:
            shown = f"{fill.side} {_figure(fill.quantity)} at {_figure(fill.price)}"
            found.append(Difference(Cause.FOREIGN_FILL, fill.symbol, "not ours", shown, Remedy.ADOPT_AND_HALT))
    for order in theirs.orders:
        booked = total.get(order.id, ZERO)
        if order.client_order_id in own and booked != order.filled_quantity:
            said = f"{_figure(order.filled_quantity)} filled"
            shown = f"fills of {_figure(booked)}"
            found.append(Difference(Cause.FILLS_DIFFER, order.client_order_id, shown, said, Remedy.HALT))
    return found


def _order_line(order: BrokerOrder) -> str:
    asked = f"{order.side} {_figure(order.quantity)} {order.symbol}"
    return f"{asked}, {order.raw_status}, {_figure(order.filled_quantity)} filled"


def _figure(value: Decimal | None) -> str:
    return "0" if value is None else format(value, "f")
