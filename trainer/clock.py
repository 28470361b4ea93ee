"""The one place where this host asks what time it is; everything else is given the answer."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current UTC instant, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
