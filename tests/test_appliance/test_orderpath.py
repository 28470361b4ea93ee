"""The order path step by step: windows, conservation, tracking, submission, agreement, and what each job refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from appliance.context import Deps
from appliance.controls import pause
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import broker_orders, choices, fills, intents, plans, snapshots
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath, reconciliation, sending_windows
from appliance.orders.batch import send
from appliance.orders.conservation import conserve, exposed
from appliance.orders.ledger_rebuild import rebuild
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.reconciliation import LAST, accept, agree, begin
from appliance.orders.recovery import recover
from appliance.orders.submission import settle, submit
from appliance.orders.tracking import adopt, track
from appliance.orders.unfilled_orders import add_follow_ups
from appliance.schedule.job import JobStatus
from appliance.system.state_folder import StateFolder
from execution.brokers.base import Submission, Unknown
from execution.orders import BrokerOrder, Intent, OrderStatus, OrderType, Side, TimeInForce
from signals.errors import (
    BrokerUnreachable,
    DeviceHalted,
    FixInput,
    InvariantBroken,
    Paused,
    ReconBreak,
    TripwireHalt,
    TripwireSkip,
    UnknownBrokerState,
    UnknownOrder,
)
from signals.market.sessions import xnys
from tests.fakes.broker import FakeBroker, Fault
from tests.fakes.rehearsal import CALENDAR, MARGIN, D, Rehearsal, at, calm

S = IntentState


@pytest.fixture
def life(tmp_path: Path) -> Rehearsal:
    """An armed device at 09:10 of D: A 40 -> -201 (a flip), B 0 -> 602, C -30 -> 0, D 0 -> 50."""
    made = calm(tmp_path)
    made.to("09:10")
    return made


@pytest.fixture
def deps(life: Rehearsal) -> Iterator[Deps]:
    opened = life.open()
    yield opened
    opened.close()


@pytest.fixture
def path(deps: Deps) -> OrderPath:
    return OrderPath.of(deps)


def entry_of(path: OrderPath, symbol: str, order_slice: int = 0, attempt: int = 0) -> JournalEntry:
    wanted = (symbol, order_slice, attempt)
    keyed = {(e.intent.key.symbol, e.intent.key.slice, e.intent.key.attempt): e for e in intents.of_session(path.ledger, D)}
    return keyed[wanted]


def send_one(path: OrderPath, symbol: str) -> JournalEntry:
    entry = entry_of(path, symbol)
    desk = fetch_context(path, plans.require(path.ledger, D))
    now = desk.circumstances(intents.of_session(path.ledger, D), entry.intent, Decimal(0))
    return submit(path, desk.plan, entry, now)


# -- windows ------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "clock_time", "is_open"),
    [
        (TimeInForce.OPG, "03:59:59", False),
        (TimeInForce.OPG, "04:00:00", True),
        (TimeInForce.OPG, "09:26:59", True),
        (TimeInForce.OPG, "09:27:00", False),
        (TimeInForce.DAY, "09:29:59", False),
        (TimeInForce.DAY, "09:30:00", True),
        (TimeInForce.DAY, "15:58:59", True),
        (TimeInForce.DAY, "15:59:00", False),
        (TimeInForce.CLS, "09:29:59", False),
        (TimeInForce.CLS, "15:48:59", True),
        (TimeInForce.CLS, "15:49:00", False),
        (TimeInForce.GTC, "12:00:00", False),
    ],
)
def test_an_order_leaves_only_inside_its_window(tif: TimeInForce, clock_time: str, is_open: bool) -> None:
    assert sending_windows.is_open(tif, CALENDAR.session(D), MARGIN, at(clock_time)) is is_open


def test_windows_move_with_the_session() -> None:
    """An early close at 13:00, and the Monday after the clocks changed: 09:30 New York is an hour earlier in UTC."""
    year = xnys(D.replace(month=1, day=2), D.replace(month=12, day=31))
    early = year.session(D.replace(month=11, day=29))
    assert sending_windows.window(TimeInForce.CLS, early, MARGIN)[1] == early.close - timedelta(minutes=11)
    before, after = (year.session(day) for day in (D.replace(day=8), D.replace(day=11)))
    opens = [sending_windows.window(TimeInForce.OPG, session, MARGIN)[1].strftime("%H:%M") for session in (before, after)]
    assert opens == ["14:27", "13:27"]


# -- conservation -------------------------------------------------------


def leaving(path: OrderPath, **changes: Any) -> Intent:
    return replace(entry_of(path, "B").intent, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(603)},
        {"side": Side.SELL},
        {"reference_price": Decimal(49)},
        {"type": OrderType.LIMIT},
        {"key": "stranger"},
        {"key": "slice"},
        {"key": "account"},
    ],
    ids=lambda changes: "-".join(map(str, changes.items())),
)
def test_nothing_beyond_the_frozen_plan_leaves(path: OrderPath, changes: dict[str, Any]) -> None:
    """B7: more shares, another side, price or type, another name, another slice, another account."""
    key = entry_of(path, "B").intent.key
    keys = {"stranger": replace(key, symbol="E"), "slice": replace(key, slice=7), "account": replace(key, account="X")}
    if "key" in changes:
        changes = {"key": keys[changes["key"]]}
    plan, entries = plans.require(path.ledger, D), intents.of_session(path.ledger, D)
    conserve(plan, entries, leaving(path))
    with pytest.raises(TripwireHalt) as error:
        conserve(plan, entries, leaving(path, **changes))
    assert error.value.where == "PLAN_CONSERVATION"


def test_attempts_together_stay_within_the_planned_quantity_one_alive_at_a_time(path: OrderPath) -> None:
    plan = plans.require(path.ledger, D)
    entry = replace(entry_of(path, "B"), state=S.EXPIRED, filled_quantity=Decimal(250))
    follow_up = entry.intent.next_attempt(Decimal(352), TimeInForce.DAY)
    conserve(plan, [entry], follow_up)
    with pytest.raises(TripwireHalt, match="250 of 602"):
        conserve(plan, [entry], replace(follow_up, quantity=Decimal(353)))
    with pytest.raises(TripwireHalt, match="602 of 602"):
        conserve(plan, [replace(entry, state=S.WORKING)], follow_up)
    tiny = replace(entry, state=S.UNKNOWN, intent=replace(entry.intent, quantity=Decimal(1)))
    with pytest.raises(TripwireHalt, match="alive"):
        conserve(plan, [tiny], follow_up)
    conserve(plan, [replace(entry, state=S.DENIED)], follow_up)


@pytest.mark.parametrize("state", sorted(UNSENT))
def test_an_attempt_that_never_left_takes_no_shares_from_its_plan(path: OrderPath, state: S) -> None:
    """All 602 of B may leave beside another attempt that is only planned or journaled."""
    entry = replace(entry_of(path, "B"), state=state)
    plan, whole = plans.require(path.ledger, D), entry.intent.next_attempt(Decimal(602), TimeInForce.DAY)
    assert exposed(entry) == 0
    conserve(plan, [entry], whole)
    with pytest.raises(TripwireHalt, match="0 of 602"):
        conserve(plan, [entry], replace(whole, quantity=Decimal(603)))


# -- submission ---------------------------------------------------------


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


def reported(path: OrderPath, symbol: str = "B", **changes: Any) -> BrokerOrder:
    found = path.broker.order(entry_of(path, symbol).client_order_id)
    assert found is not None
    return replace(found, **changes)


def test_an_order_under_our_id_that_is_not_ours_is_recorded_and_halts(path: OrderPath) -> None:
    sent = reported_after_send(path)
    other = entry_of(path, "D")
    with pytest.raises(UnknownOrder, match="not the one that we meant"):
        adopt(path, other, replace(sent, client_order_id=other.client_order_id), "test")
    assert entry_of(path, "D").state is S.ACKED


def reported_after_send(path: OrderPath) -> BrokerOrder:
    send_one(path, "B")
    return reported(path)


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


# -- the desk and the jobs ----------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "error", "where"),
    [
        (lambda broker: setattr(broker, "status", "ACCOUNT_UPDATED"), TripwireHalt, "ACCOUNT"),
        (lambda broker: setattr(broker, "is_blocked", True), TripwireHalt, "ACCOUNT"),
        (lambda broker: setattr(broker, "sessions", type(CALENDAR)("T", CALENDAR.sessions[:3])), TripwireSkip, "CALENDAR"),
        (lambda broker: setattr(broker, "unreachable", lambda number: True), BrokerUnreachable, "test"),
    ],
    ids=["status", "blocked", "unscheduled closure", "unreachable"],
)
def test_nothing_leaves_for_an_account_or_a_session_that_is_not_as_planned(
    deps: Deps, life: Rehearsal, spoil: Callable[[object], None], error: type[Exception], where: str
) -> None:
    """F37, F55."""
    spoil(life.broker)
    with pytest.raises(error) as raised:
        trade(D, deps)
    assert raised.value.where == where  # type: ignore[attr-defined]
    assert life.broker.posts == []


def test_a_plan_of_another_account_is_not_sent(path: OrderPath, life: Rehearsal) -> None:
    other = replace(plans.require(path.ledger, D), account="PA9", intents=())
    with pytest.raises(TripwireHalt, match="PA9"):
        fetch_context(path, other)


def test_a_session_without_a_plan_trades_nothing(deps: Deps) -> None:
    with pytest.raises(TripwireSkip, match="no plan"):
        trade(CALENDAR.next(D), deps)
    report = confirm(CALENDAR.next(D), deps)
    assert (report.status, report.figures) == (JobStatus.DONE, {})


def test_what_lowers_risk_leaves_first(deps: Deps, life: Rehearsal) -> None:
    report = trade(D, deps)
    assert [intent.key.symbol for _, intent in life.broker.posts] == ["A", "C", "B", "D"]
    assert report.summary == "4 of 4 auction orders are at the broker: 1 waiting"


def test_after_the_open_an_order_too_far_from_the_brokers_price_is_refused(life: Rehearsal) -> None:
    """Everything expired at the open and every price has moved by a tenth: the broker tells that of what is held."""
    deps = life.open()
    trade(D, deps)
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(0))
    life.to("09:45")
    life.broker.prices = {symbol: price * Decimal("1.1") for symbol, price in life.broker.prices.items()}
    path = OrderPath.of(deps)
    recover(path)
    assert {e.intent.key.symbol for e in add_follow_ups(path, D)} == {"A", "B", "C", "D"}
    confirm(D, deps)
    denied = {
        (e.intent.key.symbol, e.intent.key.slice): e.reason.split(":")[0] for e in intents.of_session(deps.ledger, D) if e.state is S.DENIED
    }
    assert denied == {("A", 0): "PRICE_COLLAR", ("C", 0): "PRICE_COLLAR", ("A", 1): "its closing half is not filled", ("B", 0): "NET"}
    deps.close()


def test_more_than_three_collar_refusals_halt(path: OrderPath, life: Rehearsal) -> None:
    life.broker.held = {"A": Decimal(40), "C": Decimal(-30), "B": Decimal(1), "D": Decimal(1)}
    plan = plans.require(path.ledger, D)
    moved = replace(plan, references={symbol: price * 2 for symbol, price in plan.references.items()})
    desk = replace(fetch_context(path, plan), plan=moved)
    batch = [e for e in intents.of_session(path.ledger, D) if e.intent.waits_for is None]
    with pytest.raises(TripwireHalt) as error:
        send(path, desk, batch)
    assert error.value.where == "PRICE_COLLAR"
    assert life.broker.posts == []


@dataclass
class Newest:
    """Market data that know the newest prices and nothing else."""

    prices: dict[str, Decimal]

    def latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        return {symbol: self.prices[symbol] for symbol in symbols if symbol in self.prices}


def test_an_auction_order_is_compared_with_the_broker_s_newest_price_and_not_with_its_own_plan(path: OrderPath, life: Rehearsal) -> None:
    """B is planned at 50 and trades at 500; D's gap of a fifth is a gap, and nobody knows a price of C."""
    prices: Any = Newest({"B": Decimal(500), "D": Decimal(240)})
    plan = plans.require(path.ledger, D)
    path = replace(path, prices=lambda: prices)
    batch = [e for e in intents.of_session(path.ledger, D) if e.intent.waits_for is None]
    sent = send(path, fetch_context(path, plan), batch)
    denied = {e.intent.key.symbol: e.reason for e in sent.entries if e.state is S.DENIED}
    assert denied == {"B": "PRICE_COLLAR: 50 is 90.00% from the market's 500, limit 30%"}
    assert {intent.key.symbol for _, intent in life.broker.posts} == {"A", "C", "D"}


