"""What a vendor told of one session, kept to the byte: the completed sessions' part of what an order was decided on.

`completed/<session>_told_<sha12>.json` holds every row of the session, those too that the audit then refused, and the
corporate actions effective on it or known with it; `completed/<asof>_snapshot_<sha12>.json` names the dataset and
these files.

Entry points: `keep`, `read` (of one session), `keep_snapshot`, `kept_snapshot`, `standing` (is it all still there?).

Invariants
----------
1. A file is named by its content and never changed; one that is not what its name or its reader says is not believed.
2. The same rows in any order make the same bytes.
3. Reading needs none of the libraries that asking a vendor needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from appliance.market.rows import action_of, action_row
from appliance.market.snapshot import CompletedSession, Snapshot, document, parts_of
from appliance.system.ports import Fs
from signals.errors import FixInput, InvariantBroken
from signals.files import sha256_of
from signals.market.actions import Action
from signals.text.wording import reason_of

FORMAT = 1
DIGITS = 12


class ToldBar(NamedTuple):
    """One raw daily bar as a vendor told it: USD and shares; NaN where it named no finite figure."""

    day: date
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Told:
    """What was told of one session.

    Attributes
    ----------
    session : date
    bars : tuple of ToldBar
        All of this session.
    actions : tuple of Action
        Effective on it, or known with it.
    """

    session: date
    bars: tuple[ToldBar, ...]
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
    def from_bytes(cls, content: bytes) -> Told:
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


def keep(fs: Fs, folder: Path, told: Told) -> CompletedSession:
    """Write the record of a session below `folder`; return what a snapshot says of it."""
    content = told.to_bytes()
    part = CompletedSession(told.session, sha256_of(content))
    fs.write(folder / _told_name(part), content)
    return part


def read(folder: Path, part: CompletedSession) -> Told:
    """Read the record of a session; raise `FixInput` where it is gone or not what was written."""
    return Told.from_bytes(_content(folder / _told_name(part), part.sha256))


def keep_snapshot(fs: Fs, folder: Path, asof: date, snapshot: Snapshot) -> None:
    """Write the document behind the snapshot's id; a published dataset has its manifest and needs none."""
    if snapshot.completed:
        fs.write(folder / _snapshot_name(asof, snapshot.id), snapshot.to_bytes())


def kept_snapshot(folder: Path, asof: date, identity: str) -> tuple[str, Sequence[CompletedSession]] | None:
    """Return the manifest's id and the completed sessions behind a snapshot's id; None where no document is kept.

    Raises
    ------
    FixInput
        The document is not what was written.
    """
    path = folder / _snapshot_name(asof, identity)
    return parts_of(_content(path, identity)) if path.is_file() else None


def standing(folder: Path, parts: Iterable[CompletedSession]) -> tuple[str, ...]:
    """Hash every record of a session anew; return a sentence for each that is gone or is not what was written."""
    faults = []
    for part in parts:
        try:
            read(folder, part)
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


def _told_name(part: CompletedSession) -> str:
    return f"{part.session}_told_{part.sha256[:DIGITS]}.json"


def _snapshot_name(asof: date, identity: str) -> str:
    return f"{asof}_snapshot_{identity[:DIGITS]}.json"


def _known(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def _bar(day: date, symbol: str, *figures: float | None) -> ToldBar:
    return ToldBar(day, symbol, *(math.nan if figure is None else float(figure) for figure in figures))


def _text(cell: object) -> object:
    return cell.isoformat() if isinstance(cell, date) else cell


def _action(row: list[Any]) -> Action:
    kind, symbol, effective, known_at, *rest = row
    return action_of((kind, symbol, date.fromisoformat(effective), date.fromisoformat(known_at), *rest))
