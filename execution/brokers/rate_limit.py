"""A token bucket that keeps requests below a number per minute."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

SECONDS_PER_MINUTE = 60.0


class RateClock(Protocol):
    """Time as the client of a broker needs it; the device's `Clock` seam is one."""

    def now(self) -> datetime:
        """Return the current UTC instant."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class TokenBucket:
    """Makes its caller wait until a request may leave.

    With a burst of b and a refill of r a second at most b + 60 r requests leave in any minute; r is chosen so that
    this is `per_minute` (a bucket of full capacity would let almost twice as many pass).

    Parameters
    ----------
    per_minute : int
        Ceiling over every window of 60 seconds.
    burst : int
        Requests that may leave at once; less than `per_minute`.
    """

    def __init__(self, per_minute: int, burst: int, clock: RateClock) -> None:
        self._burst = float(burst)
        self._refill = (per_minute - burst) / SECONDS_PER_MINUTE
        self._clock = clock
        self._tokens = self._burst
        self._at = clock.monotonic()

    def take(self) -> None:
        """Wait for a token and take it."""
        self._fill()
        if self._tokens < 1:
            self._clock.sleep((1 - self._tokens) / self._refill)
            self._fill()
        self._tokens = max(0.0, self._tokens - 1)

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._refill)
        self._at = now


def asked_wait(headers: Mapping[str, str], otherwise: float, now: datetime, longest: float) -> float:
    """Return the seconds that a venue asks for by Retry-After or X-RateLimit-Reset, `otherwise` at least, `longest` at most."""
    waits = [otherwise]
    if (after := headers.get("Retry-After", "")).isdecimal():
        waits.append(float(after))
    if (reset := headers.get("X-RateLimit-Reset", "")).isdecimal():
        waits.append(float(reset) - now.timestamp())
    return min(max(waits), longest)
