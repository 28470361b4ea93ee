"""The one process at work: polled by the supervisor's look, halted by a person's request from another thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from threading import Lock

from signals.schedule.child_process import ChildProcess, ProcessExit


@dataclass(frozen=True)
class RunningProcess:
    """A process, and why it was started."""

    name: str
    child: ChildProcess
    session: date | None = None


class ProcessSlot:
    """Room for one process at a time."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._running: RunningProcess | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing is at work."""
        return self._running is None

    @property
    def words(self) -> str:
        """The process at work, for a person; empty when there is none."""
        running = self._running
        return f"{running.name} {running.session or ''}".strip() if running else ""

    def take(self, process: RunningProcess) -> None:
        """Give the slot to a process that has just been started."""
        with self._guard:
            self._running = process

    def poll(self, mono_s: float) -> tuple[RunningProcess, ProcessExit] | None:
        """Hold the process to its limits; return it with its exit once it has ended, and free the slot."""
        with self._guard:
            running = self._running
            found = running.child.poll(mono_s) if running is not None else None
            if running is None or found is None:
                return None
            self._running = None
        return running, found

    def halt(self) -> None:
        """Have a job cancel its orders, at once."""
        with self._guard:
            if self._running is not None and self._running.session is not None:
                self._running.child.halt()

    def interrupt(self, mono_s: float) -> bool:
        """Break the process off as a reboot does; return whether there still is one."""
        if self.poll(mono_s) is not None:
            return False
        with self._guard:
            if self._running is not None:
                self._running.child.interrupt(mono_s)
            return self._running is not None

    def kill(self, monotonic: Callable[[], float]) -> None:
        """End the process now and wait until it has ended."""
        with self._guard:
            if self._running is not None:
                self._running.child.kill()
                while self._running.child.poll(monotonic()) is None:
                    time.sleep(0.01)
                self._running = None
