"""The exchange calendar: sessions, opens, closes and early closes; and what the audit found of a session's bars.

A `Calendar` is a frozen table of sessions with their opens and closes in UTC. The trainer makes one from
exchange_calendars and freezes it into every dataset's manifest; the device reads that table, so that it needs no
calendar library to score or to trade, and fails closed past the table's end.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from signals.errors import InvariantBroken, NotASession
from signals.text.wording import utc_words

NEW_YORK = ZoneInfo("America/New_York")
REGULAR_CLOSE = time(16, 0)
FIRST_YEAR, LAST_YEAR = 1885, 2199  # before there are no holidays to know; after, pandas has no nanoseconds for it


@dataclass(frozen=True)
class Session:
    """One exchange trading day: its date and its continuous trading hours in UTC."""

    day: date
    open: datetime
    close: datetime

    @property
    def is_early_close(self) -> bool:
        """Whether trading ends before 16:00 New York."""
        return self.close.astimezone(NEW_YORK).time() < REGULAR_CLOSE

    def at(self, clock_time: time) -> datetime:
        """UTC instant of a New York wall-clock time on this session's date."""
        return datetime.combine(self.day, clock_time, NEW_YORK).astimezone(UTC)


@dataclass(frozen=True)
class Calendar:
    """A contiguous run of sessions, oldest first.

    Invariants
    ----------
    1. Dates strictly increase; each session opens before it closes; all instants are UTC.
    2. A question outside the table raises `NotASession`; nothing is extrapolated.
    """

    name: str
    sessions: tuple[Session, ...]

    def __post_init__(self) -> None:
        if not self.sessions:
            raise InvariantBroken("a calendar has at least one session")
        for earlier, later in zip(self.sessions, self.sessions[1:], strict=False):
            if earlier.day >= later.day:
                raise InvariantBroken("calendar dates must increase", where=f"{earlier.day} then {later.day}")
        for session in self.sessions:
            if session.open.tzinfo is not UTC or session.close.tzinfo is not UTC or session.open >= session.close:
                raise InvariantBroken("a session opens before it closes, in UTC", where=str(session.day))

    @cached_property
    def days(self) -> tuple[date, ...]:
        """Every session's date, oldest first."""
        return tuple(session.day for session in self.sessions)

    @cached_property
    def _closes(self) -> tuple[datetime, ...]:
        return tuple(session.close for session in self.sessions)

    def is_session(self, day: date) -> bool:
        """Whether `day` is a session of this table."""
        position = bisect_left(self.days, day)
        return position < len(self.days) and self.days[position] == day

    def session(self, day: date) -> Session:
        """Return the session of `day`; raise `NotASession` when there is none."""
        return self.sessions[self.index(day)]

    def index(self, day: date) -> int:
        """Position of `day` in the table; raise `NotASession` when it is not a session."""
        position = bisect_left(self.days, day)
        if position < len(self.days) and self.days[position] == day:
            return position
        if day > self.days[-1]:
            raise NotASession(
                f"{day} is past the end of the calendar",
                where=f"{self.name} ends {self.days[-1]}",
                fix="Publish a dataset with a longer calendar",
            )
        near = self.days[min(position, len(self.days) - 1)]
        raise NotASession(f"{day} is not a session", where=self.name, fix=f"The next session is {near}")

    def offset(self, day: date, sessions: int) -> date:
        """Return the session `sessions` after (or before, if negative) the session `day`."""
        position = self.index(day) + sessions
        if not 0 <= position < len(self.days):
            raise NotASession(
                f"{sessions} sessions from {day} is outside the calendar",
                where=f"{self.name} {self.days[0]} to {self.days[-1]}",
                fix="Publish a dataset with a longer calendar",
            )
        return self.days[position]

    def next(self, day: date) -> date:
        """Return the session after the session `day`."""
        return self.offset(day, 1)

    def previous(self, day: date) -> date:
        """Return the session before the session `day`."""
        return self.offset(day, -1)

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """Sessions in the closed interval [first, last]; the ends need not be sessions."""
        return self.days[bisect_left(self.days, first) : bisect_right(self.days, last)]

    def last_closed(self, now: datetime) -> date:
        """Return `asof`: the last session whose close is at or before the UTC instant `now`."""
        position = bisect_right(self._closes, now) - 1
        if position < 0:
            raise NotASession(f"no session had closed by {utc_words(now)}", where=self.name)
        if position == len(self.sessions) - 1 and now - self.sessions[-1].close > timedelta(days=4):
            raise NotASession(
                f"{utc_words(now)} is past the end of the calendar",
                where=f"{self.name} ends {self.days[-1]}",
                fix="Publish a dataset with a longer calendar",
            )
        return self.days[position]

    def rows(self) -> list[dict[str, str]]:
        """Return the table as JSON rows: `session`, `open`, `close` (ISO 8601, UTC)."""
        return [{"session": s.day.isoformat(), "open": s.open.isoformat(), "close": s.close.isoformat()} for s in self.sessions]

    @classmethod
    def from_rows(cls, name: str, rows: Iterable[dict[str, str]]) -> Calendar:
        """Read back what `rows` wrote."""
        return cls(
            name,
            tuple(
                Session(
                    date.fromisoformat(row["session"]),
                    datetime.fromisoformat(row["open"]).astimezone(UTC),
                    datetime.fromisoformat(row["close"]).astimezone(UTC),
                )
                for row in rows
            ),
        )


