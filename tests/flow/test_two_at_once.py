"""B3, F53: a second process on the same state folder ends at once, whatever it was asked to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.system.state_folder import StateFolder, exclusive
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
LIMIT_SECONDS, TRIES = 2.0, 5


@contextmanager
def another_process_in(state: Path) -> Iterator[int]:
    """A process that works in the state folder until it is killed; yields its id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with exclusive(StateFolder(state)):
            os.write(writer, b"!")
            signal.pause()
    assert os.read(reader, 1) == b"!"
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("command", ["trade", "run-day", "arm"])
def test_a_second_process_ends_with_an_error_within_two_seconds(make: Make, published: Published, command: str) -> None:
    """B3, F53: by the clock on the wall, interpreter and imports included; the best of a few, for a busy machine."""
    bench, day = make(published), str(published.sessions(1)[0])
    asked = [sys.executable, "-m", "appliance", command, "--session", day, "--state", str(bench.state)]
    before = bench.tables()
    with another_process_in(bench.state):
        for attempt in range(TRIES):
            began = time.monotonic()
            done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
            took = time.monotonic() - began
            assert done.returncode == 5, (done.stdout, done.stderr)
            assert "another process works in this state folder" in done.stderr
            if took < LIMIT_SECONDS:
                break
            assert attempt < TRIES - 1, f"it took {took:.1f} s"
    assert bench.tables() == before
    assert bench("pull", "--session", day).code == 0, "a killed process leaves no lock behind"
