"""C6: a kill reaches a job that is at work, by the log of an exchange in another process, over real HTTP."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests

from appliance.commands import halt_and_rearm
from appliance.runtime.device import opened
from appliance.schedule.timetable import TIMETABLE
from signals.errors import Locked
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
PATIENCE_SECONDS = 60.0
ORDERS_AFTER_A_KILL = 10  # each takes a fifth of a second
ORDERS = "/v2/orders"
KEYS = {"APCA-API-KEY-ID": "embedded", "APCA-API-SECRET-KEY": "embedded"}


@pytest.fixture
def url(published: Published) -> Iterator[str]:
    """A served exchange whose clock stands just before the evening of asof."""
    start = windows(published.sessions(1)[0], published.manifest.calendar, TIMETABLE)[0].at
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data")]
    with subprocess.Popen(
        [*command, "--port", "0", "--at", start.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield steering.told(server.stdout.readline())
        finally:
            server.terminate()


def log(url: str) -> list[dict[str, Any]]:
    return [row for row in steering.log(url) if row["path"] == ORDERS and row["method"] in ("POST", "DELETE")]


def await_posts(url: str, count: int) -> None:
    until = monotonic() + PATIENCE_SECONDS
    while len(log(url)) < count:
        assert monotonic() < until, "the job never sent its orders"
        sleep(0.01)


@pytest.fixture
def at_work(make: Make, published: Published, url: str) -> Iterator[tuple[Workbench, subprocess.Popen[str], date]]:
    """A device in the middle of sending a plan's orders, each of which takes the exchange a fifth of a second."""
    day = published.sessions(1)[0]
    bench = make(published, "killed", "--url", url)
    assert bench("arm", "--yes").code == 0
    for row in windows(day, published.manifest.calendar, TIMETABLE):
        steering.advance(url, row.at)
        if row.job == "trade":
            break
        assert bench("tick").code == 0
    slow = {"kind": "delay", "seconds": 0.2, "method": "POST", "path": ORDERS, "times": 1000}
    steering.ask(url, "POST", "faults", {"faults": [slow]})
    command = [sys.executable, "-m", "appliance", "job", "trade", "--session", str(day), "--state", str(bench.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_interrupts) as job:
        try:
            await_posts(url, 2)
            yield bench, job, day
        finally:
            if job.poll() is None:
                job.kill()


def _hear_interrupts() -> None:
    """A shell that runs tests in the background ignores SIGINT for its children; systemd does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def by_signal(number: int) -> Callable[[Workbench, subprocess.Popen[str]], None]:
    return lambda _bench, job: os.kill(job.pid, number)


def by_file(bench: Workbench, job: subprocess.Popen[str]) -> None:
    (bench.state / "HALT").write_text("pulled the plug")


def by_command(bench: Workbench, job: subprocess.Popen[str]) -> None:
    done = bench("halt", "--reason", "from the shell")
    assert done.code == 0 and "Cancel-all was sent from here too" in done.out


@pytest.mark.parametrize(
    ("kill", "named"),
    [
        pytest.param(by_signal(signal.SIGUSR1), "signal SIGUSR1", id="SIGUSR1"),
        pytest.param(by_signal(signal.SIGTERM), "signal SIGTERM", id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(by_file, "the file HALT was found: pulled the plug", id="file"),
        pytest.param(by_command, "from the shell", id="command"),
    ],
)
def test_a_kill_cancels_everything_and_no_order_follows(
    at_work: tuple[Workbench, subprocess.Popen[str], date], url: str, kill: Callable[[Workbench, subprocess.Popen[str]], None], named: str
) -> None:
    bench, job, day = at_work
    killed_at, before = datetime.now(UTC), len(log(url))
    kill(bench, job)
    assert job.wait(PATIENCE_SECONDS) == 4
    rows = log(url)
    methods = [row["method"] for row in rows]
    planned = bench.rows("SELECT count(*) FROM intents WHERE session = ?", str(day))[0][0]
    first_cancel = methods.index("DELETE")
    # a request that was on its way when the latch closed may be logged behind the cancel-all; a new one never is
    assert methods[first_cancel:].count("POST") <= 1
    assert methods[:first_cancel].count("POST") < min(planned, before + ORDERS_AFTER_A_KILL)
    assert methods[-1] == "DELETE" or "POST" not in methods[first_cancel:]
    asked = {"status": "open", "limit": 500}
    open_orders = requests.get(f"{url}{ORDERS}", params=asked, headers=KEYS, timeout=60).json()
    assert open_orders == []
    status = bench("status", "--json")
    assert not status.json["armed"] and named in status.json["latch"]
    assert not (bench.state / "HALT").exists()
    assert bench("job", "trade", "--session", str(day)).code == 4
    assert log(url)[len(rows) :] == [] or {row["method"] for row in log(url)[len(rows) :]} == {"DELETE"}
    cancelled = datetime.fromisoformat(rows[first_cancel]["received_at"])
    print(f"{(cancelled - killed_at).total_seconds():.3f} s from the kill to cancel-all: {named}")


def test_an_interrupt_is_no_kill(at_work: tuple[Workbench, subprocess.Popen[str], date], url: str) -> None:
    """A reboot keeps ARMED: the next run goes on where this one was broken off, and sends nothing twice."""
    bench, job, day = at_work
    job.send_signal(signal.SIGINT)
    assert job.wait(PATIENCE_SECONDS) not in (0, 4)
    assert bench("status", "--json").json["armed"]
    steering.ask(url, "DELETE", "faults")
    assert bench("job", "trade", "--session", str(day)).code == 0
    ids = [json.loads(row["body"])["client_order_id"] for row in log(url) if row["status"] == 200]
    assert len(ids) == len(set(ids)) > 2
    assert Path(bench.state / "latch.json").exists()


@pytest.mark.parametrize("turns", [1, 10**6], ids=["ends at once", "goes on"])
def test_a_request_that_the_process_at_work_never_saw_is_carried_out_by_the_halt_itself(
    make: Make, published: Published, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """It ends for the closed latch before it looks for the file, which would stand in the way of a re-arm."""
    bench, refused = make(published, "raced"), list[int]()
    assert bench("arm", "--session", str(published.sessions(1)[0]), "--yes").code == 0

    def at_work_still(*arguments: Any, **options: Any) -> Any:
        if len(refused) < turns:
            refused.append(1)
            raise Locked("another process is at work")
        return opened(*arguments, **options)

    monkeypatch.setattr(halt_and_rearm, "opened", at_work_still)
    monkeypatch.setattr(halt_and_rearm, "TAKEN_SECONDS", 0.2)
    assert bench("halt", "--reason", "from the shell").code == 0
    assert (bench.state / "HALT").exists() is (turns > 1)
    assert "from the shell" in bench("status", "--json").json["latch"]
    assert bool(bench.rows("SELECT count(*) FROM halts WHERE name = 'MANUAL'")[0][0]) is (turns == 1)


@pytest.fixture
def resting(make: Make, published: Published, url: str) -> Workbench:
    """A device whose orders of the day work at an exchange in another process; nothing of it runs any more."""
    bench, day = make(published, "resting", "--url", url), published.sessions(1)[0]
    assert bench("arm", "--yes").code == 0
    for row in windows(day, published.manifest.calendar, TIMETABLE):
        steering.advance(url, row.at)
        assert bench("tick").code == 0
        if row.job == "trade":
            break
    assert len(open_orders(url)) > 10
    return bench


def open_orders(url: str) -> list[dict[str, Any]]:
    asked = {"status": "open", "limit": 500}
    found: list[dict[str, Any]] = requests.get(f"{url}{ORDERS}", params=asked, headers=KEYS, timeout=60).json()
    return found


def _no_room() -> None:
    """The kernel takes no byte of this process into any file, the ledger's included; a name is still moved."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize(
    "is_full", [pytest.param(False, id="a reason in Latin-1", marks=pytest.mark.slow), pytest.param(True, id="and a full disk")]
)
def test_a_halt_from_the_shell_cancels_whatever_its_words_and_its_disk(resting: Workbench, url: str, *, is_full: bool) -> None:
    """The bytes of the reason are no UTF-8, as a shell of another encoding hands them over."""
    command: list[str | bytes] = [sys.executable, "-m", "appliance", "halt", "--reason", "arr\xeat".encode("latin-1")]
    command += ["--state", str(resting.state)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False, preexec_fn=_no_room if is_full else None)
    assert done.returncode == 0, done.stderr
    assert (b"not recorded yet" in done.stdout) is is_full, "the fault did not happen"
    assert [row["method"] for row in log(url)].count("DELETE") >= 1
    assert open_orders(url) == []
    status = resting("status", "--json")
    assert not status.json["armed"]
    assert is_full or "arr" in status.json["latch"]
