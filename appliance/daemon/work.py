"""The one process at work, which the daemon's look tends and a person's halt reaches from another thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from threading import Lock

from appliance.daemon.children import Child, Ended


@dataclass(frozen=True)
class Work:
    """A process, and why it was started."""

    name: str
    child: Child
    session: date | None = None


class Workplace:
    """Room for one process at a time."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._work: Work | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing is at work."""
        return self._work is None

    @property
    def words(self) -> str:
        """The process at work, for a person; empty when there is none."""
        work = self._work
        return f"{work.name} {work.session or ''}".strip() if work else ""

    def take(self, work: Work) -> None:
        """Give the place to a process that has just been started."""
        with self._guard:
            self._work = work

    def ended(self, now: float) -> tuple[Work, Ended] | None:
        """Hold the process to its limits; return it with its end once it has ended, and free the place."""
        with self._guard:
            work = self._work
            found = work.child.poll(now) if work is not None else None
            if work is None or found is None:
                return None
            self._work = None
        return work, found

    def halt(self) -> None:
        """Have a job cancel its orders, at once."""
        with self._guard:
            if self._work is not None and self._work.session is not None:
                self._work.child.halt()

    def interrupt(self, now: float) -> bool:
        """Break the process off as a reboot does; return whether there still is one."""
        if self.ended(now) is not None:
            return False
        with self._guard:
            if self._work is not None:
                self._work.child.interrupt(now)
            return self._work is not None

    def kill(self, monotonic: Callable[[], float]) -> None:
        """End the process now and wait for that."""
        with self._guard:
            if self._work is not None:
                self._work.child.kill()
                while self._work.child.poll(monotonic()) is None:
                    time.sleep(0.01)
                self._work = None
