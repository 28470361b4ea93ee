"""The ledger agrees with the broker's reports, or breaks: what is booked, explained, adopted, accepted and rebuilt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import broker_orders, choices, fills, intents, snapshots
from appliance.ledger.intents import IntentState
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath, reconciliation
from appliance.orders.reconciliation import LAST, accept, agree, begin, rebuild
from execution.orders import OrderStatus
from signals.errors import BrokerUnreachable, FixInput, ReconBreak, TripwireHalt
from tests.fakes.rehearsal import CALENDAR, D, Rehearsal, at, entry_of, reported_after_send

S = IntentState


def test_an_agreement_books_fills_with_their_orders_and_becomes_the_next_beginning(life: Rehearsal) -> None:
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(1))
    life.to("16:20")
    report = life.run(reconcile, [], at("23:00"))
    assert report is not None
    deps = life.open()
    booked = fills.of_session(deps.ledger, D)
    assert {(b.fill.symbol, b.fill.quantity) for b in booked} == {("A", 40), ("B", 602), ("C", 30), ("D", 50)}
    assert all(intents.find(deps.ledger, b.client_order_id) for b in booked)
    latest = snapshots.latest(deps.ledger)
    assert latest is not None
    assert (latest.phase, latest.cash) == (Phase.CLOSE, life.broker.cash)
    again = agree(OrderPath.of(deps), D, Phase.CLOSE)
    assert again.notes == ()
    assert fills.of_session(deps.ledger, D) == booked
    deps.close()


def test_a_corporate_action_overnight_is_explained_and_told(path: OrderPath, life: Rehearsal) -> None:
    """F47, B8."""
    life.broker.act("SPLIT", "A", Decimal(40))
    agreed = agree(path, D, Phase.OPEN)
    assert [note.cause.value for note in agreed.notes] == ["corporate_action"]
    life.broker.held["A"] += 1
    with pytest.raises(ReconBreak, match="quantity A: ours 80, the broker's 81"):
        agree(path, D, Phase.OPEN)
    assert '"is_break": true' in (path.ledger.read_meta(LAST) or "")


def test_an_order_by_hand_breaks_once_and_is_then_on_record(path: OrderPath, life: Rehearsal) -> None:
    """F56."""
    sent = reported_after_send(path)
    life.broker.rows["hand"] = replace(sent, id="hand", client_order_id="by-hand", status=OrderStatus.NEW)
    with pytest.raises(ReconBreak, match="foreign_order by-hand"):
        agree(path, D, Phase.OPEN)
    assert [order.id for order in broker_orders.foreign(path.ledger)] == ["hand"]
    assert agree(path, D, Phase.OPEN).notes == ()


def test_an_order_that_a_restored_ledger_never_sent_is_adopted_and_halts(path: OrderPath, life: Rehearsal) -> None:
    """The ledger was restored from before the trade job: the broker has the order, the ledger has it PLANNED."""
    life.broker.submit(entry_of(path, "B").intent)
    with pytest.raises(ReconBreak, match="order_unexpected"):
        agree(path, D, Phase.OPEN)
    assert entry_of(path, "B").state is S.WORKING
    assert agree(path, D, Phase.OPEN).notes == ()


def test_many_differences_are_counted_not_all_told(path: OrderPath, life: Rehearsal) -> None:
    for symbol in ("A", "B", "C", "D"):
        life.broker.held[symbol] = Decimal(7)
    life.broker.cash += 1
    life.broker.prices["E"] = life.broker.prices["F"] = Decimal(1)
    life.broker.held |= {"E": Decimal(1), "F": Decimal(1)}
    with pytest.raises(ReconBreak, match="and 2 more"):
        agree(path, D, Phase.OPEN)


def test_reports_are_read_again_before_a_break_is_called(path: OrderPath, life: Rehearsal) -> None:
    """The activity of a split shows up three seconds after the shares."""
    life.broker.act("SPLIT", "A", Decimal(40))
    late, shown = life.broker.news.pop(), life.clock.now() + timedelta(seconds=3)
    real = life.broker.activities

    def activities(after: Any) -> Any:
        return (*real(after), *((late,) if life.clock.now() >= shown else ()))

    life.broker.activities = activities  # type: ignore[method-assign]
    assert len(agree(path, D, Phase.OPEN).notes) == 1


def test_a_report_that_does_not_arrive_is_never_an_empty_one(path: OrderPath, life: Rehearsal) -> None:
    """B6: whichever of the four reports is missing, nothing is recorded and nothing is called a break."""
    before = snapshots.latest(path.ledger)
    for missing in range(1, 5):
        life.broker.reads = 0
        life.broker.unreachable = lambda number, missing=missing: number == missing  # type: ignore[misc]
        with pytest.raises(BrokerUnreachable):
            agree(path, D, Phase.OPEN)
    assert snapshots.latest(path.ledger) == before


def test_another_account_is_never_reconciled_with(path: OrderPath, life: Rehearsal) -> None:
    real = life.broker.account
    life.broker.account = lambda: replace(real(), id="reset")  # type: ignore[method-assign]
    with pytest.raises(TripwireHalt) as error:
        agree(path, D, Phase.OPEN)
    assert error.value.where == "ACCOUNT"


def test_an_armed_device_with_an_empty_ledger_and_a_full_account_has_lost_its_ledger(life: Rehearsal) -> None:
    deps = life.open()
    empty = life.root / "lost"
    path = replace(OrderPath.of(deps), ledger=type(deps.ledger)(empty / "ledger.sqlite"))
    with pytest.raises(ReconBreak, match="empty ledger"):
        agree(path, D, Phase.OPEN)
    life.latch.halt("MANUAL", "test", life.clock.now())
    with pytest.raises(FixInput, match="2 positions that are not this device's"):
        begin(path, D, Phase.OPEN)
    assert snapshots.latest(path.ledger) is None
    choices.decide(path.ledger, ["A", "C"], choices.Choice.ADOPTED, "test", life.clock.now())
    assert len(begin(path, D, Phase.OPEN).positions) == 2
    assert agree(path, D, Phase.OPEN).notes == ()
    path.ledger.close()
    deps.close()


def test_a_person_may_accept_what_the_account_holds(path: OrderPath, life: Rehearsal) -> None:
    sent = reported_after_send(path)
    life.broker.rows["hand"] = replace(sent, id="hand", client_order_id="by-hand", status=OrderStatus.NEW)
    life.broker.held["A"] += 1
    accept(path, D, Phase.OPEN)
    assert agree(path, D, Phase.OPEN).notes == ()


def test_a_book_may_begin_in_the_calendars_first_session(life: Rehearsal) -> None:
    deps = life.open()
    path = replace(OrderPath.of(deps), ledger=type(deps.ledger)(life.root / "first" / "ledger.sqlite"))
    life.latch.halt("MANUAL", "test", life.clock.now())
    choices.decide(path.ledger, life.broker.held, choices.Choice.ADOPTED, "test", life.clock.now())
    begin(path, CALENDAR.days[0], Phase.CLOSE)
    assert agree(path, CALENDAR.days[0], Phase.CLOSE).notes == ()
    assert reconciliation.LAST == LAST
    path.ledger.close()
    deps.close()


def test_a_lost_ledger_is_rebuilt_from_the_broker_and_the_device_ends_halted(life: Rehearsal) -> None:
    """D13: every position, fill and order comes back, the orders flagged as not ours; nothing leaves until re-armed."""
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(1))
    life.to("16:20")
    deps = life.open()
    path = replace(OrderPath.of(deps), ledger=type(deps.ledger)(life.root / "new" / "ledger.sqlite"))
    rebuild(path, D, Phase.CLOSE, CALENDAR.previous(D))
    held = snapshots.latest(path.ledger)
    assert held is not None
    assert {p.symbol: p.quantity for p in held.positions} == {s: q for s, q in life.broker.held.items() if q}
    assert held.cash == life.broker.cash
    assert len(fills.of_session(path.ledger, D)) == len(broker_orders.foreign(path.ledger)) == 4
    assert path.ledger.read_meta("rebuilt_at") == life.clock.now().isoformat()
    assert life.latch.read().name == "LEDGER_REBUILT"
    assert agree(path, D, Phase.CLOSE).notes == ()
    with pytest.raises(FixInput, match="not empty"):
        rebuild(path, D, Phase.CLOSE, D)
    path.ledger.close()
    deps.close()
