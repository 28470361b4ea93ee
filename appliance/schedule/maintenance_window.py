"""The maintenance window: no update from 15 minutes before orders leave to 15 minutes after.

Entry point: `busy_until`, a pure function of the instant, the calendar, the timetable and what has ended.

Invariants
----------
1. From `MARGIN` before the session's first job that sends orders to `MARGIN` after its last one, nothing is changed.
2. A job that has ended closes its window at its hour; one that has not keeps it open until its deadline.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta

from appliance.schedule.timetable import CONFIRM, TRADE
from signals.market.sessions import Calendar
from signals.schedule.job_windows import Timetable, windows

MARGIN = timedelta(minutes=15)


def busy_until(now: datetime, calendar: Calendar, table: Timetable, ended: Collection[tuple[date, str]]) -> datetime | None:
    """Return the end of the order window that contains `now`, or None outside of every one.

    Parameters
    ----------
    now : datetime
        UTC, by the device's clock.
    table : Timetable
        The timetable that holds.
    ended : collection of (date, str)
        Every (session, job) that has ended.
    """
    for day in calendar.between(now.date() - timedelta(days=1), now.date() + timedelta(days=1)):
        if day == calendar.days[0]:
            continue  # the evening before it lies outside the calendar
        rows = [row for row in windows(day, calendar, table) if row.job == CONFIRM or row.job.startswith(TRADE)]
        over = max(row.at if (day, row.job) in ended else row.deadline for row in rows) + MARGIN
        if min(row.at for row in rows) - MARGIN <= now < over:
            return over
    return None