def test_newest_prices_that_do_not_come_leave_nothing_sent(path: OrderPath, life: Rehearsal) -> None:
    class Silent:
        def latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
            raise BrokerUnreachable("no answer")

    prices: Any = Silent()
    with pytest.raises(BrokerUnreachable):
        fetch_context(replace(path, prices=lambda: prices), plans.require(path.ledger, D))
    assert life.broker.posts == []


def test_an_opening_half_is_sent_only_after_its_closing_half_is_filled(life: Rehearsal) -> None:
    life.run(trade, [], at("09:26"))
    assert all(intent.waits_for is None for _, intent in life.broker.posts)
    life.to("09:30")
    life.broker.auction(lambda order: Decimal("0.5") if order.symbol == "A" else Decimal(1))
    life.broker.day_fill = lambda intent: Decimal(0)  # the closing rest works on, unfilled
    life.to("09:45")
    life.run(confirm, [], at("15:45"))
    deps = life.open()
    opening = entry_of(OrderPath.of(deps), "A", 1)
    assert (opening.state, opening.reason) == (S.DENIED, "its closing half is not filled")
    assert entry_of(OrderPath.of(deps), "A", 0, 1).intent.quantity == 20
    deps.close()


def test_a_closing_half_filled_by_its_follow_up_releases_the_opening_half(life: Rehearsal) -> None:
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal("0.5") if order.symbol == "A" else Decimal(1))
    life.to("09:45")
    life.run(confirm, [], at("15:45"))
    assert life.broker.held["A"] == -201
    assert [(i.key.slice, i.key.attempt) for _, i in life.broker.posts if i.key.symbol == "A"] == [(0, 0), (0, 1), (1, 0)]


