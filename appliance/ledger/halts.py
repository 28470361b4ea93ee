"""Halts: every closing of the latch and every lasting REDUCE, what measured it, and who ended it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.ledger import meta, values
from appliance.ledger.database import Ledger
from signals.errors import InvariantBroken

HALT, ARMED_AT = "halt", "armed_at"


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
    details: Mapping[str, Any] = field(default_factory=dict)
    rearmed_at: datetime | None = None
    rearmed_by: str | None = None
    reason: str | None = None


def add(ledger: Ledger, row: HaltRow) -> None:
    """Record a halt; the same id again is a no-op: the latch is written first and may be recorded after a crash."""
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO halts (id, at, name, measure, value, threshold, plan_digest, action, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (
                row.id,
                values.stamp(row.at),
                row.name,
                row.measure,
                row.value,
                row.threshold,
                row.plan_digest,
                row.action,
                json.dumps(dict(row.details), default=str, sort_keys=True),
            ),
        )


def add_details(ledger: Ledger, halt_id: str, details: Mapping[str, Any]) -> None:
    """Add to a halt's record what its reactions came to: cancel and notifier results."""
    with ledger.transaction():
        standing = require(ledger, halt_id)
        merged = json.dumps({**standing.details, **details}, default=str, sort_keys=True)
        ledger.execute("UPDATE halts SET details = ? WHERE id = ?", (merged, halt_id))


def rearm(ledger: Ledger, halt_id: str, at: datetime, by: str, reason: str) -> None:
    """Record who opened the latch and why; raise `InvariantBroken` for an unknown halt or one already rearmed."""
    with ledger.transaction():
        changed = ledger.execute(
            "UPDATE halts SET rearmed_at = ?, rearmed_by = ?, reason = ? WHERE id = ? AND rearmed_at IS NULL",
            (values.stamp(at), by, reason, halt_id),
        )
        if changed != 1:
            raise InvariantBroken("a halt is rearmed once, after it was recorded", where=halt_id)


def require(ledger: Ledger, halt_id: str) -> HaltRow:
    """Return the halt of an id that must exist."""
    row = ledger.row("SELECT * FROM halts WHERE id = ?", (halt_id,))
    if row is None:
        raise InvariantBroken("no such halt in the ledger", where=halt_id)
    return _halt(row)


def find(ledger: Ledger, halt_id: str) -> HaltRow | None:
    """Return the halt of this id, or None."""
    row = ledger.row("SELECT * FROM halts WHERE id = ?", (halt_id,))
    return None if row is None else _halt(row)


def newest(ledger: Ledger, count: int) -> tuple[HaltRow, ...]:
    """Return the last `count` halts, newest first."""
    return tuple(_halt(row) for row in ledger.rows("SELECT * FROM halts ORDER BY at DESC, id DESC LIMIT ?", (count,)))


def standing(ledger: Ledger, action: str) -> tuple[HaltRow, ...]:
    """Return what a person has not cleared yet of one action, oldest first."""
    found = ledger.rows("SELECT * FROM halts WHERE action = ? AND rearmed_at IS NULL ORDER BY at, id", (action,))
    return tuple(_halt(row) for row in found)


def last_cleared(ledger: Ledger, action: str) -> datetime | None:
    """Return when a person last cleared one of this action, or None."""
    found = ledger.rows("SELECT * FROM halts WHERE action = ? AND rearmed_at IS NOT NULL", (action,))
    return max((row.rearmed_at for row in map(_halt, found) if row.rearmed_at is not None), default=None)


def note_armed(ledger: Ledger, at: datetime) -> None:
    """Record that a person opened the latch: from now on a latch that is missing is not a fresh device's."""
    meta.write(ledger, ARMED_AT, values.stamp(at))


def last_armed(ledger: Ledger) -> str | None:
    """Return when a person last opened the latch, or None for a device that was never armed and never sent an order."""
    query = (
        "SELECT value FROM meta WHERE key = ? UNION ALL SELECT max(rearmed_at) FROM halts WHERE action = ?"
        " UNION ALL SELECT min(updated_at) FROM intents WHERE posts > 0"
    )
    found = [value for row in ledger.rows(query, (ARMED_AT, HALT)) for value in row.values() if isinstance(value, str)]
    return max(found, default=None)


def _halt(row: values.Row) -> HaltRow:
    return HaltRow(
        id=values.text(row, "id"),
        at=values.instant(row, "at"),
        name=values.text(row, "name"),
        measure=values.text(row, "measure"),
        value=values.text(row, "value"),
        threshold=values.text(row, "threshold"),
        plan_digest=values.optional_text(row, "plan_digest"),
        action=values.text(row, "action"),
        details=json.loads(values.text(row, "details")),
        rearmed_at=values.optional_instant(row, "rearmed_at"),
        rearmed_by=values.optional_text(row, "rearmed_by"),
        reason=values.optional_text(row, "reason"),
    )
