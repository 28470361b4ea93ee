"""When something must be told again: a halt every hour until somebody has heard, an alert until one was reached."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts

EVERY = timedelta(hours=1)
LOST_FOR = timedelta(days=1)
ACKNOWLEDGED = "acknowledged_at"


def is_unheard(ledger: Ledger, standing: LatchRecord, now: datetime) -> bool:
    """Whether a halt stands that nobody acknowledged and that was last told an hour ago, or never.

    A fresh device is halted too, and nothing is wrong with it: it stays silent.
    """
    if standing.is_armed or standing.is_fresh or is_acknowledged(ledger, standing.halt_id):
        return False
    last = alerts.last_of(ledger, key_of(standing))
    return last is None or now - last.alert.at >= EVERY


def is_unsaid(ledger: Ledger, now: datetime) -> bool:
    """Whether an alert of the last day has reached nobody yet."""
    return bool(alerts.undelivered(ledger, now - LOST_FOR))


def is_acknowledged(ledger: Ledger, halt_id: str) -> bool:
    """Whether a person has said that they know of the halt."""
    row = halts.find(ledger, halt_id)
    return row is not None and ACKNOWLEDGED in row.details


def key_of(standing: LatchRecord) -> str:
    """The key under which every message about this halt goes out."""
    return f"halt-{standing.halt_id}"
