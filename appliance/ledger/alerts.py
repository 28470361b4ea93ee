"""The ledger's alerts: what was sent to a person, and whether a channel delivered it."""

from dataclasses import dataclass
from datetime import datetime

from appliance.ledger.database import Ledger, columns_of
from appliance.system.ports import Alert


@dataclass(frozen=True)
class AlertRow:
    """One alert and whether it was delivered."""

    alert: Alert
    delivered: bool


@dataclass(frozen=True)
class _Numbered:
    id: int
    row: AlertRow


def add(ledger: Ledger, alert: Alert, *, delivered: bool) -> None:
    """Record one alert."""
    with ledger.transaction():
        ledger.insert("alerts", {**columns_of(alert), "delivered": delivered})


def newest(ledger: Ledger, count: int) -> tuple[AlertRow, ...]:
    """Return the last `count` alerts, newest first."""
    return tuple(ledger.read(AlertRow, "SELECT * FROM alerts ORDER BY id DESC LIMIT ?", (count,)))


def last_of(ledger: Ledger, key: str) -> AlertRow | None:
    """Return the newest alert with this key, or None."""
    return ledger.first(AlertRow, "SELECT * FROM alerts WHERE key = ? ORDER BY id DESC LIMIT 1", (key,))


def undelivered(ledger: Ledger, since: datetime) -> tuple[tuple[int, AlertRow], ...]:
    """Return what no channel took since then, oldest first, each with its row number."""
    found = ledger.read(_Numbered, "SELECT * FROM alerts WHERE delivered = 0 AND at >= ? ORDER BY id", (since,))
    return tuple((one.id, one.row) for one in found)


def mark_delivered(ledger: Ledger, number: int) -> None:
    """Record that a channel has taken the alert after all."""
    with ledger.transaction():
        ledger.execute("UPDATE alerts SET delivered = 1 WHERE id = ?", (number,))
