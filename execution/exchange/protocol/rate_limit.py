"""The rate limit per key: Alpaca's fixed one-minute window and its three headers."""

from datetime import datetime

WINDOW_SECONDS = 60


class RateLimit:
    """Counts requests in windows of one minute; a limit of 0 never refuses and reports nothing."""

    def __init__(self, requests_a_minute: int) -> None:
        self.limit = requests_a_minute
        self._window = 0
        self._used: dict[str, int] = {}

    def take(self, key: str, at: datetime) -> tuple[bool, dict[str, str]]:
        """Count one request; return whether it is allowed and the headers that report it."""
        if not self.limit:
            return True, {}
        window = int(at.timestamp()) // WINDOW_SECONDS
        if window != self._window:
            self._window, self._used = window, {}
        used = self._used[key] = self._used.get(key, 0) + 1
        return used <= self.limit, {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(0, self.limit - used)),
            "x-ratelimit-reset": str((window + 1) * WINDOW_SECONDS),
        }
