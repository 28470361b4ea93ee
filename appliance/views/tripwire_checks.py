"""The tripwire checks of a session: value, limit, share used, and last trip."""

from datetime import date

from appliance.controls.tripwires import TRIPWIRES
from appliance.ledger import Ledger, tripwires
from appliance.ledger.tripwires import TripwireRow
from appliance.views.view import View, ViewRow

COLUMNS = ("name", "tripped", "value", "limit", "used", "action", "last_trip", "detail")
HISTORY_SESSIONS = 60
NEAR = 0.8
"""Share of its limit from which a check is worth a look before it trips."""
BELOW = frozenset(row.name for row in TRIPWIRES if row.trips_below)


def checks(ledger: Ledger, session: date) -> View:
    """Return the session's checks: what tripped first, then by the share of the limit that is used."""
    last = dict(ledger.read(tuple[str, date], "SELECT name, max(session) FROM tripwires WHERE tripped = 1 GROUP BY name"))
    past = _history(ledger, session)
    rows = [_row(row, last.get(row.name), past.get(row.name, [])) for row in tripwires.of_session(ledger, session)]
    rows.sort(key=lambda row: (row["tripped"] == "ok", -(row["used"] or 0.0), row["name"]))
    return View(COLUMNS, tuple(rows), f"no check was made for {session}", session)


def used_share(row: TripwireRow) -> float | None:
    """Share of its limit that a check uses, 1 at the limit; None without a value or with nothing to tolerate.

    A check that trips below its limit looks at a share of something: what it uses is counted from the whole.
    """
    if row.value is None:
        return None
    value, limit = float(row.value), float(row.limit)
    if row.name in BELOW:
        return None if limit >= 1 else max(0.0, (1 - value) / (1 - limit))
    return None if limit <= 0 else max(0.0, value / limit)


def _row(row: TripwireRow, last: date | None, past: list[float | None]) -> ViewRow:
    used = used_share(row)
    return {
        "name": row.name,
        "tripped": "TRIPPED" if row.tripped else "ok",
        "value": row.value,
        "limit": row.limit,
        "used": None if used is None else round(used, 3),
        "action": row.action,
        "last_trip": last.isoformat() if last else None,
        "detail": row.detail,
        "history": past,
    }


def _history(ledger: Ledger, session: date) -> dict[str, list[float | None]]:
    """Values of the last sessions up to D by check, oldest first."""
    found = ledger.read(
        tuple[str, str | None],
        "SELECT name, value FROM tripwires WHERE session <= ?1 AND session >= (SELECT min(session) FROM (SELECT session"
        " FROM job_runs WHERE session <= ?1 GROUP BY session ORDER BY session DESC LIMIT ?2)) ORDER BY name, session",
        (session, HISTORY_SESSIONS),
    )
    past: dict[str, list[float | None]] = {}
    for name, value in found:
        past.setdefault(name, []).append(None if value is None else float(value))
    return past
