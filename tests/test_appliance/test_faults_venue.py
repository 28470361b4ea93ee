"""Faults of the venue and of the day, through the real client: each really occurs, and the exchange's book judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from appliance.context import Deps
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import run_job
from appliance.ledger import fills, intents, snapshots
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.reconciliation import accept_break, agree, fetch, oldest
from appliance.orders.submission import is_open, is_past
from appliance.safety.ramp import ramp_share
from appliance.safety.tripwire_figures import account_faults
from appliance.schedule.job import JobStatus
from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol.message import ApiRequest
from execution.orders import OrderStatus
from signals.market.actions import Action, ActionKind
from signals.text.documents import to_json
from tests.fakes import exchange as small
from tests.fakes.standing import ORDERS, D, Standing, stand

NEXT = date(2021, 11, 23)
LOOK_UP = "/v2/orders:by_client_order_id"
KEYS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
NOT_FOUND = {"code": 40410000, "message": "order not found"}


def by_hand(device: Standing, method: str, path: str, body: bytes = b"") -> int:
    """A person or the venue acts on the account, beside the device."""
    return device.served.handle(ApiRequest(method, path, {}, KEYS, body)).status


def closing(device: Standing) -> dict[str, Decimal]:
    """Holdings that the ledger agreed to at the close."""
    deps = device.deps()
    found = snapshots.find(deps.ledger, device.session, Phase.CLOSE)
    deps.close()
    assert found is not None
    return {p.symbol: p.quantity for p in found.positions}


def booked(device: Standing) -> Decimal:
    """Shares in the ledger's fills, both sides counted."""
    deps = device.deps()
    total = sum((f.fill.quantity for f in fills.since(deps.ledger, date.min, date.max)), Decimal(0))
    deps.close()
    return total


# -- look-ups, parts, the stream -------------------------------------------------------------------------------------


def test_an_order_that_can_be_looked_up_only_after_20_seconds_is_adopted_and_not_sent_again(tmp_path: Path) -> None:
    """F26: the answer is lost; four look-ups, at 0, 2, 5 and 15 s, find nothing; the fifth does."""
    device = stand(tmp_path)
    device.spoil(kind="drop", method="POST", path=ORDERS)
    device.spoil(kind="status", status=404, set=NOT_FOUND, method="GET", path=LOOK_UP, times=4)
    device.rest_of_the_day()
    assert device.struck() == ["drop", *["status"] * 4]
    device.require_whole()
    assert set(device.posts().values()) == {1}


def test_the_rest_of_a_partial_fill_that_expired_is_sent_once_and_no_share_more(tmp_path: Path) -> None:
    """F28: the auction fills a part and ends the order; one order of the next attempt asks for exactly the rest."""
    device = stand(tmp_path, partial_fill_probability=1.0, seed=2)
    planned = {e.intent.key.symbol: e.intent.quantity for e in device.entries()}
    device.run("trade", "09:10")
    device.to("09:45")
    rest = {o.symbol: o.remaining for o in device.orders().values() if o.status is OrderStatus.EXPIRED}
    assert rest and all(0 < left < planned[symbol] for symbol, left in rest.items()), "nothing was filled in parts"
    device.run("confirm")
    follow_ups = [e.intent for e in device.entries() if e.intent.key.attempt == 1]
    assert {i.key.symbol: i.quantity for i in follow_ups} == rest
    device.run("reconcile_close", "16:20")
    assert set(device.posts().values()) == {1}
    assert {symbol: abs(held) <= planned[symbol] for symbol, held in device.holdings().items()} == dict.fromkeys(planned, True)
    assert (closing(device), device.latch) == (device.holdings(), "")


def test_a_partly_filled_order_that_is_cancelled_keeps_its_part_and_is_not_followed(tmp_path: Path) -> None:
    """F27: somebody cancels at the broker what is half done: the part is booked, and whoever cancelled meant it."""
    device = stand(tmp_path, partial_fill_probability=1.0, seed=2)
    device.run("trade", "09:10")
    device.run("confirm", "09:45")
    assert any(o.status is OrderStatus.PARTIALLY_FILLED for o in device.orders().values()), "no order is half done"
    assert by_hand(device, "DELETE", ORDERS) == 207
    posts = device.posts()
    device.run("reconcile_close", "16:20")
    cancelled = [e for e in device.entries() if e.state.value == "canceled"]
    assert cancelled and all(0 < e.filled_quantity < e.intent.quantity for e in cancelled)
    assert (device.posts(), device.latch) == (posts, "")
    assert closing(device) == device.holdings()
    assert booked(device) == sum(order.filled_quantity for order in device.orders().values())


