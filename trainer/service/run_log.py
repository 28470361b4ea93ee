"""The record of what the training host ran: `service.jsonl` next to the registry's chains, one record for each end of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from signals.text.documents import to_json
from trainer.runs import chain
from trainer.runs.chain import Record

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
