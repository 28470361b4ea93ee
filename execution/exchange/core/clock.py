"""The exchange's clocks: simulated (moved by request) or wall time."""

from datetime import UTC, datetime
from typing import Protocol

from signals.errors import InvariantBroken
from signals.text.wording import utc_words


class ExchangeClock(Protocol):
    """A source of the UTC instant; the exchange catches up with it at every request."""

    def now(self) -> datetime:
        """Return the current UTC instant."""


class ExchangeVirtualClock:
    """A clock that does not move until it is moved, and never goes back."""

    def __init__(self, at: datetime) -> None:
        self._now = _utc(at)

    def now(self) -> datetime:
        """Return the instant it was last moved to."""
        return self._now

    def move(self, to: datetime) -> None:
        """Move forward to `to`."""
        target = _utc(to)
        if target < self._now:
            raise InvariantBroken(f"a virtual clock at {utc_words(self._now)} cannot go back to {utc_words(target)}")
        self._now = target


class ExchangeWallClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the machine's UTC instant."""
        return datetime.now(UTC)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InvariantBroken("an instant carries its time zone", where=utc_words(at))
    return at.astimezone(UTC)