# -- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(timedelta(seconds=90), id="F32-ahead-90-s"),
        pytest.param(timedelta(seconds=-90), id="F32-behind-90-s"),
        pytest.param(timedelta(hours=-1), id="F32-back-one-hour"),
    ],
)
def test_a_clock_that_is_wrong_halts_before_any_order(tmp_path: Path, error: timedelta) -> None:
    """F32: the clock jumps after the plan was frozen; the broker's own time gives it away."""
    device = stand(tmp_path)
    device.to("09:10")
    wrong = Standing(tmp_path, device.served, clock_error=error)
    assert wrong.clock.now() - device.served.now == error
    assert wrong.run("trade").status is JobStatus.HALTED
    assert (wrong.latch, wrong.orders(), wrong.posts()) == ("CLOCK", {}, {})


def test_a_clock_that_is_two_seconds_off_trades(tmp_path: Path) -> None:
    """F32: just inside the limit."""
    device = stand(tmp_path)
    device.to("09:10")
    Standing(tmp_path, device.served, clock_error=timedelta(seconds=2)).rest_of_the_day()
    device.require_whole()


class SlowClock:
    """A broker whose answer of its clock takes six seconds: the client allows twenty."""

    def __init__(self, inner: Any, clock: Any) -> None:
        self.inner, self.watch = inner, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def clock(self) -> Any:
        said = self.inner.clock()
        self.watch.sleep(6)
        return said


@pytest.mark.parametrize(("error", "status"), [(0, JobStatus.DONE), (90, JobStatus.HALTED)])
def test_a_slow_answer_of_the_clock_is_no_wrong_clock_and_hides_none(tmp_path: Path, error: int, status: JobStatus) -> None:
    """F32: the broker's time lies between asking and hearing it, so only what is outside of that is wrong."""
    device = Standing(tmp_path, stand(tmp_path).served, clock_error=timedelta(seconds=error))
    device.to("09:10")
    deps = replace(device.deps(), open_broker=lambda: SlowClock(device.broker(), device.clock))
    assert run_job(replace(ENTRIES["trade"], after=()), D, deps).status is status


# -- the market ------------------------------------------------------------------------------------------------------


def close_unscheduled(device: Standing) -> None:
    """From now on the exchange knows that it does not open on D."""
    assert by_hand(device, "POST", "/_sim/closure", f'{{"session": "{D}"}}'.encode()) == 200


def test_a_closure_that_was_not_scheduled_is_not_traded(tmp_path: Path) -> None:
    """F37: overnight the exchange strikes D from its calendar; ours still holds it."""
    device = stand(tmp_path)
    close_unscheduled(device)
    assert device.broker().calendar(D, D) == ()
    report = device.run("trade", "09:10")
    assert (report.status, "calendar" in report.summary) == (JobStatus.SKIPPED, True)
    device.run("confirm", "09:45")
    device.run("reconcile_close", "16:20")
    assert (device.orders(), device.posts(), device.latch) == ({}, {}, "")


def test_a_closure_announced_after_the_orders_left_sends_nothing_more(tmp_path: Path) -> None:
    """F37: at 09:20 the exchange cancels what waited for its open; nothing fills, nothing follows, the books agree."""
    device = stand(tmp_path)
    device.run("trade", "09:10")
    device.to("09:20")
    posts = device.posts()
    close_unscheduled(device)
    device.run("confirm", "09:45")
    device.run("reconcile_close", "16:20")
    assert {order.status for order in device.orders().values()} == {OrderStatus.CANCELED}
    assert (device.posts(), device.holdings(), device.states(), device.latch) == (posts, {}, {"canceled"}, "")
    device.to("23:00")
    device.served.advance(small.new_york(f"{small.calendar().next(D)} 17:00"))
    assert device.holdings() == {}, "an order of the closed session filled in the next one"


def struck(device: Standing) -> Deps:
    """What a job of the next morning has once a dataset without D is taken over."""
    device.clock.advance(small.new_york(f"{NEXT} 08:00"))
    calendar = small.calendar()
    return replace(device.deps(), calendar=replace(calendar, sessions=tuple(one for one in calendar.sessions if one.day != D)))


