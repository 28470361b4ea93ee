"""A kill that arrives inside a request to the broker, on a device where something else is wrong, too."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from appliance.config import ApplianceConfig, StoresConfig, Venue, VenueConfig
from appliance.controls import halt_file
from appliance.controls.latch import Latch
from appliance.ledger import AccessMode, Ledger, halts, intents, plans
from appliance.ledger.intents import IntentState
from appliance.runtime.device import Device
from appliance.runtime.kill_switch import Killed, KillSwitch, killable
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import DurableFs, StateFolder
from execution.brokers.alpaca import AlpacaBroker, Credentials
from execution.brokers.base import Submission
from execution.orders import BrokerOrder, Intent, IntentKey, OrderStatus, OrderType, Plan, Provenance, Side, TimeInForce
from signals.errors import DeviceHalted, LedgerDamaged
from tests.fakes.broker import FakeBroker, Inbox, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
URL = "http://127.0.0.1:1"


def wanted(attempt: int = 0) -> Intent:
    key = IntentKey("PA1", date(2024, 3, 12), "main", "A", 0, attempt)
    return Intent(key, Side.BUY, Decimal(10), OrderType.MARKET, TimeInForce.OPG, Decimal("171.5"))


class Wire(BaseAdapter):
    """Counts what leaves; the first order is answered by a kill of this very process."""

    def __init__(self, kill: Callable[[], None]) -> None:
        super().__init__()
        self.kill, self.sent = kill, list[str]()

    def send(self, request: requests.PreparedRequest, *rest: Any, **more: Any) -> requests.Response:
        self.sent.append(f"{request.method} {request.path_url}")
        if request.method == "POST":
            self.kill()
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, request.url or ""
        answer._content = b"{}" if request.method == "POST" else b"[]"
        return answer

    def close(self) -> None:
        return


class Bench:
    """A real device, with the real client of the broker, on an account that answers as told."""

    def __init__(self, root: Path) -> None:
        self.folder, self.inbox = StateFolder(root), Inbox()
        self.clock = VirtualClock(CALENDAR.session(date(2024, 3, 12)).at(time(9)))
        Ledger(self.folder.ledger).close()
        self.latch = Latch(root, DurableFs())
        self.latch.arm(by="me", at=self.clock.now())
        self.wire = Wire(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        self.broker: AlpacaBroker | FakeBroker = AlpacaBroker(URL, Credentials("k", "s"), self.clock, random.Random(0), adapter=self.wire)
        venue = VenueConfig(broker=Venue.EXCHANGE, url=URL)
        config = ApplianceConfig(venue=venue, stores=StoresConfig(data=root, bundles=root))
        counterparty = SimpleNamespace(clock=self.clock, broker=lambda: self.broker, bars=None)
        manifest = SimpleNamespace(calendar=CALENDAR)
        self.device = Device(self.folder, config, manifest, counterparty, self.inbox)  # type: ignore[arg-type]

    def send(self, orders: int = 3) -> None:
        """Send orders as a job does, going on whatever each comes to."""
        for attempt in range(orders):
            self.broker.submit(wanted(attempt))

    def rows(self) -> list[str]:
        with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
            return [row.name for row in halts.newest(ledger, 5)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def nothing(bench: Bench) -> None:
    return


def a_folder(bench: Bench) -> None:
    bench.folder.halt_request.mkdir()


def another_encoding(bench: Bench) -> None:
    bench.folder.halt_request.write_bytes("prêt".encode("latin-1"))


def unreadable(bench: Bench) -> None:
    """A file of another user: opening it is refused, as it is to a service that is not root."""

    class Refused(DurableFs):
        def head(self, path: Path, size: int) -> bytes:
            raise PermissionError(13, "Permission denied")

    object.__setattr__(bench.device, "fs", Refused())
    bench.folder.halt_request.write_text("stop")


def full_disk(bench: Bench) -> None:
    """Neither the side files nor the ledger take a byte more."""

    class Full(DurableFs):
        def write(self, path: Path, content: bytes) -> None:
            raise OSError(28, "No space left on device")

    object.__setattr__(bench.device, "fs", Full())
    bench.folder.ledger.unlink()
    bench.folder.ledger.mkdir()


@pytest.mark.parametrize("fault", [nothing, a_folder, another_encoding, unreadable, full_disk])
def test_a_kill_inside_a_request_is_no_error_of_the_transport(bench: Bench, fault: Callable[[Bench], None]) -> None:
    """One order leaves, it is killed, cancel-all follows; the latch is closed, a person told."""
    kill = bench.wire.kill

    def kill_with_fault() -> None:
        fault(bench)
        kill()

    bench.wire.kill = kill_with_fault
    with pytest.raises(DeviceHalted), killable(bench.device):
        bench.send()
    assert [line.split("/v2")[0] for line in bench.wire.sent[:2]] == ["POST ", "DELETE "]
    assert sum(line.startswith("POST") for line in bench.wire.sent) == 1
    assert not bench.latch.read().is_armed
    assert [alert.title for alert in bench.inbox.alerts] == ["HALTED by MANUAL"]
    assert not os.path.lexists(bench.folder.halt_request)
    if fault is full_disk:
        assert "not in the ledger" in bench.inbox.alerts[0].body
    else:
        assert bench.rows() == ["MANUAL"]
    assert fault is not unreadable or "it cannot be read: Permission denied" in bench.latch.read().reason


def test_whatever_goes_wrong_inside_the_handler_the_work_meets_the_kill_alone() -> None:
    class Failing:
        def close(self) -> None:
            raise OSError(5, "Input/output error")

    with pytest.raises(Killed):
        KillSwitch(Failing(), breaks_off=True)(signal.SIGUSR1, None)  # type: ignore[arg-type]


def test_the_appearance_of_the_file_halt_breaks_the_work_off(bench: Bench) -> None:
    with pytest.raises(DeviceHalted, match="HALT was found: no reason given"), killable(bench.device):
        bench.folder.halt_request.touch()
        sleep(60)
        raise AssertionError("the work went on")
    assert bench.wire.sent[0] == "DELETE /v2/orders" and not os.path.lexists(bench.folder.halt_request)


def test_a_second_signal_changes_nothing() -> None:
    closed: list[int] = []
    switch = KillSwitch(SimpleNamespace(close=lambda: closed.append(1)), breaks_off=False)  # type: ignore[arg-type]
    switch(signal.SIGUSR1, None)
    switch(signal.SIGTERM, None)
    assert (closed, switch.by) == ([1], "signal SIGUSR1")


def test_a_request_to_halt_is_left_even_by_a_disk_that_takes_no_words(tmp_path: Path) -> None:
    class Full(DurableFs):
        def write(self, path: Path, content: bytes) -> None:
            raise OSError(28, "No space left on device")

    folder = StateFolder(tmp_path)
    assert halt_file.request(Full(), folder, "stop") and folder.halt_request.read_bytes() == b""
    assert halt_file.request(DurableFs(), folder, "arr\udceat") and folder.halt_request.read_text() == "arr\\udceat"
    gone = StateFolder(tmp_path / "none")
    assert not halt_file.request(Full(), gone, "stop") and not gone.root.exists()


def test_a_file_halt_is_carried_out_before_the_work_though_there_is_no_ledger(bench: Bench) -> None:
    bench.folder.halt_request.touch()
    bench.folder.ledger.write_bytes(b"not a database" * 1000)
    with pytest.raises(DeviceHalted, match="HALT was found"), killable(bench.device):
        raise AssertionError("the work began")
    assert (bench.latch.read().name, len(bench.inbox.alerts)) == ("MANUAL", 1)
    assert bench.wire.sent == ["DELETE /v2/orders"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_ledger_that_is_damaged_at_work_halts_cancels_and_tells(bench: Bench, is_gone: bool) -> None:
    with pytest.raises(LedgerDamaged), killable(bench.device):
        if is_gone:
            bench.folder.ledger.unlink()
            bench.device.require_ledger()
        bench.folder.ledger.write_bytes(b"not a database" * 1000)
        with bench.device.deps():
            raise AssertionError("it was opened")
    assert bench.latch.read().name == "LEDGER_DAMAGED"
    assert bench.wire.sent == ["DELETE /v2/orders"]
    assert [alert.title for alert in bench.inbox.alerts] == ["HALTED by LEDGER_DAMAGED"]


# -- an order whose request was on its way ----------------------------------------------------------------------------


class Late(FakeBroker):
    """The request of an order is on its way when a kill arrives; it reaches the broker right after the cancel-all."""

    on_its_way: Intent | None = None
    look_up: Callable[[], None] = staticmethod(lambda: None)

    def submit(self, intent: Intent) -> Submission:
        self.on_its_way = intent
        os.kill(os.getpid(), signal.SIGUSR1)
        raise AssertionError("the work went on")

    def cancel_all(self) -> bool:
        answer = super().cancel_all()
        if self.on_its_way is not None:
            self._accept(self.on_its_way)
            self.on_its_way = None
        return answer

    def order(self, client_order_id: str) -> BrokerOrder | None:
        self.look_up()
        return super().order(client_order_id)


def on_its_way(bench: Bench) -> Late:
    """Journal one order up to SENDING, and put the broker there that it is sent to."""
    bench.broker = late = Late(bench.clock, CALENDAR, {"A": Decimal("171.5")})
    day, now, source = wanted().key.session, bench.clock.now(), Provenance("b" * 64, "s" * 64, "c" * 64, "test")
    with Ledger(bench.folder.ledger) as ledger:
        plans.save(ledger, Plan(day, CALENDAR.previous(day), "PA1", Decimal(10_000), (wanted(),), source), now)
        for state in (IntentState.JOURNALED, IntentState.SENDING):
            intents.move(ledger, wanted().key.client_order_id, state, now)
    return late


def stands(bench: Bench) -> IntentState:
    with Ledger(bench.folder.ledger, AccessMode.READ) as ledger:
        return intents.require(ledger, wanted().key.client_order_id).state


def test_an_order_that_arrives_after_the_cancel_all_is_looked_up_and_cancelled_as_well(bench: Bench) -> None:
    """Invariant 3."""
    late = on_its_way(bench)
    with pytest.raises(DeviceHalted), killable(bench.device):
        bench.broker.submit(wanted())
    assert [row.status for row in late.rows.values()] == [OrderStatus.CANCELED]
    assert (len(late.cancelled), stands(bench)) == (2, IntentState.CANCELED)


def test_what_cannot_be_proven_after_a_kill_is_left_to_the_next_reconcile(bench: Bench) -> None:
    """The kill has been carried out, recorded and told all the same."""
    late = on_its_way(bench)
    late.unreachable = lambda number: True
    with pytest.raises(DeviceHalted, match="HALTED by MANUAL"), killable(bench.device):
        bench.broker.submit(wanted())
    assert (late.reads > 0, len(late.cancelled), stands(bench)) == (True, 1, IntentState.UNKNOWN)
    assert (bench.rows(), [alert.title for alert in bench.inbox.alerts]) == (["MANUAL"], ["HALTED by MANUAL"])


def test_a_ledger_that_fails_during_the_look_up_is_followed_by_one_more_cancel_all(bench: Bench) -> None:
    """Nothing can be journaled any more: what arrived late is cancelled without its name."""
    late, (soft, hard) = on_its_way(bench), resource.getrlimit(resource.RLIMIT_FSIZE)
    late.look_up = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))  # no file takes a byte more
    try:
        with pytest.raises(DeviceHalted), killable(bench.device):
            bench.broker.submit(wanted())
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 1, "the fault did not happen"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [row.status for row in late.rows.values()] == [OrderStatus.CANCELED]
    assert (len(late.cancelled), stands(bench)) == (2, IntentState.UNKNOWN)


def test_outside_the_main_thread_no_signal_is_taken_over(bench: Bench) -> None:
    """Python hears signals in the main thread alone: work in another one runs, and changes no handler."""
    seen: list[object] = []

    def work() -> None:
        with killable(bench.device):
            seen.append(signal.getsignal(signal.SIGUSR1))

    before = signal.getsignal(signal.SIGUSR1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before] and bench.latch.read().is_armed


def test_the_watch_over_the_file_halt_ends_with_the_work(bench: Bench) -> None:
    before = set(threading.enumerate())
    with killable(bench.device):
        [watch] = set(threading.enumerate()) - before
        sleep(0.3)  # it looked, and found nothing
    watch.join(60)
    assert not watch.is_alive() and bench.latch.read().is_armed
