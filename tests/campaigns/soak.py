"""Thirty sessions of the daemon as a real process beside an exchange of its own: does anything grow? (J7)

The exchange's clock is led from job to job, so that thirty sessions take minutes; after each session the daemon is
looked at while it idles. From the third session on:

1. its resident memory grows by less than 5 % to the end;
2. it holds as many file descriptors and threads after the last session as after the third;
3. a session of the second half adds no more to the ledger than twice what one of the first half adds, and the ledger's
   write-ahead log stays as short as SQLite keeps it, about a thousand pages;
4. every job of every session has exactly one terminal row, none of them failed, and no order was sent twice.

Run it with `make soak`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean

from appliance.schedule.timetable import JOBS, TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import bundles, steering
from tests.fakes.device import Workbench
from tests.fakes.store import END, SYMBOLS, Published, publish_bundle, publish_data, recipe
from tests.flow.test_daemon import Rehearsal
from trainer.curation.generated.market import generate

SESSIONS, WARM, MARGIN = 30, 3, 15
MEMORY_GROWTH, LEDGER_GROWTH = 0.05, 2.0
HISTORY = 560
LOG_BYTES = 2 * 1000 * 4096


@dataclass(frozen=True)
class Look:
    """The daemon at rest after a session."""

    session: date
    resident_kb: int
    descriptors: int
    threads: int
    ledger_bytes: int
    log_bytes: int


def look(life: Rehearsal, session: date) -> Look:
    """Read what the kernel knows of the daemon, and the sizes of what it writes."""
    assert life.process is not None
    proc = Path("/proc") / str(life.process.pid)
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    ledger, log = (life.bench.state / name for name in ("ledger.sqlite", "ledger.sqlite-wal"))
    return Look(
        session,
        int(status["VmRSS"].split()[0]),
        len(list((proc / "fd").iterdir())),
        int(status["Threads"]),
        ledger.stat().st_size,
        log.stat().st_size if log.exists() else 0,
    )


def publish(root: Path, sessions: int) -> Published:
    """A store whose bundle was trained long enough before the market's end for that many sessions to follow."""
    manifest = publish_data(root / "data", generate(11, SYMBOLS, HISTORY + sessions, END))
    last = manifest.calendar.offset(manifest.last, -(sessions + MARGIN))
    publish_bundle(root, recipe(root / "data", last))
    (root / "root.pub").write_text(bundles.roots()[0].text + "\n")
    return Published(root, root / "root.pub", manifest, last)


@contextmanager
def beside_an_exchange(root: Path, store: Published) -> Iterator[Rehearsal]:
    """The daemon's surroundings: a served exchange, an armed device, somebody to be told READY."""
    start = windows(store.sessions(1)[0], store.manifest.calendar, TIMETABLE)[0].at - timedelta(minutes=5)
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(store.root / "data"), "--port", "0"]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        subprocess.Popen([*command, "--at", start.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server,
    ):
        manager.bind(str(root / "notify"))
        manager.setblocking(False)
        assert server.stdout is not None
        url = steering.told(server.stdout.readline())
        bench = Workbench(root / "device")
        options = ("--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05")
        assert bench("init", *options, "--url", url).code == 0
        assert bench("arm", "--yes").code == 0
        (root / "credentials").mkdir()
        life = Rehearsal(url, bench, store, manager, root / "notify", root / "credentials", root / "log")
        try:
            yield life
        finally:
            if life.process is not None:
                for pid in life.children():
                    os.kill(pid, signal.SIGKILL)
                life.stop(signal.SIGKILL)
            server.terminate()


def grown(looks: list[Look]) -> list[str]:
    """What grew, in words; `looks` are those from the third session on."""
    first, last = looks[0], looks[-1]
    added = [after.ledger_bytes - before.ledger_bytes for before, after in pairwise(looks)]
    late, earlier = mean(added[len(added) // 2 :]), mean(added[: len(added) // 2])
    return [
        words
        for words, is_so in (
            (f"memory from {first.resident_kb} to {last.resident_kb} KB", last.resident_kb > first.resident_kb * (1 + MEMORY_GROWTH)),
            (f"descriptors from {first.descriptors} to {last.descriptors}", last.descriptors > first.descriptors),
            (f"threads from {first.threads} to {last.threads}", last.threads > first.threads),
            (f"the ledger by {late:.0f} bytes a session, {earlier:.0f} before", late > LEDGER_GROWTH * max(earlier, 1)),
            (f"the ledger's log to {last.log_bytes} bytes", last.log_bytes > LOG_BYTES),
        )
        if is_so
    ]


def broken(life: Rehearsal, days: list[date]) -> list[str]:
    """Jobs without their one terminal row, and orders that were sent twice."""
    rows = life.bench.rows("SELECT session, job, status FROM job_runs WHERE session >= ?", str(days[0]))
    ended = {(session, job): status for session, job, status in rows}
    missing = [
        f"{day} {job} is {ended.get((str(day), job))}"
        for day in days
        for job in JOBS
        if ended.get((str(day), job)) not in ("done", "skipped")
    ]
    posts = steering.log(life.url, method="POST")
    ids = [json.loads(row["body"])["client_order_id"] for row in posts if row["path"] == "/v2/orders"]
    return missing + [f"{cid} was posted {ids.count(cid)} times" for cid in sorted(set(ids)) if ids.count(cid) > 1]


def main() -> int:
    """Print one line a session and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=SESSIONS)
    asked = options.parse_args()
    if asked.sessions < WARM + 2:
        options.error(f"growth is judged from session {WARM} on: --sessions is at least {WARM + 2}")
    began, looks = time.monotonic(), list[Look]()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "store").mkdir()
        store = publish(root / "store", asked.sessions)
        days = store.sessions(asked.sessions)
        with beside_an_exchange(root, store) as life:
            life.start()
            for day in days:
                life.live(day, *JOBS)
                life.wait(lambda: not life.children(), "rest")
                time.sleep(1.0)
                looks.append(look(life, day))
                print(looks[-1], flush=True)
            wrong = grown(looks[WARM - 1 :]) + broken(life, days)
    first, last = looks[WARM - 1], looks[-1]
    print(
        f"{len(looks)} sessions in {time.monotonic() - began:.0f} s: memory {first.resident_kb} to {last.resident_kb}"
        f" KB, descriptors {first.descriptors} to {last.descriptors}, threads {first.threads} to {last.threads},"
        f" ledger {first.ledger_bytes} to {last.ledger_bytes} bytes"
    )
    print("\n".join(wrong) or "nothing grew, every job ended once, nothing was sent twice")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
