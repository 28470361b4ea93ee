"""The timetable of the training host, the cadence of each row, and the record of what it ran.

Everything is named by D, the session after `asof`, as on the device. A weekly row is asked for from the first night of a week
on, every night until it ended well: a training that failed is tried again the night after.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path

from signals.market.sessions import Calendar
from signals.schedule.job_windows import Anchor, Timetable, TimetableRow, When
from signals.text.documents import to_json
from trainer.runs import chain
from trainer.runs.chain import Record

HOUR, GIGABYTE = 3600.0, 1024


class Cadence(StrEnum):
    """How often a row runs; `manual` only by `trainer run --row`."""

    NIGHTLY = "nightly"
    WEEKLY = "weekly"
    MANUAL = "manual"


def _evening(hour: int, minute: int) -> When:
    return When(Anchor.EVENING_BEFORE, time(hour, minute))


MORNING = When(Anchor.MORNING, time(9))
BEFORE_ORDERS = When(Anchor.MORNING, time(7))  # beside a device a small training that begins now is over before that plans and trades
TIMETABLE: Timetable = (
    TimetableRow("update", _evening(16, 45), MORNING, "the vendor had no bars of asof", "fetch the bars of asof and curate the dataset",
         seconds=2 * HOUR, megabytes=8 * GIGABYTE),
    TimetableRow("audit", _evening(16, 46), MORNING, "the dataset was not audited", "audit the newest week", HOUR, 8 * GIGABYTE),
    TimetableRow("publish", _evening(16, 47), MORNING, "devices have no data of asof", "sign the dataset and copy it to the store",
         HOUR, 4 * GIGABYTE),
    TimetableRow("score", _evening(16, 48), MORNING, "devices that pull scores have none", "score what is published and deliver the scores",
         HOUR, 4 * GIGABYTE),
    TimetableRow("evaluate", _evening(16, 49), MORNING, "the next night evaluates", "compare what is published with what it promised",
         HOUR, 4 * GIGABYTE),
    TimetableRow("retrain", _evening(20, 0), BEFORE_ORDERS, "the next night trains", "train each published lineage again and publish it",
         12 * HOUR, 48 * GIGABYTE),
    TimetableRow("challenge", _evening(20, 1), BEFORE_ORDERS, "the next night searches", "search parameters and train a challenger",
         48 * HOUR, 48 * GIGABYTE),
    TimetableRow("prune", _evening(20, 2), When(Anchor.MORNING, time(9, 15)), "the next night removes it",
         "remove what can be made again, as far as nothing published cites it", HOUR, GIGABYTE),
)  # fmt: skip
ROWS: tuple[str, ...] = tuple(row.job for row in TIMETABLE)
CADENCE: Mapping[str, Cadence] = {**dict.fromkeys(ROWS, Cadence.NIGHTLY), "retrain": Cadence.WEEKLY, "challenge": Cadence.MANUAL}


def unasked(
    days: Iterable[date], good: Collection[tuple[date, str]], calendar: Calendar, cadence: Mapping[str, Cadence]
) -> set[tuple[date, str]]:
    """Return the (session D, row) of `days` that nobody asks for, by every one that ended well."""
    found = set()
    for day in days:
        week = [one for one in calendar.between(calendar.days[0], day)[-6:] if one.isocalendar()[:2] == day.isocalendar()[:2]]
        for row, often in cadence.items():
            done_before = any((one, row) in good for one in week if one != day)
            if often is Cadence.MANUAL or (often is Cadence.WEEKLY and done_before):
                found.add((day, row))
    return found


FILE = "service.jsonl"
FIX = "Restore it from a backup, or move it away: the host then begins a new record"


class RowStatus(StrEnum):
    """How a row of the timetable ended; only a failed one asks something of a person."""

    DONE = "done"
    REFUSED = "refused"  # by its own rules, which are right
    FAILED = "failed"
    MISSED = "missed"


GOOD = (RowStatus.DONE, RowStatus.REFUSED)


@dataclass(frozen=True)
class RowEnd:
    """The result of a row: one sentence, what to do about it where it failed, and figures for a program."""

    status: RowStatus
    summary: str
    fix: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


class RunLog:
    """The record of one registry."""

    def __init__(self, registry: Path) -> None:
        self._path = registry / FILE

    def records(self) -> tuple[Record, ...]:
        """Return every record, oldest first; raise `FixInput` where the chain is broken."""
        return chain.read(self._path, fix=FIX).records

    def append(self, session: date, row: str, began: datetime, ended: datetime, end: RowEnd) -> None:
        """Record the end of a row, durably."""
        document = {"session": str(session), "row": row, "began": began.isoformat(), "ended": ended.isoformat()}
        chain.append(self._path, {**document, **to_json(end)}, fix=FIX)

    def ended(self) -> set[tuple[date, str]]:
        """Return every (session, row) that ended, however it did."""
        return {(date.fromisoformat(str(r["session"])), str(r["row"])) for r in self.records()}

    def good(self) -> set[tuple[date, str]]:
        """Return every (session, row) that ended well."""
        return {(date.fromisoformat(str(r["session"])), str(r["row"])) for r in self.records() if r["status"] in GOOD}

    def taken(self) -> set[str]:
        """Return the names of the deliveries that were ingested."""
        return {name for record in self.records() for name in record["figures"].get("taken", ())}
