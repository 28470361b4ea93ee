"""A halt over an order that the broker knows otherwise, or lost, ends by the runbook's words: accept, then re-arm."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from appliance.context import Deps
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import intents
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.reconciliation import accept_break, fetch, oldest
from execution.brokers.base import Acked, Submission
from execution.orders import BrokerOrder, Intent, OrderStatus
from execution.reconcile import Difference
from signals.errors import HaltDevice, ReconBreak, UnknownOrder
from signals.text.documents import to_json
from tests.fakes.rehearsal import D, Rehearsal


def entry_of(deps: Deps, symbol: str) -> JournalEntry:
    return next(e for e in intents.of_session(deps.ledger, D) if e.intent.key.symbol == symbol)


def row_of(life: Rehearsal, symbol: str) -> BrokerOrder:
    return next(row for row in life.broker.rows.values() if row.symbol == symbol)


def accept_today(deps: Deps) -> tuple[Difference, ...]:
    path = OrderPath.of(deps)
    return accept_break(path, D, Phase.OPEN, fetch(path, oldest(path, D)))


def auction(life: Rehearsal, share: str) -> None:
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(share))
    life.to("09:45")


def test_an_acknowledgement_with_a_wrong_id_ends_when_its_session_is_accepted(deps: Deps, life: Rehearsal) -> None:
    honest = life.broker.submit

    def misnamed(intent: Intent) -> Submission:
        answer = honest(intent)
        return Acked(replace(answer.order, id=f"not-{answer.order.id}")) if isinstance(answer, Acked) else answer

    life.broker.submit = misnamed  # type: ignore[method-assign]
    trade(D, deps)
    assert {e.broker_order_id for e in intents.of_session(deps.ledger, D)} & set(life.broker.rows) == set()
    for _ in range(2):
        with pytest.raises(UnknownOrder, match="two broker orders"):
            reconcile(D, deps)
    assert accept_today(deps) == ()
    assert entry_of(deps, "B").broker_order_id == row_of(life, "B").id
    reconcile(D, deps)
    auction(life, "1")
    confirm(D, deps)
    assert entry_of(deps, "B").state is IntentState.FILLED


def test_an_order_that_the_broker_lost_is_over_when_its_session_is_accepted(deps: Deps, life: Rehearsal) -> None:
    trade(D, deps)
    lost = row_of(life, "B")
    del life.broker.rows[lost.id]
    for _ in range(2):
        with pytest.raises(UnknownOrder, match="no longer knows"):
            reconcile(D, deps)
    assert accept_today(deps) == ()
    assert entry_of(deps, "B").state is IntentState.LAPSED
    reconcile(D, deps)
    life.broker.rows[lost.id] = lost  # it turns up again: that is no news to pass over
    with pytest.raises(ReconBreak, match="order_unexpected"):
        reconcile(D, deps)


def test_an_order_that_filled_on_after_its_end_is_settled_by_accepting_the_same_session(deps: Deps, life: Rehearsal) -> None:
    """FILLS_DIFFER: the journal holds it as ended with half of its shares, the broker filled the rest."""
    trade(D, deps)
    auction(life, "0.5")
    confirm(D, deps)
    half = row_of(life, "B")
    life.broker.fill(half.id, half.quantity - half.filled_quantity)
    for _ in range(2):
        with pytest.raises(HaltDevice, match="fills_differ"):
            reconcile(D, deps)
    assert accept_today(deps) == ()
    assert (entry_of(deps, "B").state, entry_of(deps, "B").filled_quantity) == (IntentState.FILLED, half.quantity)
    reconcile(D, deps)


def test_what_the_broker_contradicts_itself_in_is_known_until_it_changes(deps: Deps, life: Rehearsal) -> None:
    """An order is reported with more shares filled than its fills amount to."""
    trade(D, deps)
    auction(life, "0")
    row = row_of(life, "B")
    life.broker.rows[row.id] = replace(row, filled_quantity=Decimal(7))
    with pytest.raises(ReconBreak, match="fills_differ"):
        reconcile(D, deps)
    (left,) = accept_today(deps)
    assert (left.ours, left.theirs) == ("fills of 0", "7 filled")
    assert entry_of(deps, "B").state is IntentState.CANCELED, "what a person accepted is followed by nothing"
    assert "fills of 0" in to_json(reconcile(D, deps).figures)["notes"][0]
    life.broker.rows[row.id] = replace(row, filled_quantity=Decimal(8))
    with pytest.raises(HaltDevice):
        reconcile(D, deps)


def test_accepting_what_already_agrees_changes_no_order(deps: Deps, life: Rehearsal) -> None:
    trade(D, deps)
    row = row_of(life, "B")
    before = intents.of_session(deps.ledger, D)
    assert accept_today(deps) == ()
    assert intents.of_session(deps.ledger, D) == before
    life.broker.rows[row.id] = replace(row, status=OrderStatus.CANCELED)
    life.latch.halt("MANUAL", "test", life.clock.now())
    accept_today(deps)
    assert entry_of(deps, "B").state is IntentState.CANCELED


def test_an_order_of_several_legs_made_by_hand_halts_by_its_name(deps: Deps, life: Rehearsal) -> None:
    trade(D, deps)
    foreign = replace(row_of(life, "B"), id="hand", client_order_id="by-hand", symbol="AAPL1 + AAPL2")
    life.broker.rows["hand"] = foreign
    with pytest.raises(ReconBreak, match=r"foreign_order by-hand: .*AAPL1 \+ AAPL2"):
        reconcile(D, deps)
    reconcile(D, deps)  # it breaks once: a person has seen it
