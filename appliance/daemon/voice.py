"""What the daemon tells a person: in its log at once, in the ledger for a channel to deliver, once an hour."""

from __future__ import annotations

import structlog

from appliance.daemon.log import LEVELS
from appliance.daemon.record import Record
from appliance.system.ports import Alert

SAID_AGAIN_SECONDS = 3_600.0


class Voice:
    """Says each thing once an hour.

    Parameters
    ----------
    record : Record
    log : structlog logger
    """

    def __init__(self, record: Record, log: structlog.stdlib.BoundLogger) -> None:
        self._record, self._log = record, log
        self._last: dict[str, tuple[str, float]] = {}

    def say(self, alert: Alert, now: float) -> bool:
        """Log it and leave it for an attendance to deliver; False for what was said within the hour.

        Raises
        ------
        LedgerUnusable
            It is in the log and could not be recorded.
        """
        text, before = f"{alert.title}: {alert.body}", self._last.get(alert.key)
        if before is not None and before[0] == text and now - before[1] < SAID_AGAIN_SECONDS:
            return False
        self._last[alert.key] = (text, now)
        getattr(self._log, LEVELS[alert.severity])(alert.title, body=alert.body)
        self._record.say((alert,))
        return True

    def keep(self, alert: Alert) -> None:
        """Record what needs no delivery."""
        self._log.info(alert.title, body=alert.body)
        self._record.say((alert,), delivered=True)
