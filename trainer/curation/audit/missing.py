"""Lists missing bars by symbol and range, from the audit's findings.

Entry points: `missing`, `summary` (one line for a person).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from signals.audit.defects import Reason
from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest
from signals.market.sessions import Calendar

ABSENT = (Reason.EXPECTED_ABSENT, Reason.MISSING_SESSION)
RECENT_SESSIONS = 5
SHOWN = 6
Cell = tuple[str, date]


@dataclass(frozen=True, order=True)
class Missing:
    """A run of consecutive sessions at which a symbol has no usable bar."""

    symbol: str
    first: date
    last: date
    sessions: int

    def __str__(self) -> str:
        span = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.symbol} {span}"


def missing(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[Missing, ...]:
    """Return what [first, last] lacks: expected or interrupted names, quarantined rows, sessions after the last bar.

    Parameters
    ----------
    last : date
        A session of the calendar; past the dataset's own, every name with a bar in its last five sessions is missed.

    Raises
    ------
    BadDataset
        A file is not what the manifest vouches for.
    """
    wanted: set[Cell] = set()
    for record in manifest.of_role(FileRole.FINDINGS):
        rows = read_table(folder, record).to_pylist()
        wanted |= {(row["symbol"], row["date"]) for row in rows if row["reason"] in ABSENT}
    for record in manifest.of_role(FileRole.QUARANTINE):
        rows = read_table(folder, record, ["symbol", "date"]).to_pylist()
        wanted |= {(row["symbol"], row["date"]) for row in rows if manifest.calendar.is_session(row["date"])}
    wanted = {cell for cell in wanted if first <= cell[1] <= last}
    held = _held(folder, manifest, {day for _, day in wanted})
    after = [day for day in manifest.calendar.between(manifest.last, last) if day > manifest.last and day >= first]
    wanted |= {(symbol, day) for symbol in _alive(folder, manifest) for day in after} if after else set()
    return _runs(wanted - held, manifest.calendar)


def summary(found: Sequence[Missing]) -> str:
    """Name the largest holes, and count the others; empty where there are none."""
    if not found:
        return ""
    bars, symbols = sum(run.sessions for run in found), {run.symbol for run in found}
    shown = sorted(found, key=lambda run: (-run.sessions, run))[:SHOWN]
    more = f" and {len(found) - len(shown):,} more" if len(found) > len(shown) else ""
    return f"{bars:,} bars of {len(symbols):,} symbols: {', '.join(str(run) for run in shown)}{more}"


def _held(folder: Path, manifest: Manifest, days: set[date]) -> set[Cell]:
    """Cells of `days` that have a bar: a duplicate is quarantined next to the copy that was kept."""
    cells: set[Cell] = set()
    for record in manifest.of_role(FileRole.BARS):
        if record.first is not None and record.last is not None and days:
            table = read_table(folder, record, ["symbol", "session"])
            kept = table.filter(pc.is_in(table.column("session"), value_set=pa.array(sorted(days), pa.date32())))
            cells |= set(zip(kept.column("symbol").to_pylist(), kept.column("session").to_pylist(), strict=True))
    return cells


def _alive(folder: Path, manifest: Manifest) -> list[str]:
    """Symbols with a bar in the last sessions."""
    recent = set(manifest.calendar.between(manifest.first, manifest.last)[-RECENT_SESSIONS:])
    return sorted({symbol for symbol, _ in _held(folder, manifest, recent)})


def _runs(cells: Iterable[Cell], calendar: Calendar) -> tuple[Missing, ...]:
    by_symbol: dict[str, list[int]] = defaultdict(list)
    for symbol, day in cells:
        by_symbol[symbol].append(calendar.index(day))
    found = []
    for symbol, places in sorted(by_symbol.items()):
        places.sort()
        start = places[0]
        for before, place in zip(places, [*places[1:], None], strict=True):
            if place != before + 1:
                found.append(Missing(symbol, calendar.days[start], calendar.days[before], before - start + 1))
                start = place if place is not None else start
    return tuple(found)