def test_a_rest_too_small_to_be_worth_an_order_is_left(life: Rehearsal) -> None:
    """One share of C at 25 USD is worth an order of 25 USD; one of less would not be."""
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(29) / 30 if order.symbol == "C" else Decimal(1))
    deps = life.open()
    path = OrderPath.of(deps)
    recover(path)
    dear = path.config.submission.model_copy(update={"min_residual_usd": Decimal("25.01")})
    assert add_follow_ups(replace(path, config=path.config.model_copy(update={"submission": dear})), D) == ()
    assert [e.intent.quantity for e in add_follow_ups(path, D)] == [1]
    deps.close()


@pytest.mark.parametrize("how", ["halted", "paused", "unreadable"])
def test_a_halted_or_paused_device_confirms_but_sends_nothing(life: Rehearsal, how: str) -> None:
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal("0.5"))  # whose rests nobody asks for in a pause
    deps = life.open()
    if how == "halted":
        life.latch.halt("MANUAL", "test", life.clock.now())
    else:
        pause.begin(deps.fs, deps.folder, pause.Pause(D, "a person", life.clock.now(), "on holiday"))
    if how == "unreadable":
        deps.fs.write(deps.folder.pause, b"{")
    deps.close()
    posts = len(life.broker.posts)
    life.to("09:45")
    report = life.run(confirm, [], at("15:45"))
    assert report is not None
    assert report.figures == {"expired": 4, "planned": 1}
    assert len(life.broker.posts) == posts


# -- agreement ----------------------------------------------------------


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
