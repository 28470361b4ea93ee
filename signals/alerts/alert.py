"""Alerts: their text, their severity, the kinds of addresses they go to, and the time limit of a message."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Thread
from typing import Protocol

ADDRESSES = "alert-urls"  # the credential with the addresses for alerts, one a line
WEB = frozenset({"http", "https"})
SERVICES = frozenset({"discord", "json", "jsons", "mailto", "mailtos", "ntfy", "ntfys", "slack", "tgram"})  # by the extra `alerts`


def scheme_of(address: str) -> str:
    """Return what comes before `://` in an address for alerts; empty where nothing does."""
    scheme, mark, rest = address.strip().partition("://")
    return scheme if mark and rest else ""


class Severity(StrEnum):
    """How loudly a person is notified."""

    INFO = "info"
    WARN = "warn"
    PAGE = "page"


@dataclass(frozen=True)
class Alert:
    """One message to a person; `key` de-duplicates repeats."""

    severity: Severity
    key: str
    title: str
    body: str
    at: datetime


class Notifier(Protocol):
    """How a person is notified. Never raises into trading; a failure to deliver is a result."""

    def notify(self, alert: Alert) -> bool:
        """Return whether at least one channel took the alert."""


def within(seconds: float, send: Callable[[], bool]) -> bool:
    """Return what `send` returns, or False when it has not ended by then.

    A peer that drips bytes outlives every time-out of a single read: only the end of a thread is sure.
    """
    taken: list[bool] = []
    sender = Thread(target=lambda: taken.append(send()), daemon=True)
    sender.start()
    sender.join(seconds)
    return taken == [True]
