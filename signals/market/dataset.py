"""Reads a curated dataset and checks every file against the manifest's hashes.

Entry points: `read_manifest`, `load_bars`, `load_actions`, `session_range`.

Invariants
----------
1. Every file is read once, hashed, and parsed from the very bytes that were hashed.
2. A version reads the same for ever: files are named by their content and never overwritten.
3. RED sessions stay in the panel as rows without bars, so that look-backs count sessions rightly.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signals.errors import BadBars, BadDataset, InvariantBroken, NotASession
from signals.files import sha256_of
from signals.market.actions import Action, ActionKind
from signals.market.bar_rows import BarRows
from signals.market.bars import Bars, Floats
from signals.market.manifest import FileRecord, FileRole, Manifest, PriceBasis, Survivorship
from signals.market.sessions import Calendar, Session, SessionAudit, SessionStatus
from signals.storage.arrow import read_parquet
from signals.text.wording import reason_of

__all__ = [
    "FileRecord",
    "FileRole",
    "Manifest",
    "PriceBasis",
    "SessionAudit",
    "SessionStatus",
    "Survivorship",
    "load_actions",
    "load_bars",
    "manifest_path",
    "read_file",
    "read_manifest",
    "read_table",
    "session_range",
]

PUBLISH_AGAIN = "Publish or ingest the dataset again"


class ActionRow(TypedDict):
    """A row of a table of corporate actions; decimals are text."""

    kind: str
    symbol: str
    effective: date
    known_at: date
    ratio: str | None
    cash: str | None
    new_symbol: str
    inferred: bool


def manifest_path(folder: Path, version: int | None) -> Path:
    """Path of the current manifest, or of the one that is kept for `version`."""
    return folder / "manifest.json" if version is None else folder / "manifests" / f"{version}.json"


def read_manifest(folder: Path, version: int | None = None) -> Manifest:
    """Read the manifest of the dataset in `folder`: the current one, or that of an earlier `version`.

    Raises
    ------
    BadDataset
        There is no manifest, it was edited, or the copy kept for its version differs.
    """
    path = manifest_path(folder, version)
    content = _bytes_of(path, "no manifest here", "Name a folder made by `trainer ingest`")
    manifest = Manifest.from_bytes(content, where=str(path))
    kept = manifest_path(folder, manifest.version)
    if kept != path and _bytes_of(kept, "the manifest's kept copy is missing", PUBLISH_AGAIN) != content:
        raise BadDataset("manifest.json and the copy kept for its version differ", where=str(kept), fix=PUBLISH_AGAIN)
    if version is not None and manifest.version != version:
        raise BadDataset(f"this manifest is version {manifest.version}", where=str(path), fix=PUBLISH_AGAIN)
    return manifest


def read_file(folder: Path, record: FileRecord) -> bytes:
    """Return the bytes of a file that the manifest vouches for; raise `BadDataset` unless they are those bytes."""
    path = folder / record.path
    content = _bytes_of(path, "a file that the manifest lists is missing", PUBLISH_AGAIN)
    if len(content) != record.size or sha256_of(content) != record.sha256:
        raise BadDataset("the file is not what the manifest vouches for", where=str(path), fix=PUBLISH_AGAIN)
    return content


def read_table(folder: Path, record: FileRecord, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a verified Parquet file as an Arrow table."""
    content = read_file(folder, record)
    try:
        return read_parquet(content, columns)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise BadDataset(
            f"a vouched-for file is not the Parquet it should be ({reason_of(error)})", where=record.path, fix=PUBLISH_AGAIN
        ) from None


def session_range(manifest: Manifest, start: date | None, end: date | None) -> tuple[date, date]:
    """Check the asked range; an end left open is the dataset's own.

    Raises
    ------
    NotASession
        An end is not a session, is outside the dataset, or the range is empty.
    """
    first, last = start or manifest.first, end or manifest.last
    for day in (first, last):
        if not manifest.first <= day <= manifest.last:
            raise NotASession(
                f"the dataset has no bars of {day}",
                where=f"{manifest.name} holds {manifest.first} to {manifest.last}",
                fix="Ask for sessions inside that range",
            )
        manifest.calendar.index(day)
    if first > last:
        raise NotASession(f"the range ends before it starts: {first} to {last}", fix="Swap the two dates")
    return first, last


