"""The training host's only access to the system clock."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current UTC instant, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class WallClock:
    """The time of this machine, for what must wait: requests to a vendor that allows so many a minute."""

    def now(self) -> datetime:
        """Return the current UTC instant."""
        return now()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
