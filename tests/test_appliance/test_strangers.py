"""A second device, a lost ledger, and what the account held before: noticed, and decided by a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.ledger import choices, plans, snapshots
from appliance.ledger.choices import Choice
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.order_path import OTHER_DEVICE
from appliance.orders.reconciliation import agree, begin, undecided
from appliance.schedule.job import JobStatus
from appliance.system.clock import VirtualClock
from execution.broker_without import BrokerWithout
from execution.brokers.base import Activity, Position
from execution.orders import IntentKey, is_of_family
from signals.errors import BrokerUnreachable, FixInput, InvariantBroken
from signals.market.actions import Action, ActionKind
from tests.fakes import exchange as small
from tests.fakes.broker import FakeBroker, MemoryFs
from tests.fakes.rehearsal import CALENDAR, D, Rehearsal, at
from tests.fakes.standing import Standing, stand
from tests.test_appliance.test_faults_venue import by_hand


def twin(first: Standing, root: Path, weights: dict[str, float] | None = None) -> Standing:
    """Another device on the same account, begun while it was empty, with a plan of its own."""
    root.mkdir()
    second = Standing(root, first.served)
    second.start()
    second.freeze(weights)
    return second


def test_the_second_of_two_devices_halts_at_its_first_order(tmp_path: Path) -> None:
    """Both know the same plan: the ids collide, nothing is sent twice, and the later one does not take them for its."""
    first = stand(tmp_path)
    second = twin(first, tmp_path / "second")
    assert first.run("trade", "09:10").status is JobStatus.DONE
    sent = dict(first.posts())
    report = second.run("trade", "09:10")
    assert (report.status, second.latch) == (JobStatus.HALTED, OTHER_DEVICE)
    assert "rebuild" in report.summary and "Stop one of the two" in report.summary
    assert sum(first.posts().values()) == sum(sent.values()) + 1  # one refused request, and no more
    assert len(first.served.venue.book.orders) == len(sent)
    assert second.run("trade").status is JobStatus.HALTED


def test_the_first_halts_when_it_sees_the_orders_of_the_other(tmp_path: Path) -> None:
    first = Standing(tmp_path, small.exchange("2021-11-22 08:00"))
    first.start()
    first.freeze({"AAA": 0.03})
    second = twin(first, tmp_path / "second", {"BBB": 0.02})
    assert first.run("trade", "09:10").status is second.run("trade", "09:10").status is JobStatus.DONE
    for device in (first, second):
        device.to("16:20")
    for device in (first, second):
        assert device.run("reconcile_close").status is JobStatus.HALTED
        assert device.latch == OTHER_DEVICE


def test_a_device_without_a_past_halts_at_the_orders_of_its_own_family(tmp_path: Path) -> None:
    """A second card, or a ledger that was lost: nothing begins, and it is said once."""
    first = stand(tmp_path)
    assert first.run("trade", "09:10").status is JobStatus.DONE
    (tmp_path / "blank").mkdir()
    blank = Standing(tmp_path / "blank", first.served)
    report = blank.run("reconcile_morning")
    assert (report.status, blank.latch) == (JobStatus.HALTED, OTHER_DEVICE)
    deps = blank.deps()
    assert snapshots.latest(deps.ledger) is None
    assert begin(OrderPath.of(deps), blank.session, Phase.OPEN).positions == ()  # a person has seen them now
    deps.close()


def test_a_family_is_of_one_account() -> None:
    cid = IntentKey("PA3XYZ0042", date(2024, 3, 12), "main", "AAA").client_order_id
    assert is_of_family(cid, "PA3XYZ0042") and not is_of_family(cid, "PA3XYZ0043") and not is_of_family("hand-1", "0042")


# -- what the account held before ---------------------------------------------------------------------------------


@pytest.fixture
def blank(tmp_path: Path) -> Rehearsal:
    """A device that has never begun, at an account that holds two names."""
    clock = VirtualClock(at("08:00"))
    broker = FakeBroker(clock, CALENDAR, {"AAA": Decimal(100), "ZZZ": Decimal(20)})
    broker.held = {"AAA": Decimal(30), "ZZZ": Decimal(-5)}
    return Rehearsal(tmp_path, broker, clock)


def test_no_book_begins_over_positions_that_nobody_decided_about(blank: Rehearsal) -> None:
    deps = blank.open()
    path = OrderPath.of(deps)
    choices.decide(deps.ledger, ["AAA"], Choice.ADOPTED, "ana", blank.clock.now())
    assert [p.symbol for p in undecided(path, deps.broker.positions())] == ["ZZZ"]
    with pytest.raises(FixInput, match=r"1 positions .*ZZZ -5.*appliance keep"):
        agree(path, D, Phase.OPEN)
    assert snapshots.latest(deps.ledger) is None and blank.broker.posts == []
    deps.close()


def test_no_book_begins_while_an_order_of_a_person_works_in_the_account(blank: Rehearsal) -> None:
    """It may fill into a book that has just begun; ended, it is in the way of nothing."""
    blank.broker.held = {}
    blank.start()
    blank.freeze({"AAA": 0.01})
    deps = blank.open()
    [intent] = plans.require(deps.ledger, D).intents
    deps.close()
    blank.broker.submit(intent)
    [ours] = blank.broker.rows.values()
    blank.broker.rows[ours.id] = replace(ours, client_order_id="by-hand-1")
    blank.root = blank.root / "another"
    blank.root.mkdir()
    blank.fs = MemoryFs()
    deps = blank.open()
    with pytest.raises(FixInput, match=r"did not send work in the account \(by-hand-1\). Cancel them at the broker"):
        begin(OrderPath.of(deps), D, Phase.OPEN)
    assert snapshots.latest(deps.ledger) is None
    assert blank.broker.cancel(ours.id) is True
    assert begin(OrderPath.of(deps), D, Phase.OPEN).positions == ()
    deps.close()


def test_what_is_kept_is_no_part_of_the_book(blank: Rehearsal) -> None:
    """Neither held, nor equity, nor disagreed about; and it stays so for every process that comes."""
    deps = blank.open()
    worth = deps.broker.account().equity
    choices.decide(deps.ledger, ["AAA"], Choice.ADOPTED, "ana", blank.clock.now())
    choices.decide(deps.ledger, ["ZZZ"], Choice.KEPT, "ana", blank.clock.now())
    deps.close()
    deps = blank.open()
    path = OrderPath.of(deps)
    assert [p.symbol for p in agree(path, D, Phase.OPEN).positions] == ["AAA"]
    assert deps.broker.account().equity == worth + 100  # a short of 5 shares at 20
    blank.broker.held["ZZZ"] = Decimal(-50)  # a split of what is kept
    assert agree(path, D, Phase.OPEN).notes == ()
    deps.close()


def test_an_order_for_a_kept_name_is_never_sent(blank: Rehearsal) -> None:
    blank.broker.held = {}
    blank.start()
    blank.freeze({"AAA": 0.01})
    deps = blank.open()
    [intent] = plans.require(deps.ledger, D).intents
    with pytest.raises(InvariantBroken, match="kept"):
        BrokerWithout(blank.broker, {"AAA"}).submit(intent)
    assert blank.broker.posts == []
    deps.close()


def test_a_kept_position_without_a_price_is_no_equity_of_zero(blank: Rehearsal) -> None:
    real = blank.broker.positions
    blank.broker.positions = lambda: tuple(replace(p, current_price=None) for p in real())  # type: ignore[method-assign]
    with pytest.raises(BrokerUnreachable, match="no price"):
        BrokerWithout(blank.broker, {"ZZZ"}).account()


@pytest.mark.parametrize("last_close", ["3", None])
def test_kept_shares_that_no_longer_trade_are_worth_their_last_close(blank: Rehearsal, last_close: str | None) -> None:
    """A delisted name would else keep a device from planning for good; what a short of it owes stays unknown."""
    last = None if last_close is None else Decimal(last_close)
    dead = Position("ZZZ", Decimal(10), Decimal(20), None, last)
    blank.broker.positions = lambda: (dead,)  # type: ignore[method-assign]
    account = blank.broker.account()
    if last is None:
        with pytest.raises(BrokerUnreachable, match=r"no price.*ZZZ.*ask the broker"):
            BrokerWithout(blank.broker, {"ZZZ"}).account()
        return
    without = BrokerWithout(blank.broker, {"ZZZ"}).account()
    assert (without.equity, without.last_equity) == (account.equity - 30, account.last_equity - 30)
    blank.broker.positions = lambda: (replace(dead, quantity=Decimal(-10)),)  # type: ignore[method-assign]
    with pytest.raises(BrokerUnreachable, match="no price"):
        BrokerWithout(blank.broker, {"ZZZ"}).account()


def test_shares_that_a_kept_name_gains_are_not_expected(blank: Rehearsal) -> None:
    split = Activity("1", "SPLIT", "ZZZ", D, datetime(2024, 3, 12, tzinfo=UTC), Decimal(-45), None, Decimal(0), "", "", "")
    paid = replace(split, id="2", kind="DIV", quantity=Decimal(-5), net_amount=Decimal("-1.50"))
    blank.broker.activities = lambda after: (split, paid)  # type: ignore[method-assign]
    found = BrokerWithout(blank.broker, {"ZZZ"}).activities(D)
    assert [(row.quantity, row.net_amount) for row in found] == [(None, Decimal(0)), (Decimal(-5), Decimal("-1.50"))]


def test_a_kept_name_that_is_renamed_is_asked_about_and_never_traded(tmp_path: Path) -> None:
    """Overnight AAA becomes ZZZ: the broker's rows explain its shares, but they are not this device's."""
    tomorrow = date(2021, 11, 23)
    rename = Action(ActionKind.SYMBOL_CHANGE, "AAA", tomorrow, date(2021, 11, 22), new_symbol="ZZZ")
    served = small.exchange("2021-11-22 10:00", panel=small.bars({"ZZZ": 100.0, "BBB": 50.0, "CCC": 20.0}), actions=[rename])
    device = Standing(tmp_path, served, session=tomorrow)
    by_hand(device, "POST", "/v2/orders", b'{"symbol":"AAA","qty":"100","side":"buy","type":"market","time_in_force":"day"}')
    device.clock.advance(small.new_york("2021-11-22 17:00"))
    deps = device.deps()
    choices.decide(deps.ledger, ["AAA"], Choice.KEPT, "ana", device.clock.now())
    deps.close()
    device.start()
    report = device.run("reconcile_morning", "08:00")
    assert (report.status, device.latch) == (JobStatus.HALTED, "RECON_BREAK")
    assert "foreign_shares ZZZ" in report.summary and "appliance keep" in report.summary
    deps = device.deps()
    assert [p.symbol for p in undecided(OrderPath.of(deps), deps.broker.positions())] == ["ZZZ"]
    choices.decide(deps.ledger, ["ZZZ"], Choice.KEPT, "ana", device.clock.now())
    deps.close()
    deps = device.deps()
    assert agree(OrderPath.of(deps), tomorrow, Phase.OPEN).positions == ()
    deps.latch.rearm(halt_id=deps.latch.read().halt_id, reason="kept", by="ana", at=device.clock.now())
    deps.close()
    device.freeze({"BBB": 0.01})
    device.rest_of_the_day()
    assert (device.holdings()["ZZZ"], "BBB" in device.holdings(), device.latch) == (100, True, "")