@pytest.mark.parametrize(
    ("until", "state"), [("09:00", "denied"), ("09:10", "canceled"), ("16:20", "canceled")], ids=["planned", "sent", "ended"]
)
def test_what_was_left_of_a_session_that_is_struck_is_settled_and_the_device_goes_on(tmp_path: Path, until: str, state: str) -> None:
    """F37: D leaves our calendar too; its orders are looked up by its date, none can leave any more, its plan ends no ramp."""
    device = stand(tmp_path)
    for job, hour in (("trade", "09:10"), ("confirm", "09:45"), ("reconcile_close", "16:20")):
        if hour <= until:
            device.run(job, hour)
        if hour == "09:10":
            device.to("09:20")
            close_unscheduled(device)
    deps = struck(device)
    assert run_job(replace(ENTRIES["reconcile_morning"], after=()), NEXT, deps).status is JobStatus.DONE
    assert ramp_share(deps, NEXT, {"equities_xs": "x"}, {"b" * 64}) == 1 / deps.config.tripwires.ramp_sessions
    entry = intents.of_session(deps.ledger, D)[0].intent
    assert (is_open(OrderPath.of(deps), entry), is_past(OrderPath.of(deps), entry)) == (False, True)
    assert (device.states(), device.holdings(), device.latch) == ({state}, {}, "")
    deps.close()


@pytest.mark.parametrize("resumes", [False, True], ids=["halted until the close", "resumed at noon"])
def test_a_market_wide_halt_leaves_orders_new_and_sends_none_twice(tmp_path: Path, resumes: bool) -> None:
    """F38: every name is halted before the open; the rests wait as `new` orders and fill only when trading resumes."""
    device = stand(tmp_path)
    device.run("trade", "09:10")
    for symbol in small.BASES:
        assert by_hand(device, "POST", "/_sim/halt", f'{{"symbol": "{symbol}", "halted": true}}'.encode()) == 200
    device.run("confirm", "09:45")
    waiting = [order for order in device.orders().values() if order.status is OrderStatus.NEW]
    assert len(waiting) == 3 and len(device.orders()) == 6, "three auction orders expired, three orders wait"
    posts = device.posts()
    if resumes:
        device.to("12:00")
        for symbol in small.BASES:
            by_hand(device, "POST", "/_sim/halt", f'{{"symbol": "{symbol}", "halted": false}}'.encode())
    device.run("reconcile_close", "16:20")
    assert (device.posts(), device.latch) == (posts, "")
    assert device.states() == ({"expired", "filled"} if resumes else {"expired"})
    assert closing(device) == device.holdings()
    assert bool(device.holdings()) is resumes


ACTIONS = {
    "F47-rename": (
        Action(ActionKind.SYMBOL_CHANGE, "CCC", NEXT, D, new_symbol="CCX"),
        {"AAA": Decimal(299), "BBB": Decimal(-396), "CCX": Decimal(488)},
        "NC",
    ),
    "F47-delisting": (Action(ActionKind.DELISTING, "CCC", NEXT, D, cash=Decimal(0)), {"AAA": Decimal(299), "BBB": Decimal(-396)}, "REORG"),
    "F47-split": (
        Action(ActionKind.SPLIT, "AAA", NEXT, D, ratio=Decimal("1.5")),
        {"AAA": Decimal(448), "BBB": Decimal(-396), "CCC": Decimal(488)},
        "SPLIT",
    ),
    "F47-merger": (Action(ActionKind.DELISTING, "BBB", NEXT, D, cash=Decimal("60.25")), {"AAA": Decimal(299), "CCC": Decimal(488)}, "MA"),
}


@pytest.mark.parametrize("case", ACTIONS)
def test_what_happens_to_a_holding_overnight_is_explained_and_trading_goes_on(tmp_path: Path, case: str) -> None:
    """F47: the book changes without a trade; the morning's reconciliation names the activity, and no halt follows."""
    action, held, kind = ACTIONS[case]
    device = stand(tmp_path, actions=[action])
    device.rest_of_the_day()
    device.require_whole()
    cash = device.served.venue.book.cash
    after = Standing(tmp_path, device.served, session=NEXT)
    report = after.run("reconcile_morning", "08:00")
    assert device.holdings() == held, "the action did not happen"
    assert kind in {entry.kind for entry in device.served.venue.book.entries}
    assert report.status is JobStatus.DONE, report.summary
    assert to_json(report.figures)["notes"], "nothing is said of it"
    assert kind != "MA" or cash - device.served.venue.book.cash == 396 * Decimal("60.25")
    names = {symbol: 0.01 for symbol in held if symbol not in ("AAA", "BBB")} or {"AAA": 0.02}
    after.freeze({symbol: 0.0 for symbol in held} | names)
    posts = sum(device.posts().values())
    for job, hour in (("trade", "09:10"), ("confirm", "09:45")):
        assert after.run(job, hour).status is JobStatus.DONE
    after.run("reconcile_close", "16:20")
    assert (after.latch, sum(device.posts().values()) - posts) == ("", len(after.entries()))
    assert max(device.posts().values()) == 1
    assert closing(after) == device.holdings()


