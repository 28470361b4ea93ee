"""No order follows another on one word: an ending must be possible, and the same whichever way the broker is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from appliance.context import Deps
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import intents
from appliance.ledger.intents import IntentState, JournalEntry
from execution.orders import BrokerOrder, OrderStatus, TimeInForce
from signals.errors import BrokerUnreachable, ReconBreak
from tests.fakes.rehearsal import D, Rehearsal

ZERO = Decimal(0)
Lie = Callable[[BrokerOrder], BrokerOrder]


@pytest.fixture
def deps(life: Rehearsal) -> Iterator[Deps]:
    """At 09:10 of D the auction orders are at the broker: A sells 40 to close (201 more wait for it), B buys 602."""
    opened = life.open()
    trade(D, opened)
    yield opened
    opened.close()


def ended(status: OrderStatus, filled: str | None = None) -> Lie:
    """Return the lie that a buy of B has ended so."""

    def change(order: BrokerOrder) -> BrokerOrder:
        if order.symbol != "B" or order.time_in_force is not TimeInForce.OPG:
            return order
        shares = order.filled_quantity if filled is None else Decimal(filled)
        return replace(order, status=status, raw_status=status.value, filled_quantity=shares)

    return change


class Liar:
    """Changes the answers of some of the broker's three ways to ask for orders, and counts the lies."""

    def __init__(self, life: Rehearsal, lie: Lie, *ways: str) -> None:
        self.told, self._lie, self._life = 0, lie, life
        honest = life.broker.orders, life.broker.order, life.broker.order_of_id

        def orders(*, open_only: bool, after: datetime | None = None) -> tuple[BrokerOrder, ...]:
            return tuple(self._spoilt(order) for order in honest[0](open_only=open_only, after=after))

        def one(asked: Callable[[str], BrokerOrder | None]) -> Callable[[str], BrokerOrder | None]:
            return lambda key: None if (found := asked(key)) is None else self._spoilt(found)

        lying = {"orders": orders, "order": one(honest[1]), "order_of_id": one(honest[2])}
        for way in ways:
            setattr(life.broker, way, lying[way])

    def _spoilt(self, order: BrokerOrder) -> BrokerOrder:
        spoilt = self._lie(order)
        self.told += spoilt != order
        return spoilt


def entry_of_b(deps: Deps) -> JournalEntry:
    return next(e for e in intents.of_session(deps.ledger, D) if e.intent.key.symbol == "B")


def bought(life: Rehearsal, symbol: str = "B") -> Decimal:
    """Shares that every order of the name together may have filled or may still fill."""
    rows = [row for row in life.broker.rows.values() if row.symbol == symbol]
    return sum((row.filled_quantity if row.status.is_terminal else row.quantity for row in rows), ZERO)


EVERYWHERE = ("orders", "order", "order_of_id")


@pytest.mark.parametrize(
    "lie",
    [ended(OrderStatus.EXPIRED), ended(OrderStatus.FILLED), ended(OrderStatus.FILLED, "602")],
    ids=["expired", "filled with nothing", "filled"],
)
def test_before_its_auction_no_order_has_expired_or_filled_however_often_it_is_said(deps: Deps, life: Rehearsal, lie: Lie) -> None:
    liar = Liar(life, lie, *EVERYWHERE)
    confirm(D, deps)
    assert liar.told > 0
    assert not entry_of_b(deps).state.is_terminal
    assert bought(life) == 602 and [row.symbol for row in life.broker.rows.values()].count("B") == 1


@pytest.mark.parametrize(
    "lie",
    [
        ended(OrderStatus.EXPIRED, "0"),
        ended(OrderStatus.FILLED, "0"),
        ended(OrderStatus.CANCELED, "0"),
        ended(OrderStatus.EXPIRED, "600"),
        ended(OrderStatus.REJECTED, "0"),
    ],
    ids=["expired", "filled with nothing", "cancelled", "expired with less than it filled", "rejected"],
)
@pytest.mark.parametrize("way", ["orders", "order", "order_of_id"])
def test_one_answer_of_an_ending_is_followed_by_nothing(deps: Deps, life: Rehearsal, lie: Lie, way: str) -> None:
    """The order filled in the auction; one way to ask says something else, the others do not."""
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(1) if order.symbol != "B" else Decimal("0.5"))
    life.to("09:45")
    before = life.broker.rows.copy()
    liar = Liar(life, lie, way)
    confirm(D, deps)
    assert liar.told > 0
    assert not entry_of_b(deps).state.is_terminal
    assert [row.symbol for row in life.broker.rows.values()].count("B") == 1
    assert all(life.broker.rows[key] == row for key, row in before.items())
    honest = {name: getattr(type(life.broker), name).__get__(life.broker) for name in EVERYWHERE}
    for name, ask in honest.items():
        setattr(life.broker, name, ask)
    confirm(D, deps)
    assert entry_of_b(deps).state is IntentState.EXPIRED
    assert bought(life) == 602 and [row.symbol for row in life.broker.rows.values()].count("B") == 2


def test_an_ending_that_cannot_be_asked_for_again_is_followed_by_nothing(deps: Deps, life: Rehearsal) -> None:
    life.to("09:30")
    life.broker.auction(lambda order: ZERO)
    life.to("09:45")

    def dark(_: str) -> BrokerOrder | None:
        raise BrokerUnreachable("the broker does not answer", where="test")

    life.broker.order_of_id = dark  # type: ignore[method-assign]
    confirm(D, deps)
    assert not entry_of_b(deps).state.is_terminal
    assert len(life.broker.rows) == len({row.client_order_id for row in life.broker.rows.values()}) == 4


def test_what_stays_filled_with_nothing_is_a_break(deps: Deps, life: Rehearsal) -> None:
    life.to("09:45")
    liar = Liar(life, ended(OrderStatus.FILLED, "0"), *EVERYWHERE)
    with pytest.raises(ReconBreak, match="fills_differ"):
        reconcile(D, deps)
    assert liar.told > 0


@pytest.mark.parametrize("way", ["order", "order_of_id"])
def test_nothing_follows_a_leader_that_is_not_filled_when_it_is_asked_for_again(deps: Deps, life: Rehearsal, way: str) -> None:
    """A sells 40 to close; the 201 that open the short leave only when every answer says that those are sold."""
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(1))
    life.to("09:45")

    def unfilled(order: BrokerOrder) -> BrokerOrder:
        return replace(order, status=OrderStatus.NEW, filled_quantity=ZERO) if order.symbol == "A" else order

    liar = Liar(life, unfilled, way)
    with pytest.raises(ReconBreak, match="asked again"):
        confirm(D, deps)
    assert liar.told == 1
    assert [row.quantity for row in life.broker.rows.values() if row.symbol == "A"] == [40]
