"""Faults of the machine: a disk that takes no more, memory that ends, dead channels, a lying stream, two at once."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from appliance.controls.machine import MachineReading
from appliance.controls.tripwires import NO_SENSOR
from appliance.ledger import alerts
from appliance.schedule.job import JobStatus
from execution.brokers.alpaca import AlpacaBroker
from execution.exchange.protocol.faults import FaultKind
from execution.orders import OrderStatus
from signals.alerts import addresses
from signals.alerts.addresses import WebhookNotifier
from signals.alerts.alert import Channels, LogNotifier
from signals.errors import TrademlError
from tests.fakes import exchange as small
from tests.fakes.full_disk import LimitedDisk, LimitedFs, Refusal
from tests.fakes.killing import LIMIT_SECONDS
from tests.fakes.standing import ORDERS, Standing, stand
from tests.fakes.wire import Say, wire
from tests.test_execution.test_exchange_stream import listening, wait_for

HOURS = (("trade", "09:10"), ("confirm", "09:45"), ("reconcile_close", "16:20"))
DEAD = (TrademlError, OSError, apsw.Error)
OUT_OF_MEMORY = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


# -- the disk --------------------------------------------------------------------------------------------------------


def day_on(disk: LimitedDisk, root: Path) -> Standing:
    """Live through a session on `disk`: a job that dies runs again, twice on the bad disk and once when it is freed."""
    device = stand(root)
    device.opened, device.fs = disk.ledger, LimitedFs(disk)
    posts_at_halt = None
    for job, hour in HOURS:
        for attempt in range(3):
            disk.is_freed = attempt == 2
            with suppress(*DEAD):
                device.run(job, hour)
                break
            if device.latch and posts_at_halt is None:
                posts_at_halt = device.posts()
    assert posts_at_halt in (None, device.posts()), "an order left after the halt"
    return device


def judged(device: Standing, disk: LimitedDisk) -> str:
    """Assert that no order is twice or unknown and that the day ended as planned or halted; say which."""
    disk.is_freed = True
    assert set(device.posts().values()) <= {1}
    known = {entry.client_order_id for entry in device.entries() if entry.posts}
    assert set(device.orders()) <= known, "the exchange has an order that the journal does not know"
    if not device.latch:
        device.require_whole()
    return device.latch


@pytest.mark.parametrize(
    ("lasting", "step"),
    [
        pytest.param(False, 7, id="F39-one-write"),
        pytest.param(True, 11, id="F39-until-freed"),
        pytest.param(False, 1, id="F39-every-write", marks=pytest.mark.slow),
        pytest.param(True, 1, id="F39-until-freed-every-write", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_a_disk_that_is_full_at_any_write_of_a_day_ends_it_as_planned_or_halted(root: Path, lasting: bool, step: int) -> None:
    """F39: writes of the day, of the ledger and the side files, one after the other do not fit; `make chaos` tries each."""
    calm = LimitedDisk()
    whole = day_on(calm, root / "calm")
    assert (judged(whole, calm), calm.refused) == ("", 0)
    assert calm.writes > 50
    ends = set()
    for fatal in range(1, calm.writes + 1, step):
        disk = LimitedDisk(fatal, lasting=lasting)
        device = day_on(disk, root / f"{fatal}")
        assert disk.refused >= 1, fatal
        ends.add(judged(device, disk))
    assert ends <= {"", "LEDGER_UNUSABLE", "CLOSED"}  # the latter where no room was left to say why


def test_a_disk_that_becomes_read_only_at_any_time_of_a_day_ends_it_as_planned_or_halted(root: Path) -> None:
    """F40: from one write on, none is taken any more, until somebody remounts it."""
    calm = LimitedDisk()
    day_on(calm, root / "calm")
    for fatal in range(1, calm.writes + 1, 11):
        disk = LimitedDisk(fatal, lasting=True, refusal=Refusal.READ_ONLY)
        device = day_on(disk, root / f"{fatal}")
        assert disk.refused >= 1, fatal
        assert judged(device, disk) in ("", "LEDGER_UNUSABLE")


# -- memory ----------------------------------------------------------------------------------------------------------


def test_a_job_that_runs_out_of_memory_between_two_orders_is_ended_by_the_next(tmp_path: Path) -> None:
    """F57: a process at its memory limit cannot go on after the broker took its second order."""
    with small.serving((device := stand(tmp_path)).served) as url:
        device.to("09:10")
        doomed = Standing(tmp_path, device.served, url)
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT_SECONDS)
            try:
                _run_out_of_memory(doomed)
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == OUT_OF_MEMORY
    assert len(device.orders()) == 2
    assert sorted(entry.state.value for entry in device.entries()) == ["planned", "sending", "working"]
    device.rest_of_the_day()
    device.require_whole()
    assert set(device.posts().values()) == {1}


def _run_out_of_memory(device: Standing) -> None:
    send, sent = AlpacaBroker.submit, []

    def starved(self: AlpacaBroker, intent: object) -> object:
        answer = send(self, intent)  # type: ignore[arg-type]
        sent.append(intent)
        if len(sent) == 2:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))
            return bytearray(2**30)
        return answer

    AlpacaBroker.submit = starved  # type: ignore[assignment, method-assign]
    device.run("trade")


# -- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [Say(silent=True), Say(reset=True), Say(500)], ids=["silent", "reset", "error"])
def test_a_dead_channel_delays_no_halt_and_is_seen(tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """F59: nobody can be reached while the device halts: orders are cancelled at once, the alert is undelivered."""
    monkeypatch.setattr(addresses, "TOTAL_SECONDS", 0.5)
    device = stand(tmp_path)
    device.run("trade", "09:10")
    with wire(say) as dead:
        device.inbox = Channels([LogNotifier("tests")], remote=[WebhookNotifier(dead.url)])
        (tmp_path / "HALT").touch()
        device.run("confirm", "09:20")
        assert dead.count("POST") >= 1, "nobody was told"
    assert device.latch == "MANUAL"
    assert {order.status for order in device.orders().values()} == {OrderStatus.CANCELED}
    deps = device.deps()
    assert [row.delivered for row in alerts.newest(deps.ledger, 9) if "MANUAL" in row.alert.title] == [False]
    deps.close()
    assert max(device.posts().values()) == 1


class NearlyFull:
    """A machine whose disk is worth a warning."""

    source = "a test"

    def read(self, state: Path) -> MachineReading:
        return MachineReading(0.05, NO_SENSOR, NO_SENSOR)


def test_a_dead_channel_delays_no_order(tmp_path: Path) -> None:
    """F59: the channel refuses the connection; a warning cannot be told, and the day is traded."""
    device = stand(tmp_path)
    device.machine = NearlyFull()
    device.inbox = Channels([], remote=[WebhookNotifier("http://127.0.0.1:9")])
    device.rest_of_the_day()
    device.require_whole()
    deps = device.deps()
    assert ("DISK_LOW: warn", False) in [(row.alert.title, row.delivered) for row in alerts.newest(deps.ledger, 9)]
    deps.close()


# -- the stream ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.STREAM_DROP, FaultKind.STREAM_SWAP, FaultKind.STREAM_TWICE])
def test_whatever_the_update_stream_tells_the_books_follow_the_reports(tmp_path: Path, kind: FaultKind) -> None:
    """F31: a listener to the same account hears events lost, swapped or twice; the device asks, and is right."""
    device = stand(tmp_path)
    with small.serving(device.served) as url, listening(url) as heard:
        client = small.trading_at(url)
        device.spoil(kind=kind, path="accepted", times=1)
        over_http = Standing(tmp_path, device.served, url)
        over_http.run("trade", "09:10")
        client.get_orders()  # any request rings the bell of the stream
        wait_for(lambda: kind.value in device.struck())
        if kind is not FaultKind.STREAM_DROP:  # a listener that is cut off may be back too late to hear anything
            wait_for(lambda: len(heard) >= 1)
        client._session.close()
    told = [update.order.client_order_id for update in heard if str(getattr(update.event, "value", "")) == "accepted"]
    true = list(device.orders())
    assert told != true, "the stream told the truth"
    device.rest_of_the_day()
    device.require_whole()


# -- two at once -----------------------------------------------------------------------------------------------------


def test_two_jobs_without_a_lock_still_send_each_order_once(tmp_path: Path) -> None:
    """B3, F53: the lock is defeated and two processes trade the same plan at the same time, each POST a tenth late."""
    device = stand(tmp_path)
    device.to("09:10")
    device.spoil(kind="delay", seconds=0.1, method="POST", path=ORDERS, times=99)
    with small.serving(device.served) as url:
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                signal.alarm(LIMIT_SECONDS)
                code = 1
                try:
                    code = int(Standing(tmp_path, device.served, url).run("trade").status is not JobStatus.DONE)
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(codes) <= {0, 1}, codes
    assert device.struck().count("delay") >= 3
    device.served.faults.clear()
    with suppress(TrademlError):
        device.rest_of_the_day()
    assert len(device.orders()) <= 3
    assert all(count <= 2 for count in device.posts().values())
    if not device.latch:
        device.require_whole()
