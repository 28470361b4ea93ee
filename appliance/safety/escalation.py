"""A halt that nobody has acknowledged is told again every hour, through every channel.

Acknowledging says that a person knows; it opens nothing. Both are in the halt's own record.
"""

from __future__ import annotations

from datetime import datetime

from appliance.alerts.reminders import ACKNOWLEDGED, LOST_FOR, is_acknowledged, is_unheard, key_of
from appliance.context import Deps
from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts
from appliance.safety.halt import carry_out, tell
from appliance.system.ports import Severity

LOST_AT_ONCE = 20


def attend(deps: Deps) -> None:
    """Do what halts and messages lack: reactions that a crash cut off, hourly repeats, and what nobody heard."""
    complete(deps)
    repeat(deps)
    send_again(deps)


def complete(deps: Deps) -> bool:
    """Carry out a halt that closed the latch and got no further; return whether there was one."""
    standing = deps.latch.read()
    if standing.is_armed or standing.is_fresh or halts.find(deps.ledger, standing.halt_id) is not None:
        return False
    carry_out(deps, None, standing, standing.name, standing.reason)
    return True


def repeat(deps: Deps) -> bool:
    """Tell of an unacknowledged halt again when it was last told an hour ago; return whether it was."""
    standing = deps.latch.read()
    if not is_unheard(deps.ledger, standing, deps.clock.now()):
        return False
    tell(
        deps,
        Severity.PAGE,
        key_of(standing),
        f"STILL HALTED by {standing.name}",
        f"{standing.sentence()}. To stop these messages: appliance acknowledge",
    )
    return True


def send_again(deps: Deps) -> int:
    """Send what reached nobody within the last day, oldest first; return how many a channel took now."""
    lost = alerts.undelivered(deps.ledger, deps.clock.now() - LOST_FOR)[:LOST_AT_ONCE]
    taken = 0
    for number, row in lost:
        if not deps.notifier.notify(row.alert):
            break  # the way out is still closed; the next attempt begins with the same one
        alerts.mark_delivered(deps.ledger, number)
        taken += 1
    return taken


def acknowledge(ledger: Ledger, standing: LatchRecord, by: str, at: datetime) -> None:
    """Record that a person knows of the standing halt; the same again keeps the first."""
    if halts.find(ledger, standing.halt_id) is None:  # a crash came between the latch and the ledger
        halts.add(ledger, halts.HaltRow(standing.halt_id, at, standing.name, "", standing.reason, "", None, "halt"))
    if not is_acknowledged(ledger, standing.halt_id):
        halts.add_details(ledger, standing.halt_id, {ACKNOWLEDGED: at.isoformat(), "acknowledged_by": by})
