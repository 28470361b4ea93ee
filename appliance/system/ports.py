"""Interfaces of the device to the outside world: clock, files, alerts and heartbeat.

The composition root passes the real ones, replay and simulation pass virtual ones, and every job runs the same code.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from signals.alerts.alert import Alert, Notifier, Severity

__all__ = ["Alert", "Clock", "Fs", "Heartbeat", "HeartbeatSignal", "Notifier", "Severity"]


class Clock(Protocol):
    """Where `now` comes from."""

    def now(self) -> datetime:
        """Return the current UTC instant."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Fs(Protocol):
    """Side files: the halt latch, reports, status. The ledger has its own durability."""

    def read(self, path: Path) -> bytes | None:
        """Return the whole file, or None when there is none."""

    def write(self, path: Path, content: bytes) -> None:
        """Make `content` durable under `path`, whole or not at all."""

    def remove(self, path: Path) -> None:
        """Remove the file, or the empty folder, durably; no error when there is none."""

    def rename(self, path: Path, to: Path) -> None:
        """Move a file over another in one durable step that needs no room; raise `FileNotFoundError` without one."""

    def exists(self, path: Path) -> bool:
        """Whether anything has this name: a folder, a link to nothing and what may not be read included."""

    def head(self, path: Path, size: int) -> bytes:
        """Return the first bytes without ever waiting for them; raise `OSError` when there are none to be read."""


class HeartbeatSignal(StrEnum):
    """The kinds of ping to the external watcher; the value is added to its address."""

    START = "/start"
    SUCCESS = ""
    FAIL = "/fail"


class Heartbeat(Protocol):
    """How an external watcher, which pages when pings stop, learns that the device is alive."""

    @property
    def is_set(self) -> bool:
        """Whether there is a watcher."""

    def beat(self, beat: HeartbeatSignal, body: str = "") -> bool:
        """Return whether the watcher took it; never raises and never takes long."""
