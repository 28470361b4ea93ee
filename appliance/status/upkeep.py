"""Signs of a neglected device: missed sessions, missing alert addresses, keys about to expire.

Everything is read, nothing believed: the key set is verified where it is used, here only its dates are shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, job_runs
from signals.alerts.alert import ADDRESSES, SERVICES, WEB, scheme_of
from signals.market.sessions import Calendar
from signals.schedule.job_windows import Timetable, windows

DECIDING = ("plan", "trade")
RECENT_SESSIONS = 5  # what was missed longer ago is history, and in the ledger
EARLY_DAYS = 60
NO_ADDRESS = (
    "no address for alerts is set, nobody would hear of a halt: write two that do not depend on each other to the "
    "credential alert-urls, one a line"
)


def concerns_of(
    ledger: Ledger, keys: Path, latch: LatchRecord, now: datetime, addresses: int, calendar: Calendar, table: Timetable
) -> tuple[str, ...]:
    """Return what a person should look at on a device that was armed once, at the venue's instant `now`."""
    if latch.is_fresh:
        return ()
    missed: tuple[date, ...] = ()
    if latch.is_armed:
        first = min(job_runs.sessions(ledger), default=date.min)
        served = [(run.session, run.job) for run in job_runs.since(ledger, first)]
        missed = missed_sessions(served, datetime.fromisoformat(latch.at), now, calendar, table)
    found = ("" if addresses else NO_ADDRESS, keys_reason(keys, now.date()), missed_reason(missed))
    return tuple(reason for reason in found if reason)


def missed_sessions(
    served: Iterable[tuple[date, str]], armed_at: datetime, now: datetime, calendar: Calendar, table: Timetable
) -> tuple[date, ...]:
    """Return the newest closed sessions, planned after the device was armed, of which no plan or trade job is recorded.

    Parameters
    ----------
    served : iterable of (date, str)
        Session and job of each run, ended or not; a job that was recorded as skipped counts.
    armed_at, now : datetime
        By the device's clock.
    calendar : Calendar
    table : Timetable
    """
    with_jobs = {session for session, job in served if job in DECIDING}
    closed = [session.day for session in calendar.sessions if session.close <= now][-RECENT_SESSIONS:]
    return tuple(day for day in closed if day not in with_jobs and _planned_at(day, calendar, table) >= armed_at)


def count_addresses(credentials: Path | None) -> int:
    """Return how many addresses for alerts are among the credentials; none where they cannot be read."""
    try:
        lines = (credentials / ADDRESSES).read_text(encoding="utf-8").splitlines() if credentials else []
    except (OSError, ValueError):
        return 0
    return sum(scheme_of(line) in WEB | SERVICES for line in lines)


def missed_reason(days: tuple[date, ...]) -> str:
    """Return one sentence for sessions that were missed; empty for none."""
    if not days:
        return ""
    named = ", ".join(map(str, days))
    return f"nothing was planned or traded for {named}: see `appliance jobs` and `journalctl -u appliance -o cat`"


def keys_end(keys: Path) -> date | None:
    """Return the last day on which the key set in this folder still suffices; None where none can be read.

    It ends with the set itself, or when too few keys are left for a threshold.
    """
    try:
        payload = json.loads(json.loads((keys / "keyset.json").read_bytes())["payload"])
        roles = [payload, *([payload["data"]] if payload.get("data") else [])]
        ends = [date.fromisoformat(payload["valid_until"])]
        for role in roles:
            kept = sorted((key["valid_until"] for key in role["keys"] if not key.get("revoked")), reverse=True)
            ends.append(date.fromisoformat(kept[role["threshold"] - 1]))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return min(ends)


def keys_reason(keys: Path, today: date) -> str:
    """Return one sentence from `EARLY_DAYS` before the keys end; empty earlier, and where there is no key set."""
    ends = keys_end(keys)
    left = (ends - today).days if ends else EARLY_DAYS + 1
    if left > EARLY_DAYS:
        return ""
    when = f"ends on {ends}, in {left} days" if left >= 0 else f"ended on {ends}"
    return f"the key set {when}: sign a new one with `trainer rotate-keys` and publish it"


def _planned_at(day: date, calendar: Calendar, table: Timetable) -> datetime:
    return next(row.at for row in windows(day, calendar, table) if row.job == DECIDING[0])
