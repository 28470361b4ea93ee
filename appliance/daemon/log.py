"""The daemon's log on standard output: one JSON object a line, which journald keeps as it is, and its alerts.

An alert is logged at once and recorded in the ledger for an attendance to deliver, each at most once an hour.
"""

import logging
from typing import TextIO

import structlog

from appliance.daemon.ledger_view import LedgerView
from appliance.system.clock import SystemClock
from appliance.system.ports import Alert, Severity

LEVELS = {Severity.INFO: "info", Severity.WARN: "warning", Severity.PAGE: "critical"}


def configure(stream: TextIO) -> structlog.stdlib.BoundLogger:
    """Send this process's log lines to `stream`, those of libraries from the level of the log on among them."""
    shared = [structlog.stdlib.add_log_level, _stamp]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    line = logging.StreamHandler(stream)
    line.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [line]
    logging.getLogger("appliance.daemon").setLevel(logging.INFO)
    found: structlog.stdlib.BoundLogger = structlog.get_logger("appliance.daemon")
    return found


def _stamp(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    event["at"] = SystemClock().now().isoformat(timespec="milliseconds")
    return event


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