def xnys(first: date, last: date) -> Calendar:
    """Sessions of the New York Stock Exchange in [first, last]; see `exchange`."""
    return exchange("XNYS", first, last)


@lru_cache(maxsize=64)
def exchange(name: str, first: date, last: date) -> Calendar:
    """Sessions in [first, last] of the exchange that exchange_calendars knows by `name`: XNYS, CMES, 24/7.

    Imported lazily: the library brings pandas, which the device's scoring path does without.

    Raises
    ------
    NotASession
        A year for which no calendar can be made, or no such exchange.
    """
    if not FIRST_YEAR <= first.year <= last.year <= LAST_YEAR:
        raise NotASession(
            f"no calendar of the exchange reaches from {first} to {last}",
            where=f"years {FIRST_YEAR} to {LAST_YEAR}",
            fix="Correct the dates",
        )
    days = _of_years(name, first.year, last.year)
    return Calendar(name, tuple(one for one in days if first <= one.day <= last))


@lru_cache(maxsize=8)
def _of_years(name: str, first: int, last: int) -> tuple[Session, ...]:
    """Sessions of whole years: making them takes half a second, and every evening asks for one more day."""
    import exchange_calendars
    import pandas as pd

    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values of zoned columns, which pandas 3.1 announces to change
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            table = exchange_calendars.get_calendar(name, start=f"{first}-01-01", end=f"{last}-12-31").schedule
        except exchange_calendars.errors.InvalidCalendarName:
            raise NotASession(f"no exchange {name!r}", where="--calendar", fix="Name one of exchange_calendars: XNYS, CMES, 24/7") from None
    opens: Sequence[pd.Timestamp] = list(table["open"])
    closes: Sequence[pd.Timestamp] = list(table["close"])
    return tuple(
        Session(day.date(), opened.to_pydatetime().astimezone(UTC), closed.to_pydatetime().astimezone(UTC))
        for day, opened, closed in zip(table.index, opens, closes, strict=True)
    )


class SessionStatus(StrEnum):
    """Quality of a session's bars."""

    GREEN = "GREEN"
    AMBER = "AMBER"
    RED = "RED"


@dataclass(frozen=True)
class SessionAudit:
    """Result of the audit of one session.

    Attributes
    ----------
    reasons : tuple of str
        "<reason>: <count>" in a fixed order; a GREEN session may carry warnings.
    eligible : int
        Names of the universe with a usable bar at this session.
    usable : int
        Rows that are in the curated bars.
    rows : int
        Rows delivered.
    quarantined : int
        Rows delivered but kept out of the curated bars.
    """

    session: date
    status: SessionStatus
    reasons: tuple[str, ...]
    eligible: int
    usable: int
    rows: int
    quarantined: int