def load_bars(folder: Path, manifest: Manifest, first: date, last: date) -> Bars:
    """Load the panel of the sessions [first, last].

    Columns are securities, named by the symbol they bore at their newest row in the range. Where two securities bore
    the same symbol one after the other, the newest owner has the name and an earlier one is `<symbol>@<its last day>`.

    Parameters
    ----------
    first, last : date
        Sessions of the dataset.

    Raises
    ------
    BadDataset
        A file is missing or differs from what the manifest vouches for.
    NotASession
        An end of the range is not a session of the dataset.
    """
    return read_rows(folder, manifest, first, last).panel(first, last)


def read_rows(folder: Path, manifest: Manifest, first: date, last: date) -> BarRows:
    """Read the rows of the sessions [first, last], from which any panel inside can be cut; raises the same."""
    session_range(manifest, first, last)
    tables = [
        read_table(folder, record)
        for record in manifest.of_role(FileRole.BARS)
        if record.first is not None and record.last is not None and record.first <= last and record.last >= first
    ]
    if not tables and not manifest.of_role(FileRole.BARS):
        raise BadDataset(
            "the dataset has no daily bars", where=manifest.name, fix="Name a dataset of daily bars: minutes alone are for research"
        )
    if not tables:
        raise BadDataset("the manifest lists no bars for the range", where=f"{first} to {last}", fix=PUBLISH_AGAIN)
    red = [audit.session for audit in manifest.audits if audit.status is SessionStatus.RED]
    return BarRows(pa.concat_tables(tables), manifest.calendar, red, manifest.basis)


def load_actions(folder: Path, manifest: Manifest) -> tuple[Action, ...]:
    """Load the corporate actions, sorted by (effective, symbol, kind); none where the dataset has no such file.

    Raises
    ------
    BadDataset
        The file is missing or differs from what the manifest vouches for.
    """
    actions: list[Action] = []
    for record in manifest.of_role(FileRole.ACTIONS):
        try:
            actions += [_action(row) for row in read_table(folder, record).to_pylist()]
        except (KeyError, ValueError, ArithmeticError, InvariantBroken) as error:
            raise BadDataset(f"a row is not an action ({reason_of(error)})", where=record.path, fix=PUBLISH_AGAIN) from None
    return tuple(sorted(actions, key=lambda action: (action.effective, action.symbol, action.kind)))


def _action(row: ActionRow) -> Action:
    return Action(
        kind=ActionKind(row["kind"]),
        symbol=row["symbol"],
        effective=row["effective"],
        known_at=row["known_at"],
        ratio=None if row["ratio"] is None else Decimal(row["ratio"]),
        cash=None if row["cash"] is None else Decimal(row["cash"]),
        new_symbol=row["new_symbol"],
        inferred=bool(row["inferred"]),
    )


