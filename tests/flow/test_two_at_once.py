"""B3, F53: a second process on the same state folder ends at once, whatever it was asked to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.system.state_folder import StateFolder, exclusive
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


@contextmanager
def another_process_in(state: Path) -> Iterator[int]:
    """A process that works in the state folder until it is killed; yields its id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(240)
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
def test_a_second_process_ends_with_an_error_while_the_first_goes_on(make: Make, published: Published, command: str) -> None:
    """B3, F53: it waits for nothing: the first one never ends by itself."""
    bench, day = make(published), str(published.sessions(1)[0])
    asked = [sys.executable, "-m", "appliance", command, "--session", day, "--state", str(bench.state)]
    before = bench.tables()
    with another_process_in(bench.state):
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 5, (done.stdout, done.stderr)
        assert "another process works in this state folder" in done.stderr
    assert bench.tables() == before
    assert bench("pull", "--session", day).code == 0, "a killed process leaves no lock behind"
