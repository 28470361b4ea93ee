"""Hours of a session: the regular ones, those before them, or both."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np

from signals.errors import FixInput
from signals.market.bars import days_array
from signals.market.sessions import Calendar, Session
from signals.minutes.grid import SessionGrid

CHICAGO = ZoneInfo("America/Chicago")
SHORTER_SINCE = date(2015, 9, 21)  # futures on Globex closed at 16:15 in Chicago before
NIGHT_MINUTES = 4 * 60  # after the regular close, in which US shares are still traded


class Hours(StrEnum):
    """Which minutes of a session are used."""

    RTH = "rth"  # regular trading hours
    ETH = "eth"  # the minutes before them: the pre-market, or the night session of futures
    BOTH = "both"


def _shares(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    return session.at(time(4, 0)), session.open, session.close, session.close + timedelta(minutes=NIGHT_MINUTES)


def _futures(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    until = time(16, 15) if session.day < SHORTER_SINCE else time(16, 0)
    first, last, end = (datetime.combine(session.day, at, CHICAGO).astimezone(UTC) for at in (time(8, 30), time(15, 0), until))
    end = min(end, session.close)
    return session.open, min(first, end), min(last, end), end


def _one(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    return session.open, session.open, session.close, session.close


PARTS = {"XNYS": _shares, "CMES": _futures}
ALSO_CALLED = {"CME": "CMES", "COMEX": "CMES", "NYSE": "XNYS", "NASDAQ": "XNYS", "24h": "24/7"}


def default_hours(calendar: str) -> Hours:
    """Hours of an exchange that are meant where nobody says which."""
    return Hours.RTH if calendar == "XNYS" else Hours.BOTH


def grid_of(calendar: Calendar, hours: Hours) -> SessionGrid:
    """Return the sessions' grid of these hours; sessions that have none of them are left out.

    Raises
    ------
    FixInput
        The exchange trades around the clock, or its other hours are not known.
    """
    if hours is not Hours.BOTH and calendar.name not in PARTS and not (hours is Hours.RTH and calendar.name != "24/7"):
        raise FixInput(f"{calendar.name} has no {hours} hours", where="hours", fix="Use both")
    parts = PARTS.get(calendar.name, _one)
    rows = []
    for session in calendar.sessions:
        begin, first, last, end = parts(session)
        opened, closed = {Hours.RTH: (first, last), Hours.ETH: (begin, first), Hours.BOTH: (begin, end)}[hours]
        if opened < closed:
            rows.append((session.day, opened, closed))
    opens = np.array([row[1].replace(tzinfo=None) for row in rows], dtype="datetime64[m]")
    minutes = np.array([(closed - opened) // timedelta(minutes=1) for _, opened, closed in rows], dtype=np.int64)
    return SessionGrid(days_array([row[0] for row in rows]), opens, minutes)


def exchange_name(name: str) -> str:
    """Return the name of an exchange's calendar by what people call it."""
    return ALSO_CALLED.get(name, name)
