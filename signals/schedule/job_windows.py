"""A timetable as a table of rows, its windows of one session in UTC, the jobs that are due, and those that an absence missed.

Entry points: `TimetableRow` (one row of a host's table), `windows` (its instants for a session), `is_over`, `due`, `catch_up`.

`due` looks at the sessions whose windows are open and compares the timetable with what the ledger says has ended. A
scheduler, a person and a rehearsal all act on the same answer: nothing else starts a job. `catch_up` adds the sessions
that are over: each missed job is named with its reason, and the sessions that nothing of was run for are counted, for
the host to judge.

Invariants
----------
1. Times are anchored to the exchange's session, so that early closes and daylight saving move what they must move.
2. Everything here is pure: the calendar and the table are arguments, no clock is read.
3. A job is due at most once per session: one that has ended is never named again.
4. A window that has passed is never traded: after its deadline a job is MISSED, with the reason in words.
5. A job is due only when every job before it in the table has ended or been missed, in the table's order.
6. Every (session, job) from the host's first session on is named until it has ended: run, run late, or missed.
7. A job of a session that is over is missed, never run.
8. The same instant and the same record give the same answer: asking twice changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from signals.market.sessions import Calendar


class Anchor(StrEnum):
    """The point of a session that a time of the table is counted from."""

    EVENING_BEFORE = "evening of asof"  # New York wall clock on asof
    MORNING = "morning of D"  # New York wall clock on D
    OPEN = "open of D"
    CLOSE = "close of D"
    THROUGH = "through D"  # a share of the way between two instants of D


@dataclass(frozen=True)
class When:
    """One instant of the table: an anchor with a New York clock time, or with minutes after the open or the close.

    Through the day it is the `share` of the way from `minutes` after the open to `before_close` minutes before the
    close, so that an early close moves every step.
    """

    anchor: Anchor
    clock: time = time(0)
    minutes: int = 0
    before_close: int = 0
    share: float = 0.0

    def on(self, session: date, calendar: Calendar) -> datetime:
        """Return the UTC instant for the trade session D."""
        if self.anchor is Anchor.EVENING_BEFORE:
            return calendar.session(calendar.previous(session)).at(self.clock)
        found = calendar.session(session)
        if self.anchor is Anchor.MORNING:
            return found.at(self.clock)
        if self.anchor is Anchor.THROUGH:
            first = found.open + timedelta(minutes=self.minutes)
            way = found.close - timedelta(minutes=self.before_close) - first
            return first + timedelta(seconds=round(way.total_seconds() * self.share))
        start = found.open if self.anchor is Anchor.OPEN else found.close
        return start + timedelta(minutes=self.minutes)


def step_when(minutes: int, before_close: int, number: float, steps: int) -> When:
    """Return when step `number` of `steps` leaves, evenly from `minutes` after the open, 1, to `before_close` before the close."""
    share = min(1.0, (number - 1) / (steps - 1))
    return When(Anchor.THROUGH, minutes=minutes, before_close=before_close, share=share)


@dataclass(frozen=True)
class TimetableRow:
    """One row of a timetable: a job, its hour, its deadline and what its process may use.

    Attributes
    ----------
    at : When
        When it should run.
    deadline : When
        After this instant it is not run any more for the session.
    why_late : str
        What missing the deadline means, in words.
    seconds : float
        Real seconds after which the job's process is ended.
    megabytes : int
        Resident memory beyond which it is ended.
    """

    job: str
    at: When
    deadline: When
    why_late: str
    purpose: str
    seconds: float = 600.0
    megabytes: int = 768


Timetable = tuple[TimetableRow, ...]


@dataclass(frozen=True)
class JobWindow:
    """A row of the timetable resolved for one session: its instants in UTC."""

    job: str
    session: date
    at: datetime
    deadline: datetime
    purpose: str


def windows(session: date, calendar: Calendar, table: Timetable) -> tuple[JobWindow, ...]:
    """Resolve the table for the trade session D, in the table's order.

    Raises
    ------
    NotASession
        `session`, or the session before it, is outside the calendar.
    """
    return tuple(
        JobWindow(row.job, session, row.at.on(session, calendar), row.deadline.on(session, calendar), row.purpose) for row in table
    )


def is_over(now: datetime, session: date, calendar: Calendar, table: Timetable) -> bool:
    """Whether every window of the session has passed."""
    return all(now > row.deadline.on(session, calendar) for row in reversed(table))


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
