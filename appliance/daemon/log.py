"""The daemon's log on standard output: one JSON object a line, which journald keeps as it is."""

import logging
from typing import TextIO

import structlog

from appliance.system.clock import SystemClock
from appliance.system.ports import Severity

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
