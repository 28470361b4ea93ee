"""The clocks a device can run on: the machine's own, or one that a rehearsal moves by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from signals.errors import InvariantBroken, TrademlError

if TYPE_CHECKING:
    from appliance.seams import Clock


def instant(clock: Clock) -> datetime:
    """The clock's time, or the machine's where an exchange that owns the time does not answer: a halt never waits."""
    try:
        return clock.now()
    except TrademlError:
        return SystemClock().now()


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current UTC instant."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds of the machine's monotonic counter."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when told to: history passes as fast as the work allows.

    Parameters
    ----------
    start : datetime
        Aware instant.
    on_advance : callable, optional
        Called with every new instant, so that an exchange hosted in the same process lives at the same time.
    """

    def __init__(self, start: datetime, on_advance: Callable[[datetime], None] | None = None) -> None:
        self._now = start.astimezone(UTC)
        self._start = self._now
        self._on_advance = on_advance

    def now(self) -> datetime:
        """Return the instant to which the clock was last moved."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock's start."""
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.advance(self._now + timedelta(seconds=seconds))

    def advance(self, to: datetime) -> None:
        """Move the clock to the instant `to`; raise `InvariantBroken` on a step backwards."""
        instant = to.astimezone(UTC)
        if instant < self._now:
            raise InvariantBroken("a clock never goes back", where=f"{self._now.isoformat()} to {instant.isoformat()}")
        self._now = instant
        if self._on_advance is not None:
            self._on_advance(instant)
