"""Time windows in which an order may be posted, by its time in force. Pure."""

from datetime import datetime, time, timedelta

from execution.orders import TimeInForce
from signals.market.sessions import Session

DAY_BEGINS = time(4, 0)  # New York; the broker has processed the night's corporate actions
# Alpaca takes closing-auction orders until ten minutes before the close.
CLOSE_CUT = timedelta(minutes=10)


def window(tif: TimeInForce, session: Session, margin: timedelta) -> tuple[datetime, datetime]:
    """Return [from, until) in UTC for orders of `tif`; empty for a time in force that we do not send.

    Parameters
    ----------
    margin : timedelta
        Distance kept from the open by opening-auction orders; one minute more is kept from every other cut-off than
        the broker asks for.
    """
    if tif is TimeInForce.OPG:
        return session.at(DAY_BEGINS), session.open - margin
    if tif is TimeInForce.CLS:
        return session.open, session.close - CLOSE_CUT - timedelta(minutes=1)
    if tif is TimeInForce.DAY:
        return session.open, session.close - timedelta(minutes=1)
    return session.open, session.open


def is_open(tif: TimeInForce, session: Session, margin: timedelta, now: datetime) -> bool:
    """Whether an order of `tif` may be posted at the instant `now`."""
    first, until = window(tif, session, margin)
    return first <= now < until


def is_past(tif: TimeInForce, session: Session, margin: timedelta, now: datetime) -> bool:
    """Whether the window has closed for good."""
    return now >= window(tif, session, margin)[1]
