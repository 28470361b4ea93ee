"""Facts about the ledger itself and cursors of what was read, by key."""

from __future__ import annotations

from appliance.ledger.database import RENEW_FACT, Ledger


def read(ledger: Ledger, key: str) -> str | None:
    """Return the fact, or None."""
    found = ledger.value("SELECT value FROM meta WHERE key = ?", (key,))
    return found if isinstance(found, str) else None


def write(ledger: Ledger, key: str, value: str) -> None:
    """Record the fact, replacing an earlier value."""
    with ledger.transaction():
        ledger.insert("meta", {"key": key, "value": value}, conflict=RENEW_FACT)
