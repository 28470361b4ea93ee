"""Alert channels on this machine: the log, an append-only file, and all configured channels in turn."""

import json
import logging
import socket
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from signals.alerts.alert import Alert, Notifier, Severity
from signals.alerts.next_steps import next_step
from signals.files import append_line
from signals.text.plain_text import clean

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
