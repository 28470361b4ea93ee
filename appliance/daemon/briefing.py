"""The settings and the calendar that the daemon needs, read by a child process and passed on as one JSON document.

The libraries that read them are larger than the whole idle daemon: hence the child. The last good document is kept next
to the ledger, so that a store that is down at boot does not keep the device from reconciling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from appliance.schedule.timetable import AT_THE_OPEN, Entering
from signals.errors import InvariantBroken
from signals.market.sessions import Calendar, Session
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
    calendar : Calendar
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

    def to_json(self) -> dict[str, Any]:
        """As JSON fields."""
        return {
            "exchange": self.exchange,
            "broker": self.broker,
            "halt_skew_seconds": self.halt_skew_seconds,
            "calendar": self.calendar.name,
            "entering": asdict(self.entering),
            "host_keeps_time": self.host_keeps_time,
            "sessions": [[s.day.isoformat(), s.open.isoformat(), s.close.isoformat()] for s in self.calendar.sessions],
        }


def read(content: bytes) -> Briefing:
    """Read a briefing; raise `InvariantBroken` for anything that is none."""
    try:
        row: Mapping[str, Any] = json.loads(content)
        sessions = tuple(Session(date.fromisoformat(d), _utc(o), _utc(c)) for d, o, c in row["sessions"])
        return Briefing(
            str(row["exchange"]),
            str(row["broker"]),
            float(row["halt_skew_seconds"]),
            Calendar(str(row["calendar"]), sessions),
            Entering(**row["entering"]),
            bool(row.get("host_keeps_time", True)),  # a briefing of an earlier release has none
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvariantBroken("a briefing cannot be read", where=reason_of(error)) from None


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
