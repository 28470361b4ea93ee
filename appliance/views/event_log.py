"""The event log from the ledger: alerts, halts, re-armings and job summaries, newest first."""

from datetime import date, datetime

from appliance.ledger import Ledger, alerts, halts
from appliance.schedule.job import JobStatus
from appliance.views.view import View, ViewRow

COLUMNS = ("at", "level", "source", "text")
HALT_COLUMNS = ("id", "at", "name", "value", "rearmed_by", "reason")
ALERT_COLUMNS = ("at", "severity", "title", "body", "delivered")
LEVELS = {JobStatus.DONE.value: "info", JobStatus.SKIPPED.value: "warn", "running": "info"}


def logs(ledger: Ledger, limit: int) -> View:
    """Return the newest `limit` lines of every source together."""
    lines = [*_of_alerts(ledger, limit), *_of_halts(ledger, limit), *_of_jobs(ledger, limit)]
    lines.sort(key=lambda line: (line["at"], line["source"]), reverse=True)
    return View(COLUMNS, tuple(lines[:limit]), "nothing has happened yet")


def halts_view(ledger: Ledger, limit: int) -> View:
    """Return the latest halts, why, and who opened the latch again."""
    rows: tuple[ViewRow, ...] = tuple(
        {
            "id": h.id,
            "at": h.at.isoformat(timespec="seconds"),
            "name": h.name,
            "value": h.value,
            "rearmed_by": h.rearmed_by,
            "reason": h.reason,
        }
        for h in halts.newest(ledger, limit)
    )
    return View(HALT_COLUMNS, rows, "this device never halted")


def alerts_view(ledger: Ledger, limit: int) -> View:
    """Return the alerts that were sent, newest first, and whether they were delivered."""
    rows: tuple[ViewRow, ...] = tuple(
        {
            "at": r.alert.at.isoformat(timespec="seconds"),
            "severity": r.alert.severity.value,
            "title": r.alert.title,
            "body": r.alert.body,
            "delivered": r.delivered,
        }
        for r in alerts.newest(ledger, limit)
    )
    return View(ALERT_COLUMNS, rows, "no alert was ever sent")


def _line(at: datetime, level: str, source: str, text: str) -> ViewRow:
    return {"at": at.isoformat(timespec="seconds"), "level": level, "source": source, "text": text}


def _of_alerts(ledger: Ledger, limit: int) -> list[ViewRow]:
    return [
        _line(
            row.alert.at,
            row.alert.severity.value,
            "alert",
            f"{row.alert.title}: {row.alert.body}" + ("" if row.delivered else " [reached nobody]"),
        )
        for row in alerts.newest(ledger, limit)
    ]


def _of_halts(ledger: Ledger, limit: int) -> list[ViewRow]:
    lines = []
    for halt in halts.newest(ledger, limit):
        lines.append(_line(halt.at, "page", "latch", f"HALTED by {halt.name}, halt id {halt.id}: {halt.value}"))
        if halt.rearmed_at is not None:
            lines.append(_line(halt.rearmed_at, "warn", "latch", f"re-armed by {halt.rearmed_by}: {halt.reason}"))
    return lines


def _of_jobs(ledger: Ledger, limit: int) -> list[ViewRow]:
    query = "SELECT session, job, status, summary, coalesce(finished_at, started_at) AS at FROM job_runs ORDER BY at DESC LIMIT ?"
    found = ledger.read(tuple[date, str, str, str, datetime], query, (limit,))
    return [_line(at, LEVELS.get(status, "page"), job, f"{session} {status}: {summary}") for session, job, status, summary, at in found]
