"""Sends reminders of unacknowledged halts every hour, and resends undelivered alerts.

Acknowledging says that a person knows; it opens nothing. Both are in the halt's own record.
"""

from datetime import datetime

from appliance.alerts.reminders import ACKNOWLEDGED, LOST_FOR, is_acknowledged, is_reminder_due, key_of
from appliance.context import Deps
from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts
from appliance.safety.halt import carry_out, notify
from appliance.system.ports import Severity

LOST_AT_ONCE = 20
TRIED_FOR_SECONDS = 30.0  # the state folder is locked meanwhile; addresses that do not answer cost seconds each


def attend(deps: Deps) -> None:
    """Do what halts and messages lack: reactions that a crash cut off, hourly repeats, and what nobody heard."""
    complete(deps)
    send_reminder(deps)
    send_again(deps)


def complete(deps: Deps) -> bool:
    """Carry out a halt that closed the latch and got no further; return whether there was one."""
    latch = deps.latch.read()
    if latch.is_armed or latch.is_fresh or halts.find(deps.ledger, latch.halt_id) is not None:
        return False
    carry_out(deps, None, latch, latch.name, latch.reason)
    return True


def send_reminder(deps: Deps) -> bool:
    """Send a reminder of an unacknowledged halt when it was last notified an hour ago; return whether it was sent."""
    latch = deps.latch.read()
    if not is_reminder_due(deps.ledger, latch, deps.clock.now()):
        return False
    notify(
        deps,
        Severity.PAGE,
        key_of(latch),
        f"STILL HALTED by {latch.name}",
        f"{latch.sentence()}. To stop these messages: appliance acknowledge",
    )
    return True


def send_again(deps: Deps) -> int:
    """Send what reached nobody within the last day, oldest first; return how many a channel took now.

    One that no channel takes keeps none of the others back; where each attempt waits for an answer, the next attendance goes on.
    """
    lost = alerts.undelivered(deps.ledger, deps.clock.now() - LOST_FOR)[:LOST_AT_ONCE]
    taken, until = 0, deps.clock.monotonic() + TRIED_FOR_SECONDS
    for number, row in lost:
        if deps.notifier.notify(row.alert):
            alerts.mark_delivered(deps.ledger, number)
            taken += 1
        if deps.clock.monotonic() > until:
            break
    return taken


def acknowledge(ledger: Ledger, latch: LatchRecord, by: str, at: datetime) -> None:
    """Record that a person knows of the halt in force; acknowledging again keeps the first record."""
    if halts.find(ledger, latch.halt_id) is None:  # a crash came between the latch and the ledger
        halts.add(ledger, halts.HaltRow(latch.halt_id, at, latch.name, "", latch.reason, "", None, "halt"))
    if not is_acknowledged(ledger, latch.halt_id):
        halts.add_details(ledger, latch.halt_id, {ACKNOWLEDGED: at.isoformat(), "acknowledged_by": by})
