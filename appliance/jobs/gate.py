"""Which sessions a job may be asked for: real ones, and evening jobs only once asof has closed."""

from __future__ import annotations

from datetime import date

from appliance.context import Deps
from signals.errors import NotASession
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
        D is no session, or lies in the future: the session before it has not closed yet.
    """
    asof = asof_of(session, deps)
    now = deps.clock.now()
    if deps.calendar.session(asof).close > now:
        raise NotASession(
            f"{session} lies in the future: {asof}, the session before it, has not closed",
            where=f"the device's clock says {utc_words(now)}",
            fix="Ask for an earlier session",
        )
    return asof
