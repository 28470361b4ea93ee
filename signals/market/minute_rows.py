"""Reads the rows of minutes that a dataset keeps, by symbol and session, each file checked against the manifest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.market.audits import SessionStatus
from signals.market.bars import Floats
from signals.market.dataset import read_manifest, read_table
from signals.market.manifest import FileRole, Manifest
from signals.market.sessions import Calendar, Session

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
