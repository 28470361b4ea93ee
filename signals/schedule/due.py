"""The pure decision of which jobs are due now, and which are still ahead.

`due` compares the timetable with what the ledger says has ended. A scheduler, a person and a rehearsal all act on the
same answer: nothing else starts a job.

Invariants
----------
1. A job is due at most once per session: one that has ended is never named again.
2. A window that has passed is never traded: after its deadline a job is MISSED, with the reason in words.
3. A job is due only when every job before it in the table has ended or been missed, in the table's order.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from signals.market.sessions import Calendar
from signals.schedule.job_windows import JobWindow, Timetable, is_over, windows

LATE_AFTER = timedelta(minutes=10)


class Decision(StrEnum):
    """Decision on a job at this moment."""

    RUN = "run"
    RUN_LATE = "run late"
    MISSED = "missed"


@dataclass(frozen=True)
class DueJob:
    """A job that needs an action now, and why."""

    job: str
    session: date
    decision: Decision
    reason: str


def due(now: datetime, ended: Collection[tuple[date, str]], calendar: Calendar, table: Timetable) -> tuple[DueJob, ...]:
    """Decide what the jobs of the current sessions need at the instant `now`.

    Parameters
    ----------
    now : datetime
        UTC.
    ended : collection of (session, job)
        What the ledger says has a terminal status.

    Returns
    -------
    tuple of DueJob
        In the order in which to act: what was missed first, so that it is reported once, then at most one job to run
        per session. Sessions whose windows are all over are left out: nothing of theirs may run any more.
    """
    found: list[DueJob] = []
    for session in current_sessions(now, calendar, table):
        for row, window in zip(table, windows(session, calendar, table), strict=True):
            if now < window.at:
                break
            if (session, row.job) in ended:
                continue
            if now > window.deadline:
                found.append(DueJob(row.job, session, Decision.MISSED, row.why_late))
                continue
            late = now - window.at
            decision = Decision.RUN if late <= LATE_AFTER else Decision.RUN_LATE
            reason = row.purpose if decision is Decision.RUN else f"{int(late.total_seconds() // 60)} minutes late"
            found.append(DueJob(row.job, session, decision, reason))
            break
    return tuple(found)


def upcoming(now: datetime, ended: Collection[tuple[date, str]], calendar: Calendar, table: Timetable) -> tuple[JobWindow, ...]:
    """Return the windows of the current sessions that begin after `now` and whose job has not ended, earliest first.

    These are the instants at which `due` may have a new answer. Parameters are those of `due`.
    """
    ahead = [
        window
        for session in current_sessions(now, calendar, table)
        for window in windows(session, calendar, table)
        if window.at > now and (session, window.job) not in ended
    ]
    return tuple(sorted(ahead, key=lambda window: window.at))


def current_sessions(now: datetime, calendar: Calendar, table: Timetable) -> tuple[date, ...]:
    """Return the sessions D with an open window: the one that closed last while its night lasts, and the next one."""
    asof = calendar.last_closed(now)
    previous = () if is_over(now, asof, calendar, table) else (asof,)
    return (*previous, calendar.next(asof))
