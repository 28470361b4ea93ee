"""What to do about everything the timetable asked for while nobody was there: one pure decision over days and weeks.

`due` of the timetable looks at the sessions whose windows are open. This file adds the ones that are over: a job missed
is a job explained, and a device that was away for longer than its forecasts reach waits for a person.

Invariants
----------
1. Every (session, job) from the device's first session on is named until it has ended: run, run late, or missed.
2. What is named for a session that is over is missed, never run.
3. The same instant and the same record give the same answer: asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from appliance.schedule.timetable import TIMETABLE, Decision, Due, Table, due, timetable
from signals.market.sessions import Calendar

ABSENT = "ABSENT"
WHILE_OFF = "the device was off"
ABSENT_SESSIONS = 5  # the horizon of the daily sleeve: a book older than its forecasts is nobody's decision any more


@dataclass(frozen=True)
class CatchUp:
    """What is to be done now.

    Attributes
    ----------
    halt : str
        Why an armed device must wait for a person before it trades again; empty when it need not.
    due : tuple of Due
        In the order in which to act.
    """

    halt: str
    due: tuple[Due, ...]


def catch_up(now: datetime, ended: Collection[tuple[date, str]], calendar: Calendar, since: date, table: Table = TIMETABLE) -> CatchUp:
    """Decide what every session from `since` on needs at the instant `now`.

    Parameters
    ----------
    now : datetime
        UTC.
    ended : collection of (session, job)
        What the ledger says has a terminal status, from `since` on.
    calendar : Calendar
    since : date
        The first session that this device answers for.
    table : Table, optional
        The timetable that holds.

    Raises
    ------
    NotASession
        `now` or `since` lies outside the calendar.
    """
    open_now = tuple(item for item in due(now, ended, calendar, table) if item.session >= since)
    closed = calendar.between(since, calendar.last_closed(now))
    over = tuple(day for day in closed if is_over(now, day, calendar, table))
    missed = tuple(_missed(day, slot.job, slot.why_late) for day in over for slot in table if (day, slot.job) not in ended)
    return CatchUp(_absence(over, ended), (*missed, *open_now))


def first_session(recorded: Sequence[date], now: datetime, calendar: Calendar) -> date:
    """Return the session from which on everything must be explained: nothing before it is looked at again.

    On a device that has run nothing yet it is the session ahead; otherwise the one before the newest that has a record,
    because its night may not have been over when the device went off.

    Parameters
    ----------
    recorded : sequence of date
        Sessions of which the ledger has a job, oldest first.
    """
    if not recorded:
        return calendar.next(calendar.last_closed(now))
    return recorded[max(0, len(recorded) - 2)]


def is_over(now: datetime, session: date, calendar: Calendar, table: Table = TIMETABLE) -> bool:
    """Whether every window of the session has passed."""
    return now > max(row.deadline for row in timetable(session, calendar, table))


def _missed(session: date, job: str, why_late: str) -> Due:
    return Due(job, session, Decision.MISSED, f"{WHILE_OFF}; {why_late}")


def _absence(over: tuple[date, ...], ended: Collection[tuple[date, str]]) -> str:
    attended = {session for session, _ in ended}
    away = 0
    for day in reversed(over):
        if day in attended:
            break
        away += 1
    if away < ABSENT_SESSIONS:
        return ""
    return f"nothing ran for {away} sessions, {over[-away]} to {over[-1]}: what is held is older than its forecast"
