"""Point-in-time access to a dataset's history: on each evening, only data known by then, quoted spreads included.

Quoted spreads exist where a dataset was built from minutes with quotes:

    typical_i = lower median of the sessions' spread_bps of security i                                          bps

The lower median is one of the quoted figures, so that a device, which asks its own store, finds the very same.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from execution.costs.spread import estimated_bps, spread_bps
from execution.morning import ADV_SESSIONS, Evening
from portfolio.risk.model import WINDOW_SESSIONS, market_return
from signals.errors import BadDataset, FixInput
from signals.market.actions import Action
from signals.market.bar_rows import BarRows
from signals.market.bars import Bars, Days, Floats, days_array
from signals.market.dataset import load_actions, read_manifest, read_rows, read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import SessionStatus
from signals.storage.arrow import days as days_of
from signals.storage.arrow import floats, read_parquet
from signals.text.wording import reason_of
from trainer.backtest.document import BenchmarkFigures, against_benchmark, worth


@dataclass(frozen=True, eq=False)
class Quotes:
    """One row a session and security that was quoted, by session.

    Attributes
    ----------
    sessions : datetime64[D], shape (R,)
    securities : tuple of str, length R
    spread_bps : float64, shape (R,)
        Full quoted spread, basis points of the middle.
    """

    sessions: Days
    securities: tuple[str, ...]
    spread_bps: Floats

    def typical(self, first: date, last: date) -> dict[str, float]:
        """Lower median of each security's quoted spread in the sessions [first, last], basis points."""
        ends = days_array([first, last])
        begin, end = np.searchsorted(self.sessions, ends[0]), np.searchsorted(self.sessions, ends[1], side="right")
        quoted: dict[str, list[float]] = {}
        for place in range(int(begin), int(end)):
            quoted.setdefault(self.securities[place], []).append(float(self.spread_bps[place]))
        return {security: sorted(found)[(len(found) - 1) // 2] for security, found in quoted.items()}


def read_quotes(folder: Path, manifest: Manifest, rows: BarRows) -> Quotes:
    """Read what the manifest vouches for; no rows where the dataset has no quotes.

    A quote of a symbol that has no bar in its session belongs to nobody and is left out.

    Raises
    ------
    BadDataset
        A file is missing, differs from what the manifest vouches for, or is not a table of spreads.
    """
    found: list[tuple[date, str, float]] = []
    for record in manifest.of_role(FileRole.SPREADS):
        table = read_table(folder, record, ["session", "symbol", "spread_bps"])
        try:
            found += zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        except (TypeError, pa.ArrowException) as error:
            raise BadDataset(f"not a table of spreads ({reason_of(error)})", where=record.path, fix="Ingest the dataset again") from None
    found.sort()
    owners: dict[date, dict[str, str]] = {}
    kept = []
    for session, symbol, bps in found:
        if session not in owners:
            owners[session] = {name: security for security, name in rows.symbols_on(session).items()}
        if symbol in owners[session]:
            kept.append((session, owners[session][symbol], bps))
    return Quotes(
        days_array([session for session, _, _ in kept]),
        tuple(owner for _, owner, _ in kept),
        np.array([bps for _, _, bps in kept], dtype=np.float64),
    )


@dataclass(frozen=True, eq=False)
class Archive:
    """One version of a curated dataset, its rows read once."""

    folder: Path
    manifest: Manifest
    rows: BarRows
    actions: tuple[Action, ...]

    @cached_property
    def whole(self) -> Bars:
        """The panel of every session; columns are named as of the last one."""
        return self.rows.panel(self.manifest.first, self.manifest.last)

    @cached_property
    def securities(self) -> tuple[str, ...]:
        """Stable id of each column of `whole`."""
        by_name = self.rows.securities(self.manifest.first, self.manifest.last)
        return tuple(by_name[name] for name in self.whole.symbols)

    @cached_property
    def index(self) -> Floats:
        """Return of the equal-weight universe in each session, shape (T,); NaN where no name has a return."""
        return market_return(self.whole.total_return, self.whole.eligible)

    @cached_property
    def _effective(self) -> dict[date, list[Action]]:
        found: dict[date, list[Action]] = {}
        for action in sorted(self.actions, key=lambda a: (a.symbol, a.kind)):
            found.setdefault(action.effective, []).append(action)
        return found

    def is_red(self, asof: date) -> bool:
        """Whether the data of `asof` may not be used."""
        return self.manifest.status(asof).status is SessionStatus.RED

    def actions_on(self, session: date, known: date) -> tuple[Action, ...]:
        """Actions effective on `session` that were known at the close of `known`, sorted by symbol and kind."""
        return tuple(a for a in self._effective.get(session, ()) if a.known_at <= known)

    def effective_on(self, session: date) -> tuple[Action, ...]:
        """Actions effective on `session` by all that is known now, whenever it was learned."""
        return tuple(self._effective.get(session, ()))

    def trailing(self, asof: date, sessions: int) -> Bars:
        """Return the panel of the `sessions` sessions that end at `asof`, fewer where the data begin later."""
        return self.rows.panel(self.first_of(asof, sessions), asof)

    def dollar_volumes(self, asof: date) -> dict[str, Decimal]:
        """Mean dollar volume of the trailing 20 sessions of every symbol with a bar at `asof`."""
        found = self.rows.dollar_volumes(self.first_of(asof, ADV_SESSIONS), asof)
        return {symbol: Decimal(repr(volume)) for symbol, volume in found.items()}

    def spreads(self, asof: date) -> dict[str, Decimal]:
        """Quoted spread of every symbol with a bar at `asof` and quotes in its trailing 20 sessions, basis points."""
        typical = self._quotes.typical(self.first_of(asof, ADV_SESSIONS), asof)
        then = self.rows.symbols_on(asof)
        return {then[owner]: Decimal(repr(bps)) for owner, bps in typical.items() if owner in then}

    def usual_spreads(self) -> Floats:
        """Spread of each column of `whole` over all sessions, basis points: quoted, shown by its bars, or assumed.

        At least a tick at its median close where that is a price as traded.
        """
        typical = self._quotes.typical(self.manifest.first, self.manifest.last)
        quoted = [Decimal(repr(typical[owner])) if owner in typical else None for owner in self.securities]
        is_raw, closes = self.manifest.basis is PriceBasis.RAW, [c[np.isfinite(c)] for c in self.whole.close.T]
        prices = [Decimal(repr(float(np.median(c)))) if is_raw and c.size else None for c in closes]
        shown = estimated_bps(self.whole)
        return np.array([float(spread_bps(*known)) for known in zip(quoted, shown.tolist(), prices, strict=True)])

    @cached_property
    def _quotes(self) -> Quotes:
        return read_quotes(self.folder, self.manifest, self.rows)

    def evening(self, session: date, asof: date, volatility: Mapping[str, float]) -> Evening:
        """Return what a device knows on the evening of `asof`, before the trade session; `volatility` is forecast."""
        return Evening(
            bars=self.trailing(asof, WINDOW_SESSIONS),
            closes={symbol: Decimal(repr(close)) for symbol, close in self.rows.closes(asof).items()},
            adv_usd=self.dollar_volumes(asof),
            actions=self.actions_on(session, asof),
            basis=self.manifest.basis,
            snapshot_id=self.manifest.snapshot_id,
            volatility=volatility,
        )

    def first_of(self, asof: date, sessions: int) -> date:
        """First of the `sessions` sessions that end at `asof`, no earlier than the data."""
        days = self.manifest.calendar
        return max(self.manifest.first, days.days[max(0, days.index(asof) - sessions + 1)])


def open_archive(folder: Path, snapshot_id: str = "") -> Archive:
    """Read the dataset; with a snapshot id, the very version that has it.

    Raises
    ------
    FixInput
        No version of the dataset has that snapshot id.
    BadDataset
        A file differs from what the manifest vouches for.
    """
    manifest = read_manifest(folder)
    for version in range(manifest.version, 0, -1) if snapshot_id else ():
        if manifest.snapshot_id == snapshot_id:
            break
        manifest = read_manifest(folder, version)
    if snapshot_id and manifest.snapshot_id != snapshot_id:
        raise FixInput(
            f"no version of the dataset is the snapshot {snapshot_id[:12]} that the run was trained on",
            where=str(folder),
            fix="Name the dataset that it was trained on",
        )
    rows = read_rows(folder, manifest, manifest.first, manifest.last)
    return Archive(folder, manifest, rows, load_actions(folder, manifest))


UNIVERSE = "equal-weight universe"
FILES = (".csv", ".parquet")
FIX = "Give columns session (YYYY-MM-DD) and close, one row a session"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Total returns of every session of an archive, shape (T,), without costs; NaN where there is none.

    `is_index` is true of a file's line: it has to cover every session that it is drawn beside.
    """

    name: str
    returns: Floats
    is_index: bool = False

    def require(self, archive: Archive, days: Sequence[date]) -> None:
        """Raise `FixInput` when an index has no return for one of `days`."""
        missing = [day for day in days if self.is_index and np.isnan(self.returns[archive.whole.index(day)])]
        if missing:
            raise FixInput(
                f"the index has no return for {len(missing)} sessions, the first is {missing[0]}",
                where=self.name,
                fix="Give its close in every session of the range, and in the one before",
            )

    def document(self, net: Floats, index: Floats) -> BenchmarkFigures:
        """Figures of its returns `index`, and of net returns next to them, both of shape (T,)."""
        return BenchmarkFigures(name=self.name, **vars(worth(index)), **vars(against_benchmark(net, index)))


def universe(archive: Archive) -> Benchmark:
    """Return the mean of all eligible names, rebalanced every session."""
    return Benchmark(UNIVERSE, archive.index)


def benchmark_of(archive: Archive, named: str) -> Benchmark:
    """Return an index from a file, one symbol as it is named in the last session, or the universe for an empty name.

    Raises
    ------
    FixInput
        The dataset has no such symbol, or the file is not an index.
    """
    if not named:
        return universe(archive)
    if named.endswith(FILES):
        return index_of(archive, Path(named))
    if named not in archive.whole.symbols:
        raise FixInput(
            f"the dataset holds no {named}",
            where="--benchmark",
            fix="Name a symbol of it or a file, or leave the option out for the universe",
        )
    return Benchmark(named, archive.whole.total_return[:, archive.whole.symbols.index(named)])


def index_of(archive: Archive, path: Path) -> Benchmark:
    """Read an index: each session's return is from the close of the very session before.

    Raises
    ------
    FixInput
        It cannot be read, lacks a column, names a session twice, or holds a close that is no price.
    """
    try:
        content = path.read_bytes()
        table = read_parquet(content) if path.suffix == ".parquet" else pa.csv.read_csv(io.BytesIO(content))
        session, close = _columns(table)
    except OSError as error:
        raise FixInput(f"the index cannot be read: {reason_of(error)}", where=str(path), fix=FIX) from None
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise FixInput(f"the index cannot be read ({reason_of(error)})", where=str(path), fix=FIX) from None
    if len(np.unique(session)) < len(session):
        raise FixInput("the index names a session twice", where=str(path), fix=FIX)
    if not bool(np.all(np.isfinite(close) & (close > 0.0))):
        raise FixInput("a close of the index is no price", where=str(path), fix=FIX)
    level = np.full(len(archive.whole.sessions), np.nan)
    _, place, row = np.intersect1d(archive.whole.sessions, session, return_indices=True)
    level[place] = close[row]
    returns = np.concatenate([[np.nan], level[1:] / level[:-1] - 1.0])
    return Benchmark(path.stem, returns, is_index=True)


def _columns(table: pa.Table) -> tuple[Any, Floats]:
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    session = pc.cast(table.column("session"), pa.date32())
    return days_of(session), floats(pc.cast(table.column("close"), pa.float64()))