# -- the account -----------------------------------------------------------------------------------------------------


def revoked(device: Standing, skip: int = 0, method: str = "") -> None:
    """From now on the venue does not know the key."""
    device.spoil(
        kind="status", status=401, accepted=False, set={"message": "unauthorized."}, path="/v2/.*", times=9999, skip=skip, method=method
    )


def test_a_revoked_key_halts_before_any_order(tmp_path: Path) -> None:
    """F55: every question is answered by 401."""
    device = stand(tmp_path)
    revoked(device)
    assert device.run("trade", "09:10").status is JobStatus.HALTED
    assert set(device.struck()) == {"status"}
    assert (device.latch, device.orders(), device.posts()) == ("UNKNOWN_BROKER_STATE", {}, {})


def test_a_key_that_is_revoked_between_two_orders_halts_and_the_first_stays_one(tmp_path: Path) -> None:
    """F55: the first order is at the broker; the second is answered by 401 and cannot even be looked up."""
    device = stand(tmp_path)
    revoked(device, skip=1, method="POST")
    device.spoil(kind="status", status=401, accepted=False, set={"message": "no"}, path=LOOK_UP, times=99)
    assert device.run("trade", "09:10").status is JobStatus.HALTED
    assert device.struck()[:2] == ["status", "status"]
    assert device.latch
    assert (len(device.orders()), max(device.posts().values()), len(device.posts())) == (1, 1, 2)


@pytest.mark.parametrize(
    "change",
    [{"trading_blocked": True}, {"account_blocked": True}, {"status": "ACCOUNT_CLOSED"}, {"trade_suspended_by_user": True}],
    ids=str,
)
def test_an_account_that_may_not_trade_halts_before_any_order(tmp_path: Path, change: dict[str, Any]) -> None:
    """F55: the venue blocks the account overnight."""
    device = stand(tmp_path)
    device.spoil(kind="edit", set=change, method="GET", path="/v2/account", times=99)
    assert device.run("trade", "09:10").status is JobStatus.HALTED
    assert "edit" in device.struck()
    assert (device.latch, device.orders(), device.posts()) == ("ACCOUNT", {}, {})


def test_another_margin_multiplier_is_a_fault_until_a_person_accepts_it(tmp_path: Path) -> None:
    """F55: a reconcile agrees on the books and accepts nothing; what was accepted is what counts from then on."""
    device = stand(tmp_path)
    deps = device.deps()
    path = OrderPath.of(deps)

    def faults() -> float:
        return account_faults(deps.broker.account(), snapshots.accepted(deps.ledger))

    before = deps.broker.account().multiplier
    assert faults() == 0
    assert by_hand(device, "PATCH", "/v2/account/configurations", b'{"max_margin_multiplier": "1"}') == 200
    assert (deps.broker.account().multiplier, faults()) == (1, 1)
    agree(path, D, Phase.OPEN)
    assert faults() == 1
    accept_break(path, D, Phase.OPEN, fetch(path, oldest(path, D)))
    assert faults() == 0
    by_hand(device, "PATCH", "/v2/account/configurations", f'{{"max_margin_multiplier": "{before}"}}'.encode())
    assert faults() == 1
    deps.close()


@pytest.mark.parametrize("traded", [False, True], ids=["before the orders", "after the orders"])
def test_a_paper_account_that_was_reset_halts_and_gets_no_order(tmp_path: Path, traded: bool) -> None:
    """F55: another account answers with the same key: all orders are gone, its number and id are new."""
    device = stand(tmp_path)
    if traded:
        device.run("trade", "09:10")
    device.to("09:15")
    fresh: Exchange = small.exchange(f"{D} 09:15", seed=77)
    assert fresh.venue.book.orders == {}
    reset = Standing(tmp_path, fresh)
    assert reset.broker().account().number != device.broker().account().number
    assert reset.run("confirm" if traded else "trade").status is JobStatus.HALTED
    assert reset.latch in ("ACCOUNT", "UNKNOWN_ORDER")
    assert (reset.orders(), reset.posts()) == ({}, {})
