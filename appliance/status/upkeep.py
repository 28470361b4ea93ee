"""Signs of a neglected device: missed sessions, missing alert addresses, keys, calendars and credentials about to expire.

Everything is read, nothing believed: the key set is verified where it is used, here only its dates are shown.
"""

import json
from collections.abc import Iterable, Mapping
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
EXPIRES = "expires"  # the credential with dates: a line each, a name and the day on which it ends
KEY_SET, CALENDAR = "key set", "calendar"
RENEWALS = {
    KEY_SET: "sign a new one with `trainer rotate-keys` and publish it",
    CALENDAR: "publish newer data by `trainer publish-data`, or install a newer release",
}
NO_ADDRESS = (
    "no address for alerts is set, nobody would hear of a halt: write two that do not depend on each other to the "
    "credential alert-urls, one a line"
)


def concerns_of(
    ledger: Ledger, latch: LatchRecord, now: datetime, addresses: int, calendar: Calendar, table: Timetable, ends: Mapping[str, date]
) -> tuple[str, ...]:
    """Return what a person should look at on a device that was armed once, at the venue's instant `now`; `ends` as of `expiries`."""
    if latch.is_fresh:
        return ()
    missed: tuple[date, ...] = ()
    if latch.is_armed:
        first = min(job_runs.sessions(ledger), default=date.min)
        served = [(run.session, run.job) for run in job_runs.since(ledger, first)]
        missed = missed_sessions(served, datetime.fromisoformat(latch.at), now, calendar, table)
    found = ("" if addresses else NO_ADDRESS, *expiry_reasons(ends, now.date()), missed_reason(missed))
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


def expiries(keys: Path, calendar: Calendar | None, credentials: Path | None = None) -> dict[str, date]:
    """Return the last day of everything that ends: the key set, the calendar of the data, credentials that say when.

    Parameters
    ----------
    keys : Path
        Folder of the key set.
    calendar : Calendar or None
        Of the data in force.
    credentials : Path or None
        Where the file `expires` may be: a line each, a name and a date.
    """
    found = {KEY_SET: keys_end(keys), CALENDAR: calendar.days[-1] if calendar else None}
    return {name: day for name, day in found.items() if day} | credential_ends(credentials)


def credential_ends(credentials: Path | None) -> dict[str, date]:
    """Return the days on which credentials end, as a person wrote them; a line that cannot be read ends today, so that it is seen."""
    try:
        lines = (credentials / EXPIRES).read_text(encoding="utf-8").splitlines() if credentials else []
    except (OSError, ValueError):
        return {}
    found = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        name, _, day = line.rpartition(" ")
        try:
            found[f"credential {name.strip()}"] = date.fromisoformat(day)
        except ValueError:
            found[f"credential {line}"] = date.min
    return found


def expiry_reasons(ends: Mapping[str, date], today: date) -> tuple[str, ...]:
    """Return a sentence for each of `ends` that comes within `EARLY_DAYS`, the first first."""
    near = sorted((day, name) for name, day in ends.items() if (day - today).days <= EARLY_DAYS)
    return tuple(
        f"the {name} {_when(day, today)}: {RENEWALS.get(name, 'renew it, and its date in the credential `expires`')}" for day, name in near
    )


def _when(day: date, today: date) -> str:
    if day == date.min:
        return "has no date that can be read"
    left = (day - today).days
    return f"ends on {day}, in {left} days" if left >= 0 else f"ended on {day}"


def _planned_at(day: date, calendar: Calendar, table: Timetable) -> datetime:
    return next(row.at for row in windows(day, calendar, table) if row.job == DECIDING[0])
