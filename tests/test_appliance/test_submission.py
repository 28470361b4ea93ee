"""How an order leaves and is followed: latch, window, checks, answers in doubt, reports that cannot be true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from appliance.context import Deps
from appliance.controls import pause
from appliance.jobs.trade import trade
from appliance.ledger import broker_orders, intents, plans
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.orders import OrderPath
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.recovery import recover
from appliance.orders.submission import settle, submit
from appliance.orders.tracking import adopt, track
from appliance.system.state_folder import StateFolder
from execution.brokers.base import Submission, Unknown
from execution.orders import BrokerOrder, Intent, OrderStatus
from signals.errors import DeviceHalted, InvariantBroken, Paused, ReconBreak, TripwireHalt, UnknownBrokerState, UnknownOrder
from tests.fakes.broker import FakeBroker, Fault
from tests.fakes.rehearsal import D, Rehearsal, entry_of, reported_after_send, send_one

S = IntentState


def test_a_closed_latch_stops_an_order_before_it_is_journaled(path: OrderPath, life: Rehearsal) -> None:
    life.latch.halt("MANUAL", "test", life.clock.now())
    with pytest.raises(DeviceHalted):
        send_one(path, "B")
    assert (life.broker.posts, entry_of(path, "B").state) == ([], S.PLANNED)


def test_a_latch_that_closes_while_the_row_goes_to_disk_stops_the_post(path: OrderPath, life: Rehearsal) -> None:
    calls: list[bool] = []
    real = path.latch.require_armed

    class ClosingLatch:
        def require_armed(self) -> None:
            if calls:
                life.latch.halt("MANUAL", "test", life.clock.now())
            calls.append(True)
            real()

        def read(self) -> object:
            return life.latch.read()

    closing = replace(path, latch=ClosingLatch())  # type: ignore[arg-type]
    with pytest.raises(DeviceHalted):
        send_one(closing, "B")
    assert life.broker.posts == []
    recover(path)
    assert entry_of(path, "B").state is S.LAPSED
    assert life.broker.posts == []


def test_an_order_outside_its_window_is_denied_not_sent(path: OrderPath, life: Rehearsal) -> None:
    life.to("09:27")
    assert send_one(path, "B").reason == "its window is closed"
    assert life.broker.posts == []


def test_the_checks_run_again_right_before_an_order_is_journaled(path: OrderPath, life: Rehearsal) -> None:
    """C5: the position to be closed is gone since the plan was frozen."""
    life.broker.held["C"] = Decimal(0)
    entry = send_one(path, "C")
    assert (entry.state, entry.reason.split(":")[0]) == (S.DENIED, "REDUCE_ONLY")
    assert [event.to_state for event in intents.events(path.ledger, entry.client_order_id)] == [S.PLANNED, S.DENIED]


def test_an_order_that_has_left_is_not_submitted_again(path: OrderPath) -> None:
    send_one(path, "B")
    with pytest.raises(InvariantBroken, match="not submitted"):
        send_one(path, "B")


def test_a_refusal_is_kept_with_its_code(path: OrderPath, life: Rehearsal) -> None:
    life.broker.fault = lambda number: Fault.REFUSE
    entry = send_one(path, "B")
    assert (entry.state, entry.refusal, entry.reason) == (S.REFUSED, (403, 40310000), "insufficient buying power")


def test_an_answer_about_another_order_leaves_ours_unknown_and_halts(path: OrderPath, life: Rehearsal) -> None:
    """F24."""
    life.broker.fault = lambda number: Fault.OTHER_ID
    with pytest.raises(UnknownOrder):
        send_one(path, "B")
    assert entry_of(path, "B").state is S.UNKNOWN


def test_an_id_that_is_taken_by_no_order_that_can_be_shown_is_resolved_like_any_other_in_doubt(path: OrderPath, life: Rehearsal) -> None:
    """No other device is claimed without its order: the look-ups prove it absent, and it is sent once more."""
    honest, asked = life.broker.submit, list[Intent]()

    def taken_at_first(intent: Intent) -> Submission:
        asked.append(intent)
        return Unknown("status 422 code 40010001", is_taken=True) if len(asked) == 1 else honest(intent)

    life.broker.submit = taken_at_first  # type: ignore[method-assign]
    entry = send_one(path, "B")
    assert (entry.state, entry.posts, [intent.key for intent in asked]) == (S.WORKING, 2, [entry.intent.key] * 2)
    assert broker_orders.foreign(path.ledger) == ()
    assert [row.symbol for row in life.broker.rows.values()] == ["B"]


def test_an_unknown_status_is_recorded_and_halts(path: OrderPath, life: Rehearsal) -> None:
    """F23, A11."""
    life.broker.fault = lambda number: Fault.UNKNOWN_STATUS
    with pytest.raises(UnknownBrokerState, match="levitating"):
        send_one(path, "B")
    entry = entry_of(path, "B")
    assert entry.state is S.ACKED
    assert broker_orders.of_client(path.ledger, entry.client_order_id)[0].raw_status == "levitating"


@pytest.mark.parametrize("number", [1, 3, 6, 7], ids=["first look-up", "third", "last", "list"])
def test_a_look_up_that_is_not_answered_proves_nothing(path: OrderPath, life: Rehearsal, number: int) -> None:
    """Even one silence among six look-ups and the list: UNKNOWN, halted, nothing sent again until it is proven."""
    life.broker.fault = lambda post: Fault.DROP_BEFORE if post == 0 else Fault.NONE
    desk = fetch_context(path, plans.require(path.ledger, D))
    silent = life.broker.reads + number
    life.broker.unreachable = lambda read: read == silent
    entry = entry_of(path, "B")
    with pytest.raises(UnknownOrder, match="cannot be proven"):
        submit(path, desk.plan, entry, desk.circumstances((), entry.intent, Decimal(0)))
    assert (entry_of(path, "B").state, len(life.broker.posts)) == (S.UNKNOWN, 1)
    assert settle(path, entry_of(path, "B")).state is S.WORKING
    assert len(life.broker.posts) == 2


def test_look_ups_wait_as_scheduled(path: OrderPath, life: Rehearsal) -> None:
    """t = 0, 2, 5, 15, 30, 60 s, then the list, then one resend."""
    asked: list[float] = []
    real = life.broker.order
    start = life.clock.now()

    def order(client_order_id: str) -> BrokerOrder | None:
        asked.append((life.clock.now() - start).total_seconds())
        return real(client_order_id)

    life.broker.order = order  # type: ignore[method-assign]
    life.broker.fault = lambda number: Fault.DROP_BEFORE if number == 0 else Fault.NONE
    assert send_one(path, "B").state is S.WORKING
    assert asked == [0, 2, 5, 15, 30, 60]
    assert [intent.key for _, intent in life.broker.posts] == [entry_of(path, "B").intent.key] * 2


def test_an_order_that_is_absent_after_its_resend_halts_and_is_never_posted_again(path: OrderPath, life: Rehearsal) -> None:
    life.broker.fault = lambda number: Fault.DROP_BEFORE
    with pytest.raises(UnknownOrder, match="sent again"):
        send_one(path, "B")
    with pytest.raises(UnknownOrder, match="sent again"):
        recover(path)
    assert len(life.broker.posts) == 2
    life.to("09:27")
    recover(path)
    assert (entry_of(path, "B").state, len(life.broker.posts)) == (S.LAPSED, 2)


def test_more_resends_than_allowed_halt(path: OrderPath, life: Rehearsal) -> None:
    strict = replace(
        path, config=path.config.model_copy(update={"submission": path.config.submission.model_copy(update={"max_resends": 1})})
    )
    life.broker.fault = lambda number: Fault.DROP_BEFORE if number % 2 == 0 else Fault.NONE
    assert send_one(strict, "B").state is S.WORKING
    with pytest.raises(TripwireHalt, match="sent again") as error:
        send_one(strict, "C")
    assert error.value.where == "RESENDS"
    assert len(life.broker.posts) == 3


def test_an_absent_order_whose_window_closed_meanwhile_lapses(path: OrderPath, life: Rehearsal) -> None:
    life.to("09:26:30")
    life.broker.fault = lambda number: Fault.DROP_BEFORE
    entry = send_one(path, "B")
    assert (entry.state, entry.reason) == (S.LAPSED, "absent, and its window is closed")


def pausing(life: Rehearsal, at_post: int, then: Fault) -> Callable[[int], Fault]:
    """What happens to each post; a person begins a pause while the one of this number is on its way."""

    def happens(number: int) -> Fault:
        if number == at_post:
            pause.begin(life.fs, StateFolder(life.root), pause.Pause(D, "a person", life.clock.now(), "on holiday"))
        return then if number == at_post else Fault.NONE

    return happens


def test_a_pause_that_begins_while_orders_leave_stops_the_next_one(path: OrderPath, deps: Deps, life: Rehearsal) -> None:
    life.broker.fault = pausing(life, 1, Fault.NONE)
    report = trade(D, deps)
    assert [intent.key.symbol for _, intent in life.broker.posts] == ["A", "C"]
    assert report.summary == "2 of 2 auction orders are at the broker: 3 waiting"
    assert {entry_of(path, symbol).state for symbol in "BD"} == {S.PLANNED}
    with pytest.raises(Paused):
        trade(D, deps)
    pause.end(life.fs, deps.folder)
    trade(D, deps)
    assert [intent.key.symbol for _, intent in life.broker.posts] == ["A", "C", "B", "D"]


def test_an_order_in_doubt_that_is_proven_absent_is_not_sent_again_once_a_pause_has_begun(path: OrderPath, life: Rehearsal) -> None:
    life.broker.fault = pausing(life, 0, Fault.DROP_BEFORE)
    entry = send_one(path, "B")
    assert (entry.state, entry.reason, len(life.broker.posts)) == (S.LAPSED, "absent, and the device is paused", 1)
    assert recover(path) == () and len(life.broker.posts) == 1


# -- tracking -----------------------------------------------------------


def test_an_order_under_our_id_that_is_not_ours_is_recorded_and_halts(path: OrderPath) -> None:
    sent = reported_after_send(path)
    other = entry_of(path, "D")
    with pytest.raises(UnknownOrder, match="not the one that we meant"):
        adopt(path, other, replace(sent, client_order_id=other.client_order_id), "test")
    assert entry_of(path, "D").state is S.ACKED


def stand(path: OrderPath, order: BrokerOrder) -> JournalEntry:
    """Let the order stand so at the broker, whichever way it is asked, and track it."""
    assert isinstance(path.broker, FakeBroker)
    path.broker.rows[order.id] = order
    return track(path, entry_of(path, "B"), order)


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        ({}, {"id": "b9"}, UnknownOrder),
        ({}, {"filled_quantity": Decimal(603)}, ReconBreak),
        ({"filled_quantity": Decimal(5)}, {"filled_quantity": Decimal(4)}, ReconBreak),
        ({"status": OrderStatus.CANCELED}, {"status": OrderStatus.NEW}, ReconBreak),
        ({"status": OrderStatus.CANCELED}, {"status": OrderStatus.EXPIRED}, ReconBreak),
        ({"status": OrderStatus.CANCELED}, {"status": OrderStatus.CANCELED, "filled_quantity": Decimal(1)}, ReconBreak),
    ],
    ids=["another id", "over-fill", "filled less", "alive again", "another end", "filled after its end"],
)
def test_a_report_that_cannot_be_true_halts(path: OrderPath, before: dict[str, Any], after: dict[str, Any], error: type[Exception]) -> None:
    """F29 and what is like it."""
    order = reported_after_send(path)
    stand(path, replace(order, **before))
    with pytest.raises(error):
        track(path, entry_of(path, "B"), replace(order, **after))


def test_partial_fills_move_an_order_along_and_its_end_keeps_them(path: OrderPath) -> None:
    """F27, F28: partly filled, more, then cancelled with the rest open."""
    order = reported_after_send(path)
    for filled, status, state in (
        (0, OrderStatus.HELD, S.WORKING),
        (5, OrderStatus.PARTIALLY_FILLED, S.PARTIAL),
        (9, OrderStatus.PENDING_CANCEL, S.PARTIAL),
        (9, OrderStatus.CANCELED, S.CANCELED),
        (9, OrderStatus.CANCELED, S.CANCELED),
    ):
        entry = stand(path, replace(order, filled_quantity=Decimal(filled), status=status))
        assert (entry.state, entry.filled_quantity) == (state, filled)


def test_an_order_that_the_broker_lost_halts(path: OrderPath, life: Rehearsal) -> None:
    """F55: the paper account was reset."""
    send_one(path, "B")
    life.broker.rows.clear()
    with pytest.raises(UnknownOrder, match="no longer knows"):
        recover(path)
