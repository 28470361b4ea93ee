"""F39: a card that is truly full, a small file system of its own, while each job of a whole device runs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
SIZE_MB = 64
QUIET = ("pull", "score", "report", "heartbeat", "prune")


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB, where mounting one is allowed."""
    folder = tmp_path / "card"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here: the full card is not tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def url(published: Published) -> Iterator[str]:
    """A served exchange, on another disk, whose clock stands before the evening of asof."""
    start = windows(published.sessions(1)[0], published.manifest.calendar, TIMETABLE)[0].at
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data")]
    command += ["--port", "0", "--at", start.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield steering.told(server.stdout.readline())
        finally:
            server.terminate()


@contextmanager
def full(card: Path) -> Iterator[None]:
    """Not a byte is left on the card for the length of the block, and the kernel says so."""
    ballast = card / "ballast"
    with pytest.raises(OSError) as refused, ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(2**16)) or _no_space()
    assert refused.value.errno == errno.ENOSPC
    try:
        yield
    finally:
        ballast.unlink()


def _no_space() -> None:
    raise OSError(errno.ENOSPC, "not a byte was taken")


def posted(url: str) -> Counter[str]:
    """How often each client order id was posted, by the exchange's log."""
    rows = [row for row in steering.log(url) if (row["method"], row["path"]) == ("POST", "/v2/orders")]
    return Counter(json.loads(row["body"])["client_order_id"] for row in rows)


@pytest.mark.parametrize(
    "jobs", [pytest.param(("trade",), id="F39-trade"), pytest.param(QUIET, id="F39-what-sends-nothing", marks=pytest.mark.slow)]
)
def test_a_full_card_costs_a_second_run_or_the_session_and_never_a_second_order(
    published: Published, url: str, card: Path, jobs: tuple[str, ...]
) -> None:
    """F39: each job meets the full card once; when there is room again it ends well, unless the device halted."""
    day = published.sessions(1)[0]
    bench = Workbench(card / "device")
    asked = ("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust))
    assert bench(*asked, "--fixed-ic", "0.05", "--url", url).code == 0
    assert bench("arm", "--yes").code == 0
    for row in windows(day, published.manifest.calendar, TIMETABLE):
        steering.advance(url, row.at)
        if row.job in jobs:
            with full(card):
                assert bench("tick").code != 0, row.job
        bench("tick")
    latch = bench("status", "--json").json["latch"]
    assert set(posted(url).values()) <= {1}
    if "ARMED" in latch:
        assert bench.rows("SELECT DISTINCT status FROM job_runs WHERE session = ?", str(day)) == [("done",)]
        assert bench.rows("SELECT DISTINCT state FROM intents") == [("filled",)]
        assert len(posted(url)) == bench.rows("SELECT count(*) FROM intents")[0][0]
    else:
        assert "DISK" in latch or (jobs == ("trade",) and "LEDGER_UNUSABLE" in latch), latch
        assert posted(url) == {}
