"""Alerts: their text, their severity, the kinds of addresses they go to, the time limit of a message, and the channels on this machine."""

import json
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Protocol

from signals.alerts.next_steps import next_step
from signals.files import append_line
from signals.text.wording import clean

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


LEVELS = {Severity.INFO: logging.INFO, Severity.WARN: logging.WARNING, Severity.PAGE: logging.CRITICAL}

LINES_KEPT = 5_000  # of the file of alerts, once it is longer than twice that


class LogNotifier:
    """Writes alerts to the log, which journald keeps under systemd."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def notify(self, alert: Alert) -> bool:
        """Log one line."""
        self._log.log(LEVELS[alert.severity], "%s: %s %s", clean(alert.title), clean(alert.body), next_step(alert.key))
        return True


class FileNotifier:
    """Appends alerts to a JSON-lines file next to the ledger, so that none is lost while nobody reads them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def notify(self, alert: Alert) -> bool:
        """Append one line; False when the disk does not take it."""
        row = asdict(alert) | {"at": alert.at.isoformat(), "device": socket.gethostname(), "to_do": next_step(alert.key)}
        try:
            append_line(self._path, json.dumps(row, sort_keys=True).encode())
        except OSError:
            return False
        return True


class Channels:
    """Every channel in turn.

    Parameters
    ----------
    channels : sequence of Notifier
        On this machine: they keep what was said.
    remote : sequence of Notifier
        Away from it. Where there is one, an alert that none of them took has reached nobody.
    """

    def __init__(self, channels: Sequence[Notifier], remote: Sequence[Notifier] = ()) -> None:
        self._channels, self._remote = tuple(channels), tuple(remote)

    def notify(self, alert: Alert) -> bool:
        """Return whether a channel that reaches a person took the alert; all are tried."""
        kept = [channel.notify(alert) for channel in self._channels]
        sent = [channel.notify(alert) for channel in self._remote]
        return any(sent) if self._remote else any(kept)
