"""The ledger: SQLite through apsw, one file of small typed functions per noun."""

from appliance.ledger.database import Ledger, Mode

__all__ = ["Ledger", "Mode"]
