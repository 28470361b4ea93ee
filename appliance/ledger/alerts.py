"""Alerts: what a person was told, and whether any channel took it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.system.ports import Alert, Severity


@dataclass(frozen=True)
class AlertRow:
    """One alert and whether it was delivered."""

    alert: Alert
    delivered: bool


def add(ledger: Ledger, alert: Alert, *, delivered: bool) -> None:
    """Record one alert."""
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO alerts (at, severity, key, title, body, delivered) VALUES (?, ?, ?, ?, ?, ?)",
            (values.stamp(alert.at), alert.severity.value, alert.key, alert.title, alert.body, int(delivered)),
        )


def newest(ledger: Ledger, count: int) -> tuple[AlertRow, ...]:
    """Return the last `count` alerts, newest first."""
    return tuple(_row(row) for row in ledger.rows("SELECT * FROM alerts ORDER BY id DESC LIMIT ?", (count,)))


def last_of(ledger: Ledger, key: str) -> AlertRow | None:
    """Return the newest alert with this key, or None."""
    row = ledger.row("SELECT * FROM alerts WHERE key = ? ORDER BY id DESC LIMIT 1", (key,))
    return None if row is None else _row(row)


def undelivered(ledger: Ledger, since: datetime) -> tuple[tuple[int, AlertRow], ...]:
    """Return what no channel took since then, oldest first, each with its row number."""
    found = ledger.rows("SELECT * FROM alerts WHERE delivered = 0 AND at >= ? ORDER BY id", (values.stamp(since),))
    return tuple((values.integer(row, "id"), _row(row)) for row in found)


def mark_delivered(ledger: Ledger, number: int) -> None:
    """Record that a channel has taken the alert after all."""
    with ledger.transaction():
        ledger.execute("UPDATE alerts SET delivered = 1 WHERE id = ?", (number,))


def _row(row: values.Row) -> AlertRow:
    alert = Alert(
        severity=Severity(values.text(row, "severity")),
        key=values.text(row, "key"),
        title=values.text(row, "title"),
        body=values.text(row, "body"),
        at=values.instant(row, "at"),
    )
    return AlertRow(alert, bool(values.integer(row, "delivered")))
