"""Reads the ledger for the screens in one thread; errors are returned as answers.

Invariants
----------
1. Nothing here writes, and nothing here is called by the thread that draws: `read` may block as long as it likes.
2. A missing, empty, locked, corrupt or newer ledger, and a state folder that is none, are answers with what is wrong
   and the next step for a person; they are never raised.
3. The ledger stays open between questions (its check runs once), and is opened again when the file was replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

import apsw

from appliance.ledger import AccessMode, Ledger
from appliance.schedule.timetable import AT_THE_OPEN, Entering
from appliance.storage.published_store import MANIFEST
from appliance.system.clock import venue_time
from appliance.system.ports import Clock
from appliance.system.state_folder import StateFolder
from appliance.views.overview import DeviceTime, Overview, overview
from appliance.views.view import View, neighbours, newest_session
from signals.errors import BadConfig, FixInput, InvariantBroken, LedgerUnusable, Locked, TrademlError
from signals.market.sessions import Calendar
from signals.storage.places import is_s3
from signals.text import strict_yaml
from signals.text.wording import reason_of


class SourceCondition(StrEnum):
    """The kind of fault of a reading."""

    MISSING = "NO DEVICE HERE"
    EMPTY = "NOTHING HAS RUN YET"
    LOCKED = "LEDGER LOCKED"
    UNUSABLE = "LEDGER UNUSABLE"
    UNREADABLE = "LEDGER UNREADABLE"


@dataclass(frozen=True)
class Trouble:
    """A condition in one breath: what is wrong, and the next step for a person."""

    condition: SourceCondition
    what: str
    fix: str


@dataclass(frozen=True)
class QueryContext:
    """Inputs of a screen's query other than the ledger."""

    folder: StateFolder
    session: date
    order: str
    symbol: str = ""


@dataclass(frozen=True)
class ScreenQuery:
    """A query of the screens.

    Attributes
    ----------
    query : callable or None
        Of the screen in front; None asks for the overview only.
    session : date or None
        D; None is the newest one.
    order : str
        Client order id, for the trace.
    symbol : str
        For the screen of one symbol.
    """

    query: Query | None = None
    session: date | None = None
    order: str = ""
    symbol: str = ""


@dataclass(frozen=True)
class ScreenAnswer:
    """The result of a reading; `views` are empty and `overview` is None when there is trouble.

    `now` is the time where the device trades; None where that is not known. `read_at` is the machine's.
    """

    question: ScreenQuery
    now: datetime | None
    read_at: datetime
    overview: Overview | None = None
    views: Mapping[str, View] | None = None
    session: date | None = None
    before: date | None = None
    after: date | None = None
    trouble: Trouble | None = None

    def view(self, name: str) -> View:
        """The view of that name, an empty one where there is none."""
        return (self.views or {}).get(name) or View((), (), "")


Query = Callable[[Ledger, QueryContext], Mapping[str, View]]


