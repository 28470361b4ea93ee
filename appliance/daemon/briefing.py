"""The settings and the calendar that the daemon needs, read by a child process and passed on as one JSON document.

The libraries that read them are larger than the whole idle daemon: hence the child. The last good document is kept next
to the ledger, so that a store that is down at boot does not keep the device from reconciling.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime

from appliance.schedule.timetable import AT_THE_OPEN, Entering
from signals.errors import InvariantBroken
from signals.market.sessions import Calendar, Session
from signals.text.documents import from_json, to_json
from signals.text.wording import reason_of

FILE_NAME = "briefing.json"


@dataclass(frozen=True)
class Briefing:
    """Settings and calendar as the daemon knows them.

    Attributes
    ----------
    exchange : str
        Address of a served exchange that owns the time; empty where the machine's clock counts.
    broker : str
        Address whose Date header the machine's clock is held against; empty where none is.
    halt_skew_seconds : float
        How far the clock may jump before the device halts.
    entering : Entering
        When plans enter the market: it decides the timetable.
    host_keeps_time : bool
        Whether the machine must say that its clock is synchronised; else the broker's clock alone judges it.
    """

    exchange: str
    broker: str
    halt_skew_seconds: float
    calendar: Calendar
    entering: Entering = AT_THE_OPEN
    host_keeps_time: bool = True

    def to_bytes(self) -> bytes:
        """As one JSON document."""
        sessions = tuple((s.day, s.open, s.close) for s in self.calendar.sessions)
        exchange, broker, calendar = self.exchange, self.broker, self.calendar.name
        document = _Document(exchange, broker, self.halt_skew_seconds, calendar, self.entering, sessions, self.host_keeps_time)
        return json.dumps(to_json(document)).encode()


@dataclass(frozen=True)
class _Document:
    exchange: str
    broker: str
    halt_skew_seconds: float
    calendar: str
    entering: Entering
    sessions: tuple[tuple[date, datetime, datetime], ...]
    host_keeps_time: bool = True  # a briefing of an earlier release has none


def read(content: bytes) -> Briefing:
    """Read a briefing; raise `InvariantBroken` for anything that is none."""
    try:
        found = from_json(_Document, json.loads(content))
        sessions = tuple(Session(day, opens.astimezone(UTC), closes.astimezone(UTC)) for day, opens, closes in found.sessions)
        calendar = Calendar(found.calendar, sessions)
        return Briefing(found.exchange, found.broker, found.halt_skew_seconds, calendar, found.entering, found.host_keeps_time)
    except ValueError as error:
        raise InvariantBroken("a briefing cannot be read", where=reason_of(error)) from None
