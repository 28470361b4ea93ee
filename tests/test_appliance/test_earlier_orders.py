"""An order that a close overtook: cancelled before the next plan, no stranger's once it fills, and none is sent after the close."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date
from pathlib import Path

import pytest

from appliance.context import Deps
from appliance.ledger import intents
from appliance.ledger.intents import IntentState
from appliance.orders import OrderPath
from appliance.orders.submission import settle
from appliance.schedule.job import JobStatus
from execution.orders import TimeInForce
from signals.errors import TryAgain
from signals.market.sessions import Calendar
from tests.fakes import exchange as small
from tests.fakes.standing import ORDERS, Standing

HALF, MONDAY = date(2021, 11, 26), date(2021, 11, 29)


class Unaware(Standing):
    """The broker closes at 13:00; the device's dataset says 16:00."""

    def deps(self) -> Deps:
        deps = super().deps()
        close = small.new_york(f"{HALF} 16:00").astimezone(UTC)
        sessions = (replace(one, close=close) if one.day == HALF else one for one in deps.calendar.sessions)
        return replace(deps, calendar=Calendar(deps.calendar.name, tuple(sessions)))


def unaware(root: Path) -> Unaware:
    device = Unaware(root, small.exchange(f"{HALF} 08:00"), session=HALF)
    device.start()
    device.freeze({"AAA": 0.03})
    return device


def sent_after_the_close(device: Unaware) -> None:
    """Leave a day order at the broker at 14:00, as one that was on its way when the broker closed."""
    device.to("14:00")
    deps = device.deps()
    (entry,) = intents.of_session(deps.ledger, HALF)
    day = entry.intent.next_attempt(entry.intent.quantity, TimeInForce.DAY)
    intents.add(deps.ledger, day, device.clock.now())
    client_order_id = day.key.client_order_id
    for state in (IntentState.JOURNALED, IntentState.SENDING):
        intents.move(deps.ledger, client_order_id, state, device.clock.now())
    deps.broker.submit(day)
    settle(OrderPath.of(deps), intents.move(deps.ledger, client_order_id, IntentState.UNKNOWN, device.clock.now()))
    deps.close()


def test_nothing_is_sent_where_the_broker_closes_at_another_time(tmp_path: Path) -> None:
    device = unaware(tmp_path)
    report = device.run("trade", "09:10")
    assert (report.status, "early close" in report.summary) == (JobStatus.SKIPPED, True), report.summary
    assert (device.orders(), device.posts(), device.latch) == ({}, {}, "")


def test_an_order_that_waits_for_the_next_open_is_cancelled_before_the_plan(tmp_path: Path) -> None:
    device = unaware(tmp_path)
    sent_after_the_close(device)
    device.run("reconcile_close", "16:20")
    assert [order.status.is_terminal for order in device.orders().values()] == [False], "it does not wait"
    device.session = MONDAY
    assert device.run("reconcile_morning", "08:00").status is JobStatus.DONE
    device.freeze({"AAA": 0.03})
    wanted = sum(entry.intent.quantity for entry in device.entries())
    device.rest_of_the_day()
    assert (device.holdings(), device.latch) == ({"AAA": wanted}, "")


def test_one_that_cannot_be_cancelled_lets_no_plan_be_made_and_its_fill_is_no_strangers(tmp_path: Path) -> None:
    device = unaware(tmp_path)
    sent_after_the_close(device)
    device.run("reconcile_close", "16:20")
    device.session = MONDAY
    device.spoil(kind="drop", accepted=False, method="DELETE", path=f"{ORDERS}/.*", times=99)
    with pytest.raises(TryAgain, match="orders of an earlier session still work"):
        device.run("reconcile_morning", "08:00")
    report = device.run("reconcile_close", "16:20")
    assert (report.status, device.latch) == (JobStatus.DONE, ""), report.summary
    assert list(device.holdings()) == ["AAA"]
