"""A person at a terminal: the command line in a process of its own on a pseudo-terminal, typed to and read from."""

from __future__ import annotations

import multiprocessing
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess

SECONDS = 120.0
CTRL_C = "\x03"
PRELOADED = ["appliance.commands.command_line", "execution.brokers.alpaca", "tests.fakes.forked_terminal"]


@dataclass
class Terminal:
    """One run of `appliance` on a pseudo-terminal."""

    master: int
    process: ForkServerProcess
    shown: str = ""
    _seen: int = field(default=0, repr=False)

    def expect(self, text: str) -> str:
        """Read until `text` is shown, and return what was shown since the last time."""
        until = time.monotonic() + SECONDS
        while (at := self.shown.find(text, self._seen)) < 0:
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown, but:\n{self.shown[self._seen :]}")
        found = self.shown[self._seen : at + len(text)]
        self._seen = at + len(text)
        return found

    def type(self, line: str) -> None:
        """Type a line, or Ctrl-C."""
        os.write(self.master, (line if line == CTRL_C else f"{line}\n").encode())

    def ended(self) -> int:
        """Read until the program ends, and return its exit code."""
        until = time.monotonic() + SECONDS
        while self.process.is_alive() and time.monotonic() < until:
            self._read(0.05)
        while self._read(0.0):
            pass
        assert self.process.exitcode is not None, self.shown
        return self.process.exitcode

    def rest(self) -> str:
        """Return what was shown since the last `expect`."""
        return self.shown[self._seen :]

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            content = os.read(self.master, 65_536)
        except OSError:  # the program has closed its end
            return False
        self.shown += content.decode(errors="replace").replace("\r", "")
        return bool(content)


@contextmanager
def running(*arguments: str) -> Iterator[Terminal]:
    """Run `appliance` with these arguments; it is killed where the block ends before it."""
    master, slave = pty.openpty()
    process = _context().Process(target=_child, args=(os.ttyname(slave), arguments))
    process.start()
    try:
        yield Terminal(master, process)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        os.close(slave)
        os.close(master)


def _context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


def _child(name: str, arguments: Sequence[str]) -> None:
    os.setsid()
    terminal = os.open(name, os.O_RDWR)  # the session's first: it becomes the controlling one
    for descriptor in range(3):
        os.dup2(terminal, descriptor)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0, "r"), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["COLUMNS"] = "200"
    sys.argv = ["appliance", *arguments]
    from appliance.__main__ import main

    main()
