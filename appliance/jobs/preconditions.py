"""Preconditions that several jobs share: a real session, a closed asof, and a stored record of the data decided on."""

from datetime import date

from appliance.context import Deps
from appliance.market.snapshot import DataSnapshot
from appliance.market.vendor_record import store_snapshot
from signals.errors import DataNotUsable, NotASession
from signals.text.wording import utc_words


def asof_of(session: date, deps: Deps) -> date:
    """Return asof, the session before the trade session D; raise `NotASession` when D is none."""
    deps.calendar.index(session)
    return deps.calendar.previous(session)


def require_closed(session: date, deps: Deps) -> date:
    """Return asof once it has closed by the device's clock.

    Raises
    ------
    NotASession
        D is no session, or is in the future: the session before it has not closed yet.
    """
    asof = asof_of(session, deps)
    now = deps.clock.now()
    if deps.calendar.session(asof).close > now:
        raise NotASession(
            f"{session} is in the future: {asof}, the session before it, has not closed",
            where=f"the device's clock says {utc_words(now)}",
            fix="Ask for an earlier session",
        )
    return asof


def held_snapshot(asof: date, deps: Deps) -> DataSnapshot:
    """Return what the market store holds up to `asof`, its document kept where sessions were completed here.

    Raises
    ------
    DataNotUsable
        The store is empty, or a completed session has no vendor record.
    """
    snapshot = deps.market.snapshot(asof)
    if snapshot is None:
        raise DataNotUsable("the market store is empty", fix="Run `appliance pull`")
    store_snapshot(deps.fs, deps.folder.completed, asof, snapshot)
    return snapshot
