"""Reminder rules: an unacknowledged halt every hour, an undelivered alert until it is delivered."""

from datetime import datetime, timedelta

from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts

MORE = "`appliance status` and `appliance alerts` say more."  # in every message
EVERY = timedelta(hours=1)
LOST_FOR = timedelta(days=1)
ACKNOWLEDGED = "acknowledged_at"


def is_reminder_due(ledger: Ledger, halt: LatchRecord, now: datetime) -> bool:
    """Whether an unacknowledged halt was last notified an hour ago, or never.

    A fresh device is halted too, and nothing is wrong with it: it stays silent.
    """
    if halt.is_armed or halt.is_fresh or is_acknowledged(ledger, halt.halt_id):
        return False
    last = alerts.last_of(ledger, key_of(halt))
    return last is None or now - last.alert.at >= EVERY


def has_undelivered(ledger: Ledger, now: datetime) -> bool:
    """Whether an alert of the last day has reached nobody yet."""
    return bool(alerts.undelivered(ledger, now - LOST_FOR))


def is_acknowledged(ledger: Ledger, halt_id: str) -> bool:
    """Whether a person has said that they know of the halt."""
    row = halts.find(ledger, halt_id)
    return row is not None and ACKNOWLEDGED in row.details


def key_of(halt: LatchRecord) -> str:
    """The key under which every message about this halt goes out."""
    return f"halt-{halt.halt_id}"
