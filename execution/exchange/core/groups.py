"""Orders that belong together: bracket, one-triggers-other (oto) and one-cancels-other (oco).

A bracket or oto is an entry with exits of the other side, its legs: a limit that takes the profit, a stop that ends the loss. They
are held until the entry has filled to its last share, and work from then on. An oco is two exits: the limit, and the stop as its leg.

1. What one exit fills the other no longer asks for: a filled one cancels it, a partly filled one leaves it the rest.
2. Whoever cancels one order of a group cancels what is open of it.
3. Held orders meet no market, reserve nothing, cross nothing and are on no list of open orders; alternatives hold their shares once.
4. Where one range reaches both exits, the stop comes first.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from execution.exchange.core.book import AccountBook, fixed_id
from execution.exchange.orders.order import OCO, Order
from execution.exchange.protocol.draft import Draft
from execution.orders import OrderStatus, OrderType, Side

STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


def legs(root: Order, draft: Draft, book: AccountBook) -> Iterable[Order]:
    """Put the legs that `draft` asks for beside `root` into the book, and yield them."""
    is_oco = root.order_class == OCO
    side, intent = root.side, root.position_intent
    if not is_oco:
        side = Side.SELL if root.side is Side.BUY else Side.BUY
        intent = f"{side}_to_close"
    wanted: list[tuple[OrderType, Decimal | None, Decimal | None]]
    wanted = [] if is_oco or draft.take_profit is None else [(OrderType.LIMIT, draft.take_profit, None)]
    if draft.stop_loss is not None:
        kind = OrderType.STOP if draft.stop_loss_limit is None else OrderType.STOP_LIMIT
        wanted.append((kind, draft.stop_loss_limit, draft.stop_loss))
    for kind, limit, stop in wanted:
        id_ = book.new_id("order")
        yield book.put(
            replace(
                root,
                id=id_,
                seq=len(book.orders),
                client_order_id=fixed_id("client", id_),
                parent=root.id,
                side=side,
                type=kind,
                position_intent=intent,
                limit_price=limit,
                stop_price=stop,
                status=root.status if is_oco else OrderStatus.HELD,
                hold_price=Decimal(0),
            )
        )


def by_priority(orders: Iterable[Order], book: AccountBook) -> list[Order]:
    """Sort by arrival, the stop of alternatives first."""

    def key(order: Order) -> tuple[int, bool, int]:
        first = book.orders[order.parent].seq if order.parent else order.seq
        return first, not (order.order_class and order.type in STOPS), order.seq

    return sorted(orders, key=key)


def alternatives_once(orders: Iterable[Order]) -> list[Order]:
    """Return the orders that may fill, of alternatives the first one."""
    found: dict[str, Order] = {}
    for order in orders:
        if order.status is not OrderStatus.HELD:
            found.setdefault(order.root, order)
    return list(found.values())
