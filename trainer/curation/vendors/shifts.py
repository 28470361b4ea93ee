"""Detects files whose dates are all shifted against the exchange calendar, and names the mapping that corrects them.

Entry points: `moved`, `refuse_shifted`. A feed that reads midnight in UTC as a time in New York puts Monday's bars on
Sunday and loses them all, while the bars of the other days pass for those of the day before.
"""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.market.bars import Days, days_array
from signals.market.sessions import FIRST_YEAR, Calendar, xnys
from trainer.curation.vendors.cells import listed
from trainer.curation.vendors.mapping import DateShift

LEAST_OFF = 0.02  # share of a name's dates on which the exchange was closed; there are nine holidays in 252 weekdays
LEAST_DATES = 10  # of a name whose dates are shifted while others' are not
MOST_REMAINING = 0.1  # share of them that may remain when the dates are moved
WORDS = {
    DateShift.DAY_EARLY: "a day early",
    DateShift.DAY_LATE: "a day late",
    DateShift.WEEKDAY_EARLY: "a weekday early",
    DateShift.WEEKDAY_LATE: "a weekday late",
}


def moved(days: Days, shift: DateShift) -> Days:
    """Return the dates that are meant where those given are shifted."""
    if shift is DateShift.AS_DELIVERED:
        return days
    step = 1 if shift in (DateShift.DAY_EARLY, DateShift.WEEKDAY_EARLY) else -1
    if shift in (DateShift.DAY_EARLY, DateShift.DAY_LATE):
        return days + np.timedelta64(step, "D")
    result: Days = np.busday_offset(days, step, roll="backward" if step > 0 else "forward")
    return result


def moved_column(column: pd.Series, shift: DateShift) -> pd.Series:
    """Return a column of dates moved likewise."""
    if shift is DateShift.AS_DELIVERED or column.empty:
        return column
    days = moved(column.to_numpy().astype("datetime64[D]"), shift)
    return pd.Series(days.astype("datetime64[s]"), index=column.index)


def refuse_shifted(symbols: pd.Series, dates: pd.Series, calendar: Calendar, *, where: str, section: str) -> None:
    """Raise `BadBars` where the dates of some symbols are no sessions and one shift makes sessions of all of them.

    Parameters
    ----------
    symbols, dates : Series, shape (R,)
    calendar : Calendar
        Every session from the first date on.
    section : str
        Of the mapping, where the shift can be named.

    Raises
    ------
    BadBars
        The dates are shifted, or none of them is a session.
    """
    days, sessions = dates.to_numpy().astype("datetime64[D]"), days_array(calendar.days)
    is_off = ~np.isin(days, sessions)
    if not is_off.any():
        return
    sessions = days_array(_around(calendar).days)
    share = pd.Series(is_off).groupby(symbols.to_numpy()).mean()
    suspects = share.index[share >= LEAST_OFF]
    if len(suspects) < len(share):  # of one name, few dates may be wrong for many reasons
        rows = pd.Series(days).groupby(symbols.to_numpy()).nunique()
        suspects = suspects[rows[suspects] >= LEAST_DATES]
    inside = np.unique(days[symbols.isin(suspects).to_numpy()])
    off = int(np.count_nonzero(~np.isin(inside, sessions)))
    found = [shift for shift in WORDS if off and _is_it(shift, inside, off, sessions)]
    if len(found) == 1:
        named = f" of {listed(suspects)}" if len(suspects) < len(share) else ""
        raise BadBars(
            f"all dates{named} are {WORDS[found[0]]}: {off} of {len(inside)} are no sessions of the exchange, {_example(inside, sessions)}",
            where=where,
            fix=f"Write `dates: {found[0]}` in the section `{section}` of the mapping, or correct the dates",
        )
    if is_off.all():
        raise BadBars(f"no row is on a session of the exchange, {_example(inside, sessions)}", where=where, fix="Check the date column")


def _is_it(shift: DateShift, days: Days, off: int, sessions: Days) -> bool:
    if shift in (DateShift.WEEKDAY_EARLY, DateShift.WEEKDAY_LATE) and not np.is_busday(days).all():
        return False
    meant = moved(days, shift)
    return bool(np.count_nonzero(~np.isin(meant, sessions)) <= MOST_REMAINING * off)


def _around(calendar: Calendar) -> Calendar:
    """The calendar and the week before it, into which a date may be moved."""
    first = max(calendar.days[0] - timedelta(days=10), date(FIRST_YEAR, 1, 1))
    return xnys(first, calendar.days[-1])


def _example(days: Days, sessions: Days) -> str:
    first: NDArray[np.datetime64] = days[~np.isin(days, sessions)]
    day = first[0].astype(object)
    return f"as {day}, a {day:%A}"