def _bytes_of(path: Path, what: str, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadDataset(what, where=str(path), fix=fix) from None
    except OSError as error:
        raise BadDataset(f"unreadable ({reason_of(error)})", where=str(path), fix="Check the disk") from None


FIGURES = ("open", "high", "low", "close", "volume")
FOLDER = "minutes"
"""Where minutes are kept, in the folder of the daily bars and in that of a dataset of minutes."""


def folder_of(symbol: str) -> str:
    """Return the folder of a symbol's files, relative to the dataset."""
    return f"{FOLDER}/" + re.sub(r"[^A-Za-z0-9.-]", "_", symbol)


def stored_length(folder: Path, manifest: Manifest) -> int:
    """Minutes of a stored bar; raise `BadBars` where the dataset holds no minutes."""
    records = manifest.of_role(FileRole.MINUTE_SESSIONS)
    if not records:
        raise BadBars("the dataset holds no minutes", where=str(folder), fix="Make one: trainer ingest --minutes FILE --to FOLDER")
    return int(read_table(folder, records[0], ["length"]).column("length")[0].as_py())


def stored_tables(
    folder: Path, manifest: Manifest, symbols: tuple[str, ...] = (), first: date = date.min, last: date = date.max
) -> list[pa.Table]:
    """Tables with the rows of these symbols, of all where none is named, whose files reach into [first, last]; they may hold others too."""
    places = {folder_of(symbol) for symbol in symbols}
    return [
        read_table(folder, record)
        for record in manifest.of_role(FileRole.MINUTES)
        if (not places or record.path.rpartition("/")[0] in places)
        and (record.last is None or record.last >= first)
        and (record.first is None or record.first <= last)
    ]


@dataclass(frozen=True, eq=False)
class SessionMinutes:
    """The bars of one symbol in one session's regular hours.

    Attributes
    ----------
    ends : int64, shape (M,)
        Minutes from the open to the END of each bar, increasing.
    figures : mapping of name to float64, shape (M,)
        `FIGURES`, finite.
    half_spread : float64, shape (M,)
        Half the spread quoted at the END as a share of the price; NaN without a quote.
    """

    ends: NDArray[np.int64]
    figures: Mapping[str, Floats]
    half_spread: Floats


@dataclass(frozen=True, eq=False)
class MinuteRows:
    """A dataset of minutes; sessions that its audit found unusable (RED) are absent."""

    folder: Path
    manifest: Manifest

    @classmethod
    def of(cls, folder: Path) -> "MinuteRows":
        """Open the dataset's current version; raise `BadDataset` or `BadBars` where there is none of minutes."""
        found = cls(folder, read_manifest(folder))
        assert found.length > 0
        return found

    @cached_property
    def length(self) -> int:
        """Minutes of a bar."""
        return stored_length(self.folder, self.manifest)

    @cached_property
    def _usable(self) -> frozenset[tuple[str, date]]:
        table = read_table(self.folder, self.manifest.of_role(FileRole.MINUTE_SESSIONS)[0], ["symbol", "session", "status"])
        columns = (table.column(name).to_pylist() for name in ("symbol", "session", "status"))
        return frozenset((symbol, day) for symbol, day, status in zip(*columns, strict=True) if status != SessionStatus.RED)

    def has(self, symbol: str, day: date) -> bool:
        """Whether the session `day` of `symbol` can be used."""
        return (symbol, day) in self._usable

    def sessions(self, symbol: str, first: date, last: date, calendar: Calendar) -> dict[date, SessionMinutes]:
        """Return the usable sessions of `symbol` in [first, last]; their hours are those of `calendar`."""
        found: dict[date, SessionMinutes] = {}
        if not any(self.has(symbol, day) for day in calendar.between(first, last)):
            return found
        for table in stored_tables(self.folder, self.manifest, (symbol,), first, last):
            own = table.filter(pc.equal(table.column("symbol"), symbol))
            days = own.column("session").to_numpy()
            for day in np.unique(days).astype(object).tolist():
                if first <= day <= last and self.has(symbol, day) and calendar.is_session(day):
                    found[day] = _minutes(own.filter(pa.array(days == np.datetime64(day))), calendar.session(day))
        return found

    def trailing_volumes(self, symbol: str, asof: date, calendar: Calendar, count: int = 20) -> list[tuple[NDArray[np.int64], Floats, int]]:
        """Volumes of the `count` sessions that end at `asof`: minutes to each END, shares, and the session's length in minutes."""
        first = calendar.days[max(0, calendar.index(asof) - count + 1)]
        found = sorted(self.sessions(symbol, first, asof, calendar).items())
        lengths = {day: calendar.session(day).close - calendar.session(day).open for day, _ in found}
        return [(one.ends, one.figures["volume"], int(lengths[day].total_seconds() // 60)) for day, one in found]


def _minutes(table: pa.Table, session: Session) -> SessionMinutes:
    """Rows of one session in the order of their END, without those outside its regular hours or without a trade."""
    opened = np.datetime64(session.open.replace(tzinfo=None), "m")
    ends = (table.column("end").to_numpy().astype("datetime64[m]") - opened).astype(np.int64)
    figures = {name: table.column(name).to_numpy().astype(np.float64) for name in FIGURES}
    kept = (ends > 0) & (ends <= (session.close - session.open).total_seconds() / 60.0) & np.isfinite(figures["close"])
    order = np.flatnonzero(kept)[np.argsort(ends[kept], kind="stable")]
    half = np.full(len(ends), np.nan)
    if {"bid", "ask"} <= set(table.column_names):
        bid, ask = (table.column(name).to_numpy().astype(np.float64) for name in ("bid", "ask"))
        half = (ask - bid) / (ask + bid)
    return SessionMinutes(ends[order], {name: array[order] for name, array in figures.items()}, half[order])
