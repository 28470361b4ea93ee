"""Acceptance windows of each time in force, and the session an order belongs to. Pure.

| time in force | accepted (New York)                              | for                                               |
|---------------|--------------------------------------------------|---------------------------------------------------|
| day, gtc      | always                                           | the running session, else the next one            |
| opg           | from 19:00 and before 09:28                      | the next session that has not opened              |
| cls           | from 19:00 and before ten minutes to the close   | the running or coming session, else the next one  |
| ioc, fok      | while a session runs                             | that session                                      |

The close is the session's own, so an early close moves the cls cut-off to 12:50. The windows are times of day: they
hold on holidays and weekends too.
"""

from datetime import date, datetime, time, timedelta

from execution.exchange.market.market import MarketData
from execution.exchange.protocol.refusals import CLS_WINDOW, IMMEDIATE_OUTSIDE_HOURS, OPG_WINDOW, RefusedByVenue
from execution.orders import TimeInForce
from signals.market.sessions import NEW_YORK

EVENING = time(19, 0)
OPG_CUTOFF = time(9, 28)
REGULAR_CLS_CUTOFF = time(15, 50)
CLS_NOTICE = timedelta(minutes=10)


def due_session(time_in_force: TimeInForce, now: datetime, market: MarketData) -> date:
    """Return the session that an order sent at `now` is first due in.

    Raises
    ------
    RefusedByVenue
        `now` is outside the window.
    """
    running = market.session_now(now)
    clock_time = now.astimezone(NEW_YORK).time()
    if time_in_force is TimeInForce.OPG:
        if OPG_CUTOFF <= clock_time < EVENING:
            raise RefusedByVenue(OPG_WINDOW)
        return market.next_session(now).day
    if time_in_force is TimeInForce.CLS:
        if _cls_cutoff(now, market) <= clock_time < EVENING:
            raise RefusedByVenue(CLS_WINDOW, _cutoff=f"{_cls_cutoff(now, market):%H:%M}")
        return running.day if running else market.next_session(now).day
    if time_in_force in (TimeInForce.IOC, TimeInForce.FOK) and running is None:
        raise RefusedByVenue(IMMEDIATE_OUTSIDE_HOURS, tif=time_in_force.value)
    return running.day if running else market.next_session(now).day


def _cls_cutoff(now: datetime, market: MarketData) -> time:
    today = now.astimezone(NEW_YORK).date()
    if not market.calendar.is_session(today):
        return REGULAR_CLS_CUTOFF
    return (market.calendar.session(today).close - CLS_NOTICE).astimezone(NEW_YORK).time()
