"""The ledger's halts and lasting reductions: cause, measured figure, and who ended each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.ledger.database import Ledger, columns_of
from appliance.ledger.values import known, stamp
from signals.errors import InvariantBroken

HALT, ARMED_AT = "halt", "armed_at"
REARMING = ("rearmed_at", "rearmed_by", "reason")


@dataclass(frozen=True)
class HaltRow:
    """One halt; the three `rearm` fields are None until a person opens the latch."""

    id: str
    at: datetime
    name: str
    measure: str
    value: str
    threshold: str
    plan_digest: str | None
    action: str
    details: Mapping[str, object] = field(default_factory=dict)
    rearmed_at: datetime | None = None
    rearmed_by: str | None = None
    reason: str | None = None


def add(ledger: Ledger, row: HaltRow) -> None:
    """Record a halt; the same id again is a no-op: the latch is written first and may be recorded after a crash."""
    columns = {name: value for name, value in columns_of(row).items() if name not in REARMING}
    with ledger.transaction():
        ledger.insert("halts", columns, conflict="ON CONFLICT (id) DO NOTHING")


def add_details(ledger: Ledger, halt_id: str, details: Mapping[str, object]) -> None:
    """Add to a halt's record what its reactions came to: cancel and notifier results."""
    with ledger.transaction():
        open_halts = require(ledger, halt_id)
        ledger.execute("UPDATE halts SET details = ? WHERE id = ?", ({**open_halts.details, **details}, halt_id))


def rearm(ledger: Ledger, halt_id: str, at: datetime, by: str, reason: str) -> None:
    """Record who opened the latch and why; raise `InvariantBroken` for an unknown halt or one already rearmed."""
    with ledger.transaction():
        changed = ledger.execute(
            "UPDATE halts SET rearmed_at = ?, rearmed_by = ?, reason = ? WHERE id = ? AND rearmed_at IS NULL", (at, by, reason, halt_id)
        )
        if changed != 1:
            raise InvariantBroken("a halt is rearmed once, after it was recorded", where=halt_id)


def require(ledger: Ledger, halt_id: str) -> HaltRow:
    """Return the halt of an id that must exist."""
    return known(find(ledger, halt_id), "halt", halt_id)


def find(ledger: Ledger, halt_id: str) -> HaltRow | None:
    """Return the halt of this id, or None."""
    return ledger.first(HaltRow, "SELECT * FROM halts WHERE id = ?", (halt_id,))


def newest(ledger: Ledger, count: int) -> tuple[HaltRow, ...]:
    """Return the last `count` halts, newest first."""
    return tuple(ledger.read(HaltRow, "SELECT * FROM halts ORDER BY at DESC, id DESC LIMIT ?", (count,)))


def open_halts(ledger: Ledger, action: str) -> tuple[HaltRow, ...]:
    """Return what a person has not cleared yet of one action, oldest first."""
    return tuple(ledger.read(HaltRow, "SELECT * FROM halts WHERE action = ? AND rearmed_at IS NULL ORDER BY at, id", (action,)))


def last_cleared(ledger: Ledger, action: str) -> datetime | None:
    """Return when a person last cleared one of this action, or None."""
    query = "SELECT rearmed_at FROM halts WHERE action = ? AND rearmed_at IS NOT NULL"
    return max(ledger.read(datetime, query, (action,)), default=None)


def record_armed(ledger: Ledger, at: datetime) -> None:
    """Record that a person opened the latch: from now on a latch that is missing is not a fresh device's."""
    ledger.write_meta(ARMED_AT, stamp(at))


def last_armed(ledger: Ledger) -> str | None:
    """Return when a person last opened the latch, or None for a device that was never armed and never sent an order."""
    query = (
        "SELECT value FROM meta WHERE key = ? UNION ALL SELECT max(rearmed_at) FROM halts WHERE action = ?"
        " UNION ALL SELECT min(updated_at) FROM intents WHERE posts > 0"
    )
    found = ledger.read(tuple[str | None], query, (ARMED_AT, HALT))
    return max((at for (at,) in found if at is not None), default=None)
