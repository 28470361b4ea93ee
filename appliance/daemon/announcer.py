"""The daemon's alerts: logged at once, recorded in the ledger for an attendance to deliver, each at most once an hour."""

import structlog

from appliance.daemon.ledger_view import LedgerView
from appliance.daemon.log import LEVELS
from appliance.system.ports import Alert

REPEAT_SECONDS = 3_600.0


class Announcer:
    """Announces each alert once an hour.

    Parameters
    ----------
    log : structlog logger
    """

    def __init__(self, ledger_view: LedgerView, log: structlog.stdlib.BoundLogger) -> None:
        self._ledger_view, self._log = ledger_view, log
        self._last: dict[str, tuple[str, float]] = {}

    def announce(self, alert: Alert, mono_s: float) -> bool:
        """Log it and record it for an attendance to deliver; False for what was announced within the hour.

        Raises
        ------
        LedgerUnusable
            It is in the log and could not be recorded.
        """
        text, before = f"{alert.title}: {alert.body}", self._last.get(alert.key)
        if before is not None and before[0] == text and mono_s - before[1] < REPEAT_SECONDS:
            return False
        self._last[alert.key] = (text, mono_s)
        getattr(self._log, LEVELS[alert.severity])(alert.title, body=alert.body)
        self._ledger_view.add_alerts((alert,))
        return True

    def record(self, alert: Alert) -> None:
        """Record an alert that needs no delivery."""
        self._log.info(alert.title, body=alert.body)
        self._ledger_view.add_alerts((alert,), delivered=True)
