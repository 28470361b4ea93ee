"""The ledger: SQLite through apsw, one file of small typed functions per noun."""

from appliance.ledger.database import AccessMode, Ledger

__all__ = ["AccessMode", "Ledger"]