class LedgerSource:
    """Reads one state folder.

    Parameters
    ----------
    root : Path
        State folder.
    clock : Clock
        The machine's, which counts at a broker: an exchange of ours is asked for its own.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.folder = StateFolder(root)
        self._clock = clock
        self._ledger: Ledger | None = None
        self._identity: tuple[int, int] | None = None
        self._calendar: tuple[int, Calendar] | None = None
        self._now: datetime | None = None
        self._no_time = ""

    def read(self, question: ScreenQuery) -> ScreenAnswer:
        """Answer one question; blocks for as long as the disk and other processes make it."""
        self._now, self._no_time = None, ""
        try:
            return self._answer(question)
        except LedgerUnusable as error:
            trouble = Trouble(SourceCondition.UNUSABLE, _sentence(error), error.fix)
        except FixInput as error:
            trouble = Trouble(SourceCondition.MISSING, _sentence(error), error.fix)
        except (apsw.BusyError, apsw.LockedError, Locked):
            trouble = Trouble(
                SourceCondition.LOCKED,
                "another process keeps the ledger locked",
                "Wait; if it lasts for minutes, look at what runs: `systemctl status appliance`",
            )
        except (apsw.Error, OSError, TrademlError, ValueError, KeyError) as error:
            fix = "Look at the file and its disk; if the file is damaged, stop the device and restore the last backup"
            trouble = Trouble(SourceCondition.UNREADABLE, f"{reason_of(error)}", fix)
        self.close()
        return ScreenAnswer(question, self._now, self._clock.now(), trouble=trouble)

    def close(self) -> None:
        """Close the ledger; the next question opens it again."""
        if self._ledger is not None:
            self._ledger.close()
        self._ledger, self._identity = None, None

    def _answer(self, question: ScreenQuery) -> ScreenAnswer:
        self.folder.require()
        venue = _venue(self.folder.config)
        self._look_at_the_clock(venue)
        if not self.folder.ledger.is_file():
            raise FixInput(
                "this device has no ledger yet",
                where=str(self.folder.ledger),
                fix="Start the device, or run `appliance run-day`; the ledger is made then",
            )
        ledger = self._opened()
        now, real = self._now, self._clock.now()
        newest = newest_session(ledger)
        time = DeviceTime(now, self._published(venue.manifest), venue.is_hosted, real, venue.entering, self._no_time)
        found = overview(ledger, self.folder, time)
        if newest is None:
            trouble = Trouble(
                SourceCondition.EMPTY,
                "the ledger is sound and empty: no job has run",
                "Wait for the evening's pull, or run a session: `appliance run-day --session D`",
            )
            return ScreenAnswer(question, now, real, found, {}, trouble=trouble)
        session = question.session or newest
        context = QueryContext(self.folder, session, question.order, question.symbol)
        views = question.query(ledger, context) if question.query else {}
        before, after = neighbours(ledger, session)
        return ScreenAnswer(question, now, real, found, views, session, before, after)

    def _opened(self) -> Ledger:
        found = self.folder.ledger.stat()
        identity = (found.st_dev, found.st_ino)
        if self._ledger is None or identity != self._identity:
            self.close()
            self._ledger, self._identity = Ledger(self.folder.ledger, AccessMode.READ), identity
        return self._ledger

    def _look_at_the_clock(self, venue: _Venue) -> None:
        """Note what time it is where the device trades, or why that is not known: another clock is no substitute."""
        try:
            self._now = venue_time(self.folder.root, self._clock, is_exchange=venue.is_exchange, url=venue.url)
        except TrademlError as error:
            self._no_time = _sentence(error)

    def _published(self, path: Path) -> Calendar | None:
        """The calendar of the published dataset; None when it cannot be read, which the overview says."""
        try:
            changed = path.stat().st_mtime_ns
            if self._calendar is None or self._calendar[0] != changed:
                row = json.loads(path.read_bytes())["calendar"]
                self._calendar = (changed, Calendar.from_rows(row["name"], row["sessions"]))
        except (OSError, ValueError, KeyError, TypeError, InvariantBroken):
            return None
        return self._calendar[1]


@dataclass(frozen=True)
class _Venue:
    manifest: Path
    is_exchange: bool
    url: str
    entering: Entering = AT_THE_OPEN

    @property
    def is_hosted(self) -> bool:
        return self.is_exchange and not self.url


def _venue(path: Path) -> _Venue:
    """Read the settings that a reader needs, without the libraries that the whole configuration brings in."""
    try:
        content = strict_yaml.loads(path.read_text(encoding="utf-8"))
        venue = content.get("venue") or {}
        is_exchange, url = venue.get("broker", "exchange") == "exchange", str(venue.get("url") or "")
        entry = (content.get("execution") or {}).get("entry") or {}
        known = {name: entry[name] for name in ("kind", "steps", "first_minutes", "last_minutes") if name in entry}
        data = str(content["stores"]["data"])
        kept = StateFolder(path.parent).manifest if is_s3(data) else Path(data) / MANIFEST
        return _Venue(kept, is_exchange, url, Entering(**known))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise BadConfig("the device's settings cannot be read", where=f"{path}: {reason_of(error)}", fix="Correct the file") from None


def _sentence(error: TrademlError) -> str:
    return f"{error.what} ({error.where})" if error.where else error.what
