"""Changes of the universe: names that entered and left, by its membership table."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest
from trainer.curation.eligibility import IntervalRow
from trainer.curation.vendors.cells import listed


@dataclass(frozen=True)
class MemberChange:
    """One day on which the universe changed."""

    day: date
    members: int
    entered: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(names):,} {verb} ({listed(names)})" for names, verb in ((self.entered, "entered"), (self.left, "left")) if names]
        return f"{self.members:,} members since {self.day}: {', '.join(parts)}"


def member_changes(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[MemberChange, ...]:
    """Return the changes of the dataset's universe in (first, last], oldest first; the last may be of the session after it."""
    rows = [row for record in manifest.of_role(FileRole.UNIVERSE) for row in read_table(folder, record).to_pylist()]
    return changes_of(rows, first, manifest.calendar.next(last))


def changes_of(rows: Iterable[IntervalRow], first: date, last: date) -> tuple[MemberChange, ...]:
    """Return the days in (first, last] on which membership rows (symbol, start, end) begin or end."""
    latest: dict[tuple[str, date], IntervalRow] = {}
    for row in sorted(rows, key=lambda row: row.get("known_at") or date.min):
        latest[row["symbol"], row["start"]] = row
    starts: dict[date, set[str]] = {}
    ends: dict[date, set[str]] = {}
    for (symbol, start), row in latest.items():
        starts.setdefault(start, set()).add(symbol)
        if row["end"] is not None:
            ends.setdefault(row["end"], set()).add(symbol)
    members, found = set[str](), []
    for day in sorted(starts.keys() | ends.keys()):
        entered, left = starts.get(day, set()), ends.get(day, set())
        members = members - left | entered
        if first < day <= last and entered != left:
            found.append(MemberChange(day, len(members), tuple(sorted(entered - left)), tuple(sorted(left - entered))))
    return tuple(found)
