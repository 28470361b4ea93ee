"""A halt that nobody has acknowledged is told again every hour, through every channel.

Acknowledging says that a person knows; it opens nothing. Both are in the halt's own record.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.deps import Deps
from appliance.halting import tell
from appliance.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts
from appliance.seams import Severity

EVERY = timedelta(hours=1)
ACKNOWLEDGED = "acknowledged_at"


def repeat(deps: Deps) -> bool:
    """Tell of the standing halt again when it is unacknowledged and was last told an hour ago; return whether it was.

    A fresh device is halted too, and nothing is wrong with it: it stays silent.
    """
    standing = deps.latch.read()
    if standing.is_armed or standing.is_fresh or is_acknowledged(deps.ledger, standing.halt_id):
        return False
    key = key_of(standing)
    last = alerts.last_of(deps.ledger, key)
    if last is not None and deps.clock.now() - last.alert.at < EVERY:
        return False
    tell(
        deps, Severity.PAGE, key, f"STILL HALTED by {standing.name}",
        f"{standing.sentence()}. To stop these messages: appliance acknowledge",
    )  # fmt: skip
    return True


def acknowledge(ledger: Ledger, standing: LatchRecord, by: str, at: datetime) -> None:
    """Record that a person knows of the standing halt; the same again keeps the first."""
    if halts.find(ledger, standing.halt_id) is None:  # a crash came between the latch and the ledger
        halts.add(ledger, halts.HaltRow(standing.halt_id, at, standing.name, "", standing.reason, "", None, "halt"))
    if not is_acknowledged(ledger, standing.halt_id):
        halts.add_details(ledger, standing.halt_id, {ACKNOWLEDGED: at.isoformat(), "acknowledged_by": by})


def is_acknowledged(ledger: Ledger, halt_id: str) -> bool:
    """Whether a person has said that they know of the halt."""
    row = halts.find(ledger, halt_id)
    return row is not None and ACKNOWLEDGED in row.details


def key_of(standing: LatchRecord) -> str:
    """The key under which every message about this halt goes out."""
    return f"halt-{standing.halt_id}"
