"""The order path step by step: windows, conservation, and what each job refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from appliance.context import Deps
from appliance.controls import pause
from appliance.jobs.confirm import confirm
from appliance.jobs.trade import trade
from appliance.ledger import intents, plans
from appliance.ledger.intents import UNSENT, IntentState
from appliance.orders import OrderPath, sending_windows
from appliance.orders.batch import send
from appliance.orders.conservation import conserve, exposed
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.recovery import recover
from appliance.orders.unfilled_orders import add_follow_ups
from appliance.schedule.job import JobStatus
from execution.orders import Intent, OrderType, Side, TimeInForce
from signals.errors import BrokerUnreachable, TripwireHalt, TripwireSkip
from signals.market.sessions import xnys
from tests.fakes.rehearsal import CALENDAR, MARGIN, D, Rehearsal, at, entry_of

S = IntentState


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
    assert (report.status, report.figures) == (JobStatus.SKIPPED, {})


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
