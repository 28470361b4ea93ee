"""Decides, after an absence, which jobs still run and which are reported as missed, over days and weeks.

`due` looks at the sessions whose windows are open. This file adds the ones that are over: each missed job is named
with its reason, and the sessions that nothing of was run for are counted, for the host to judge.

Invariants
----------
1. Every (session, job) from the host's first session on is named until it has ended: run, run late, or missed.
2. A job of a session that is over is missed, never run.
3. The same instant and the same record give the same answer: asking twice changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from signals.market.sessions import Calendar
from signals.schedule.due import Decision, DueJob, due
from signals.schedule.job_windows import Timetable, is_over

WHILE_OFF = "the machine was off"


@dataclass(frozen=True)
class CatchUp:
    """The jobs that need an action now.

    Attributes
    ----------
    unattended : tuple of date
        The newest sessions in a row that are over and of which no job ended, oldest first.
    due : tuple of DueJob
        In the order in which to act.
    """

    unattended: tuple[date, ...]
    due: tuple[DueJob, ...]


def catch_up(now: datetime, ended: Collection[tuple[date, str]], calendar: Calendar, since: date, table: Timetable) -> CatchUp:
    """Decide what every session from `since` on needs at the instant `now`.

    Parameters
    ----------
    now : datetime
        UTC.
    ended : collection of (session, job)
        What the ledger says has a terminal status, from `since` on.
    since : date
        The first session that this host answers for.

    Raises
    ------
    NotASession
        `now` or `since` is outside the calendar.
    """
    open_now = tuple(item for item in due(now, ended, calendar, table) if item.session >= since)
    closed = calendar.between(since, calendar.last_closed(now))
    over = tuple(day for day in closed if is_over(now, day, calendar, table))
    missed = tuple(
        DueJob(row.job, day, Decision.MISSED, f"{WHILE_OFF}; {row.why_late}")
        for day in over
        for row in table
        if (day, row.job) not in ended
    )
    return CatchUp(_unattended(over, ended), (*missed, *open_now))


def first_session(recorded: Sequence[date], now: datetime, calendar: Calendar) -> date:
    """Return the session from which on every job must be accounted for: nothing before it is looked at again.

    On a host that has run nothing yet it is the session ahead; otherwise the one before the newest that has a record,
    because its night may not have been over when the host went off.

    Parameters
    ----------
    recorded : sequence of date
        Sessions of which the ledger has a job, oldest first.
    """
    if not recorded:
        return calendar.next(calendar.last_closed(now))
    return recorded[max(0, len(recorded) - 2)]


def _unattended(over: tuple[date, ...], ended: Collection[tuple[date, str]]) -> tuple[date, ...]:
    attended = {session for session, _ in ended}
    last = max((place for place, day in enumerate(over) if day in attended), default=-1)
    return over[last + 1 :]
