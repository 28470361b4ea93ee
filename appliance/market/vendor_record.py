"""The vendor's raw bars and corporate actions for one session, stored byte-exact so that an order can be traced to its inputs.

`completed/<session>_told_<sha12>.json` holds every row of the session, those too that the audit then refused, and the
corporate actions effective on it or known with it; `completed/<asof>_snapshot_<sha12>.json` names the dataset and
these files.

Entry points: `store_record`, `read_record` (one session), `store_snapshot`, `read_snapshot`, `damaged_records`; `BarSource`
and `PriceSource` are the interfaces to a vendor.

Invariants
----------
1. A file is named by its content and never changed; one that differs from its name or its recorded hash is refused.
2. The same rows in any order make the same bytes.
3. Reading needs none of the libraries that asking a vendor needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from appliance.market.rows import action_of, action_row
from appliance.market.snapshot import CompletedSession, DataSnapshot, document, parts_of
from appliance.system.ports import Fs
from execution.brokers.reported import ReportedAction, ReportedBar
from signals.errors import FixInput, InvariantBroken
from signals.files import sha256_of
from signals.market.actions import Action
from signals.market.sessions import Calendar
from signals.text.wording import reason_of

FORMAT = 1
DIGITS = 12


@dataclass(frozen=True)
class VendorRecord:
    """The vendor's report of one session.

    Attributes
    ----------
    bars : tuple of ReportedBar
        All of this session.
    actions : tuple of Action
        Effective on it, or known with it.
    """

    session: date
    bars: tuple[ReportedBar, ...]
    actions: tuple[Action, ...]

    def __post_init__(self) -> None:
        if any(bar.day != self.session for bar in self.bars):
            raise InvariantBroken(f"the record of {self.session} holds a bar of another session")

    def to_bytes(self) -> bytes:
        """The file's content."""
        bars = sorted(([bar.symbol, *map(_known, bar[2:])] for bar in self.bars), key=json.dumps)
        actions = sorted(([*map(_text, action_row(action))] for action in self.actions), key=json.dumps)
        return document({"format": FORMAT, "session": self.session.isoformat(), "bars": bars, "actions": actions})

    @classmethod
    def from_bytes(cls, content: bytes) -> VendorRecord:
        """Read a file; raise `FixInput` for anything that is none."""
        try:
            row = json.loads(content)
            if row["format"] != FORMAT:
                raise FixInput(f"the record of a session has the format {row['format']!r}, not {FORMAT}")
            day = date.fromisoformat(row["session"])
            bars = tuple(_bar(day, *figures) for figures in row["bars"])
            return cls(day, bars, tuple(_action(figures) for figures in row["actions"]))
        except (ValueError, KeyError, TypeError, ArithmeticError, InvariantBroken) as error:
            raise FixInput("the record of a session cannot be read", where=reason_of(error)) from None


def store_record(fs: Fs, folder: Path, record: VendorRecord) -> CompletedSession:
    """Write the record of a session below `folder`; return what a snapshot says of it."""
    content = record.to_bytes()
    part = CompletedSession(record.session, sha256_of(content))
    fs.write(folder / _record_name(part), content)
    return part


def read_record(folder: Path, part: CompletedSession) -> VendorRecord:
    """Read the record of a session; raise `FixInput` where it is gone or not what was written."""
    return VendorRecord.from_bytes(_content(folder / _record_name(part), part.sha256))


def store_snapshot(fs: Fs, folder: Path, asof: date, snapshot: DataSnapshot) -> None:
    """Write the document behind the snapshot's id; a published dataset has its manifest and needs none."""
    if snapshot.completed:
        fs.write(folder / _snapshot_name(asof, snapshot.id), snapshot.to_bytes())


def read_snapshot(folder: Path, asof: date, identity: str) -> tuple[str, Sequence[CompletedSession]] | None:
    """Return the manifest's id and the completed sessions behind a snapshot's id; None where no document is kept.

    Raises
    ------
    FixInput
        The document is not what was written.
    """
    path = folder / _snapshot_name(asof, identity)
    return parts_of(_content(path, identity)) if path.is_file() else None


def damaged_records(folder: Path, parts: Iterable[CompletedSession]) -> tuple[str, ...]:
    """Hash every record again; return a sentence for each that is missing or was changed."""
    faults = []
    for part in parts:
        try:
            read_record(folder, part)
        except FixInput as error:
            faults.append(str(error))
    return tuple(faults)


def is_snapshot(path: Path) -> bool:
    """Whether a file of the folder is the document behind a snapshot's id, by its name."""
    return "_snapshot_" in path.name


def _content(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise FixInput("a record is no longer kept", where=path.name) from None
    if sha256_of(content) != digest:
        raise FixInput("a record is not what was written", where=path.name)
    return content


def _record_name(part: CompletedSession) -> str:
    return f"{part.session}_told_{part.sha256[:DIGITS]}.json"


def _snapshot_name(asof: date, identity: str) -> str:
    return f"{asof}_snapshot_{identity[:DIGITS]}.json"


def _known(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def _bar(day: date, symbol: str, *figures: float | None) -> ReportedBar:
    return ReportedBar(day, symbol, *(math.nan if figure is None else float(figure) for figure in figures))


def _text(cell: object) -> object:
    return cell.isoformat() if isinstance(cell, date) else cell


def _action(row: list[Any]) -> Action:
    kind, symbol, effective, known_at, *rest = row
    return action_of((kind, symbol, date.fromisoformat(effective), date.fromisoformat(known_at), *rest))


class BarSource(Protocol):
    """A vendor of raw daily bars; every call may raise `BrokerUnreachable` or `BadBars`."""

    def final(self, first: date, last: date, calendar: Calendar) -> list[date]:
        """Sessions in [first, last] whose bars may be asked for now, oldest first."""

    def bars(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[ReportedBar]:
        """Return the bars of the final sessions in [first, last], as they traded."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ReportedAction], list[str]]:
        """Return the corporate actions effective in [first, last], and the names of those that we cannot represent."""


class PriceSource(Protocol):
    """The broker's prices and actions of a few names; every call may raise `BrokerUnreachable` or `BadBars`."""

    @property
    def name(self) -> str:
        """Name of the vendor in a dataset of this source."""

    def closes(self, symbols: Sequence[str], day: date, calendar: Calendar) -> dict[str, Decimal]:
        """Return the closes of `day` in shares of now; a symbol without a bar is absent."""

    def latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Return the newest prices that may be seen; a symbol without one is absent."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ReportedAction], list[str]]:
        """Return the corporate actions effective in [first, last], and the names of those that we cannot represent."""


class VendorMarketData(BarSource, PriceSource, Protocol):
    """Both interfaces in one, as a venue opens them."""
