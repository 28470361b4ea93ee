"""A timetable as a table of rows, and its resolution to the windows of one session in UTC.

Entry points: `TimetableRow` (one row of a host's table), `windows` (its instants for a session), `is_over`.

Invariants
----------
1. Times are anchored to the exchange's session, so that early closes and daylight saving move what they must move.
2. Everything here is pure: the calendar and the table are arguments, no clock is read.
"""

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
