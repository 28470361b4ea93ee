"""The service: runs the timetable rows that are due, records their results and notifies a person.

Time is an argument: the program asks the machine, a rehearsal passes a year of evenings.

Invariants
----------
1. A row runs only because `due` names it, or a person does; every (session, row) that is asked for ends once: run or missed.
2. What a row raises is recorded with what to do about it; what can only not be done now is tried again until its deadline.
3. Nobody becomes champion here.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache

from signals.alerts.alert import Severity
from signals.errors import TrademlError, TryAgain
from signals.market.sessions import Calendar, xnys
from signals.schedule.job_windows import Decision, DueJob, JobWindow, catch_up, first_session, upcoming
from trainer.service.host import Host, Night
from trainer.service.rows import ENTRIES
from trainer.service.timetable import RowEnd, RowStatus, unasked

LOOKED_BACK, LOOKED_AHEAD = timedelta(days=400), timedelta(days=62)  # from the first of the month


@lru_cache(maxsize=2)
def _calendar(today: date) -> Calendar:
    return xnys(today - LOOKED_BACK, today + LOOKED_AHEAD)


def calendar_at(now: datetime) -> Calendar:
    """Return the sessions around an instant."""
    return _calendar(now.date().replace(day=1))


def perform(row: str, session: date, host: Host, clock: Callable[[], datetime]) -> RowEnd:
    """Run a row for the session D, record its end and notify a person.

    Raises
    ------
    TryAgain
        It cannot be done now; nothing was recorded.
    """
    began = clock()
    try:
        end = ENTRIES[row](Night(session, calendar_at(began).previous(session), began), host)
    except TryAgain:
        raise
    except TrademlError as error:
        end = RowEnd(RowStatus.FAILED, ", ".join(filter(None, (error.what, error.where))), error.fix)
    record(row, session, end, host, began, clock())
    return end


def record(row: str, session: date, end: RowEnd, host: Host, began: datetime, ended: datetime) -> None:
    """Record the end of a row, and notify a person of failures and news."""
    host.log.append(session, row, began, ended, end)
    if end.status in (RowStatus.FAILED, RowStatus.MISSED):
        host.notify(Severity.WARN, f"{row}-{session}", f"{row} of {session} {end.status}", f"{end.summary}. {end.fix}", ended)
    elif row in host.settings.news:
        host.notify(Severity.INFO, f"{row}-{session}", f"{row} of {session}", f"{end.status}: {end.summary}", ended)


def due_now(host: Host, now: datetime) -> tuple[DueJob, ...]:
    """Return what to do at an instant: rows to run, and missed ones to record."""
    calendar, ended, since = _known(host, now)
    return catch_up(now, ended, calendar, since, host.table).due


def ahead(host: Host, now: datetime) -> tuple[JobWindow, ...]:
    """Return the windows that begin next, for the wake-ups."""
    calendar, ended, _ = _known(host, now)
    return upcoming(now, ended, calendar, host.table)


def _known(host: Host, now: datetime) -> tuple[Calendar, set[tuple[date, str]], date]:
    """The calendar, every (session, row) that has ended or that nobody asks for, and the session to begin with."""
    calendar, recorded = calendar_at(now), host.log.ended()
    days = calendar.days
    since = max(days[1], first_session(sorted({day for day, _ in recorded}), now, calendar))
    looked_at = calendar.between(since, calendar.next(calendar.last_closed(now)))
    return calendar, recorded | unasked(looked_at, host.log.good(), calendar, host.cadence), since


def look(host: Host, clock: Callable[[], datetime], run: Callable[[str, date], bool]) -> None:
    """Do what is due, in order, until nothing is: `run` starts a row and says whether to look again at once."""
    while True:
        found = due_now(host, clock())
        for item in found:
            if item.decision is Decision.MISSED:
                at = clock()
                record(item.job, item.session, RowEnd(RowStatus.MISSED, item.reason, f"`trainer run --row {item.job}`"), host, at, at)
        waiting = [item for item in found if item.decision is not Decision.MISSED]
        if not waiting or not run(waiting[0].job, waiting[0].session):
            return
