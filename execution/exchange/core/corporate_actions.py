"""Applies corporate actions to an account at the start of a session and records the activities.

| action        | holding                                           | open orders | activities                     |
|---------------|---------------------------------------------------|-------------|--------------------------------|
| split         | x ratio on raw prices; a fraction left over: cash | cancelled   | SPLIT: old out, new in, cash   |
| symbol change | renamed                                           | cancelled   | NC: old name out, new name in  |
| delisting     | paid out                                          | cancelled   | MA with cash, REORG without    |
| dividend      | cash, not under `paper_fidelity` or total return  | untouched   | DIV                            |

The quantities of a symbol's activities add up to the change of its position.
"""

from collections.abc import Callable
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from execution.exchange.core.book import ActivityRow, ExchangePosition
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.core.working import end, entry_id
from execution.orders import CENT, OrderStatus
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis

WHOLE = Decimal(1)
FRACTION_STEP = Decimal("0.000000001")


def apply_actions(venue: ExchangeVenue, day: date) -> None:
    """Apply every action that becomes effective with the session `day`."""
    calendar = venue.market.scheduled
    before = calendar.previous(day) if day != calendar.days[0] else day
    for action in venue.market.actions_between(before, day):
        APPLY[action.kind](venue, action)


def _split(venue: ExchangeVenue, action: Action) -> None:
    if not venue.market.is_raw:
        return
    assert action.ratio is not None
    _cancel_orders(venue, action.symbol)
    held = venue.book.holdings.get(action.symbol)
    if held is None:
        return
    exact = held.quantity * action.ratio
    step = WHOLE if held.quantity % 1 == 0 else FRACTION_STEP
    kept = exact.quantize(step, ROUND_DOWN)
    venue.book.hold(ExchangePosition(held.symbol, kept, held.average_price / action.ratio))
    _record(venue, action, "SPLIT", held.symbol, -held.quantity, sub="FSPLIT" if action.ratio > 1 else "RSPLIT")
    _record(venue, action, "SPLIT", held.symbol, exact, sub="FSPLIT" if action.ratio > 1 else "RSPLIT")
    if exact != kept:
        price = venue.market.standing_price(action, venue.now) or held.average_price / action.ratio
        _record(venue, action, "SPLIT", held.symbol, kept - exact, cash=(exact - kept) * price, sub="CIL")


def _symbol_change(venue: ExchangeVenue, action: Action) -> None:
    assert action.new_symbol is not None
    _cancel_orders(venue, action.symbol)
    held = venue.book.holdings.get(action.symbol)
    if held is None:
        return
    venue.book.hold(ExchangePosition(action.symbol, Decimal(0), held.average_price))
    venue.book.hold(ExchangePosition(action.new_symbol, held.quantity, held.average_price))
    _record(venue, action, "NC", action.symbol, -held.quantity, sub="SNC")
    _record(venue, action, "NC", action.new_symbol, held.quantity, sub="SNC")


def _delisting(venue: ExchangeVenue, action: Action) -> None:
    assert action.cash is not None
    _cancel_orders(venue, action.symbol)
    held = venue.book.holdings.get(action.symbol)
    if held is None:
        return
    kind, sub = ("MA", "CMA") if action.cash else ("REORG", "WRM")
    venue.book.hold(ExchangePosition(held.symbol, Decimal(0), held.average_price))
    _record(venue, action, kind, held.symbol, -held.quantity, cash=held.quantity * action.cash, sub=sub)


def _dividend(venue: ExchangeVenue, action: Action) -> None:
    held = venue.book.holdings.get(action.symbol)
    if held is None or venue.config.paper_fidelity or venue.market.basis is PriceBasis.TOTAL_RETURN:
        return
    assert action.cash is not None
    _record(venue, action, "DIV", held.symbol, None, cash=held.quantity * action.cash, sub="CDIV")


APPLY: dict[ActionKind, Callable[[ExchangeVenue, Action], None]] = {
    ActionKind.SPLIT: _split,
    ActionKind.SYMBOL_CHANGE: _symbol_change,
    ActionKind.DELISTING: _delisting,
    ActionKind.DIVIDEND: _dividend,
}


def _cancel_orders(venue: ExchangeVenue, symbol: str) -> None:
    for order in venue.book.open_orders_of(symbol):
        end(venue, order, OrderStatus.CANCELED)


def _record(
    venue: ExchangeVenue, action: Action, kind: str, symbol: str, quantity: Decimal | None, *, cash: Decimal = Decimal(0), sub: str
) -> None:
    amount = cash.quantize(CENT, ROUND_HALF_EVEN)
    at = venue.book.stamp()
    venue.book.pay(amount)
    figure = {"ratio": action.ratio, "cash": action.cash, "new_symbol": action.new_symbol}
    shown = ", ".join(f"{name} {value}" for name, value in figure.items() if value is not None)
    venue.book.record(
        ActivityRow(
            entry_id(venue, at),
            kind,
            at,
            action.effective,
            symbol,
            quantity,
            None,
            amount,
            sub_kind=sub,
            description=f"{action.kind.value} of {action.symbol} effective {action.effective}: {shown}",
            per_share=action.cash,
        )
    )
