"""The market store: a DuckDB copy of the curated bars, which can be rebuilt at any time.

Entry points: `MarketStore.ingest` (the pull job), `MarketStore.bars`, `MarketStore.closes`, `MarketStore.audit`, `MarketStore.actions`.

Invariants
----------
1. Nothing after the session `through` given to `ingest` is ever stored: the store cannot show what was not public.
2. Ingesting is one transaction and idempotent: sessions whose rows equal the stored ones are not written again, the
   others are deleted and inserted in date order. There is no key.
3. A panel read here equals, to the bit, the one that `signals.market.dataset.load_bars` gives the trainer.
4. One process at a time has the file open, for the length of a job; nobody else reads it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from appliance.market import publication_differences
from appliance.market.bar_columns import COLUMNS, columns_in
from appliance.market.rows import action_of, action_row, audit_body, audit_of
from appliance.market.snapshot import CompletedSession, DataSnapshot
from signals.errors import BadDataset, DataNotUsable, Locked
from signals.market.actions import Action
from signals.market.bar_rows import FIELDS, PanelRows
from signals.market.bars import CLASSIFIED, Bars, Days, days_array
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import Calendar, SessionAudit
from signals.text.wording import reason_of

MEMORY_LIMIT = "96MB"
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": MEMORY_LIMIT,
    "autoinstall_known_extensions": False,
}

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS bars (session DATE, symbol VARCHAR, security VARCHAR, open DOUBLE, high DOUBLE, low DOUBLE,
    close DOUBLE, volume DOUBLE, total_return DOUBLE, overnight_return DOUBLE, eligible BOOLEAN, kind VARCHAR,
    sector VARCHAR, gap_return DOUBLE, gap_overnight DOUBLE, undecided BOOLEAN DEFAULT false, sector_code DOUBLE,
    shares DOUBLE);
ALTER TABLE bars ADD COLUMN IF NOT EXISTS gap_return DOUBLE;
ALTER TABLE bars ADD COLUMN IF NOT EXISTS gap_overnight DOUBLE;
ALTER TABLE bars ADD COLUMN IF NOT EXISTS undecided BOOLEAN DEFAULT false;
ALTER TABLE bars ADD COLUMN IF NOT EXISTS sector_code DOUBLE;
ALTER TABLE bars ADD COLUMN IF NOT EXISTS shares DOUBLE;
CREATE TABLE IF NOT EXISTS audits (session DATE, body VARCHAR);
CREATE TABLE IF NOT EXISTS actions (kind VARCHAR, symbol VARCHAR, effective DATE, known_at DATE, ratio VARCHAR,
    cash VARCHAR, new_symbol VARCHAR, inferred BOOLEAN);
CREATE TABLE IF NOT EXISTS spreads (session DATE, symbol VARCHAR, spread_bps DOUBLE);
CREATE TABLE IF NOT EXISTS files (path VARCHAR, sha256 VARCHAR, through DATE);
CREATE TABLE IF NOT EXISTS snapshot (id VARCHAR, name VARCHAR, version INTEGER, basis VARCHAR, survivorship VARCHAR,
    through DATE, pulled_at VARCHAR);
"""
    + publication_differences.TABLES
)

# {columns}: as `columns_in` the file at hand.
INCOMING = "CREATE OR REPLACE TEMP TABLE incoming AS SELECT {columns} FROM read_parquet(?) WHERE session::DATE <= ?"
APPEND = """
INSERT INTO bars ({names}) SELECT {columns} FROM read_parquet(?)
WHERE session::DATE > ? AND session::DATE <= ? ORDER BY session, symbol
"""
SPREADS = "INSERT INTO spreads SELECT session::DATE, symbol, spread_bps FROM read_parquet(?) WHERE session::DATE <= ?"
# A session differs when its number of rows or the combined hash of its rows does; one side may lack it altogether.
CHANGED = f"""
CREATE OR REPLACE TEMP TABLE changed AS
WITH fresh AS (SELECT session, count(*) AS n, bit_xor(hash({COLUMNS})) AS h FROM incoming GROUP BY session),
     held AS (SELECT session, count(*) AS n, bit_xor(hash({COLUMNS})) AS h FROM bars
              WHERE session BETWEEN ? AND ? GROUP BY session)
SELECT coalesce(fresh.session, held.session) AS session FROM fresh FULL JOIN held USING (session)
WHERE fresh.n IS DISTINCT FROM held.n OR fresh.h IS DISTINCT FROM held.h
"""

LOST = """
SELECT session, coalesce(held, 0), usable
FROM (SELECT session, CAST(json_extract_string(body, '$.usable') AS BIGINT) AS usable FROM audits WHERE session BETWEEN ? AND ?)
LEFT JOIN (SELECT session, count(*) AS held FROM bars WHERE session BETWEEN ? AND ? GROUP BY session) USING (session)
WHERE coalesce(held, 0) <> usable ORDER BY session LIMIT 1
"""


@dataclass(frozen=True)
class BarsFile:
    """One verified bars file on this disk, ready to be read."""

    name: str
    sha256: str
    path: Path
    first: date
    last: date


class MarketStore:
    """The market store of one device."""

    def __init__(self, path: Path, calendar: Calendar) -> None:
        self._path, self._calendar = path, calendar
        self._connection: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return the open file, for `appliance.market.vendor_sessions` and `appliance.market.publication_differences`."""
        return self._open()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Do all of the block or none of it."""
        connection = self._open()
        connection.execute("BEGIN")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def set_aside_damaged(self) -> bool:
        """Read the whole store and, where it cannot be read, move the file aside; return whether it was.

        DuckDB checks each block as it reads it. The next pull fills a new store from what is published.
        """
        if not self._path.exists():
            return False
        try:
            self._rows(f"SELECT bit_xor(hash({COLUMNS})) FROM bars")
            for table in ("snapshot", "files", "audits", "actions", "spreads", "completed", "differences"):
                self._rows(f"SELECT * FROM {table}")
            self._require_every_bar(date.min, date.max)
        except DataNotUsable:
            self.close()
            self._path.replace(self._path.with_suffix(".damaged"))
            self._path.with_name(f"{self._path.name}.wal").unlink(missing_ok=True)
            return True
        return False

    # -- writing ------------------------------------------------------------------------------------------------

    def pending(self, manifest: Manifest, through: date) -> tuple[str, ...]:
        """Paths of the files of bars and quoted spreads of `manifest` that hold something new up to `through`."""
        known = {(name, digest): last for name, digest, last in self._rows("SELECT path, sha256, through FROM files")}
        found = []
        for record in manifest.files:
            is_wanted = record.role in ("bars", "spreads")
            if not is_wanted or record.first is None or record.last is None or record.first > through:
                continue
            if known.get((record.path, record.sha256), date.min) < min(record.last, through):
                found.append(record.path)
        return tuple(found)

    def ingest(self, manifest: Manifest, delivered: Sequence[BarsFile], actions: Iterable[Action], through: date, at: datetime) -> int:
        """Take over what `manifest` vouches for up to and including `through`; return the sessions that changed.

        Raises
        ------
        BadDataset
            A verified file lacks a column or is no Parquet; nothing was changed.
        """
        quotes = {record.path for record in manifest.of_role(FileRole.SPREADS)}
        try:
            with self.transaction() as connection:
                is_other = manifest.snapshot_id != self._manifest_id(connection)
                if is_other:
                    publication_differences.set_aside(connection)
                if not quotes or any(file.name in quotes for file in delivered):
                    connection.execute("DELETE FROM spreads")
                changed = sum(self._take(connection, f, through, is_quotes=f.name in quotes) for f in delivered)
                if is_other:
                    publication_differences.record_differences(connection, COLUMNS, through)
                self._describe(connection, manifest, actions, through, at)
        except (duckdb.BinderException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise BadDataset(
                "a vouched-for file is not the Parquet it should be",
                where=reason_of(error).splitlines()[0],
                fix="Publish the dataset again",
            ) from None
        return changed

    @staticmethod
    def _manifest_id(connection: duckdb.DuckDBPyConnection) -> str:
        row = connection.execute("SELECT id FROM snapshot").fetchone()
        return str(row[0]) if row else ""

    @staticmethod
    def _take(connection: duckdb.DuckDBPyConnection, file: BarsFile, through: date, *, is_quotes: bool) -> int:
        until = min(file.last, through)
        if is_quotes:  # a small table, read again each time
            connection.execute(SPREADS, [str(file.path), until])
            connection.execute("DELETE FROM files WHERE path = ?", [file.name])
            connection.execute("INSERT INTO files VALUES (?, ?, ?)", [file.name, file.sha256, until])
            return 0
        known = connection.execute("SELECT max(through) FROM files WHERE path = ? AND sha256 = ?", [file.name, file.sha256]).fetchone()
        since = known[0] if known else None
        if since is not None:  # the very same file, read up to a later session: the rest of it cannot have changed
            append = APPEND.format(names=COLUMNS, columns=columns_in(connection, file.path))
            connection.execute(append, [str(file.path), since, until])
            connection.execute("UPDATE files SET through = ? WHERE path = ?", [until, file.name])
            added = connection.execute("SELECT count(DISTINCT session) FROM bars WHERE session > ?", [since]).fetchone()
            return int(added[0]) if added else 0
        connection.execute(INCOMING.format(columns=columns_in(connection, file.path)), [str(file.path), until])
        connection.execute(CHANGED, [file.first, until])
        connection.execute("DELETE FROM bars WHERE session IN (SELECT session FROM changed)")
        connection.execute(
            f"INSERT INTO bars ({COLUMNS}) SELECT {COLUMNS} FROM incoming SEMI JOIN changed USING (session) ORDER BY session, symbol"
        )
        connection.execute("DELETE FROM files WHERE path = ? OR sha256 = ?", [file.name, file.sha256])
        connection.execute("INSERT INTO files VALUES (?, ?, ?)", [file.name, file.sha256, until])
        row = connection.execute("SELECT count(*) FROM changed").fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _describe(
        connection: duckdb.DuckDBPyConnection, manifest: Manifest, actions: Iterable[Action], through: date, at: datetime
    ) -> None:
        audits = [audit for audit in manifest.audits if audit.session <= through]
        known = [action for action in actions if action.known_at <= through]
        before = connection.execute("SELECT through FROM snapshot WHERE id = ?", [manifest.snapshot_id]).fetchone()
        if before is not None:  # the same manifest: earlier sessions stay as they are
            audits = [audit for audit in audits if audit.session > before[0]]
        else:
            connection.execute("DELETE FROM audits")
        if audits:
            connection.execute(
                "INSERT INTO audits SELECT unnest(?::DATE[]), unnest(?::VARCHAR[])",
                [[audit.session for audit in audits], [audit_body(audit) for audit in audits]],
            )
        connection.execute("DELETE FROM bars WHERE session NOT IN (SELECT session FROM audits)")
        listed = [record.path for record in manifest.files]  # a file that is listed again later is read again then
        connection.execute("DELETE FROM files WHERE NOT list_contains(?::VARCHAR[], path)", [listed])
        connection.execute("DELETE FROM actions")
        columns = list(zip(*(action_row(action) for action in known), strict=True)) or [()] * 8
        connection.execute(
            "INSERT INTO actions SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::DATE[]),"
            " unnest(?::DATE[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
            " unnest(?::BOOLEAN[])",
            [list(column) for column in columns],
        )
        connection.execute("DELETE FROM snapshot")
        connection.execute(
            "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?)",
            [manifest.snapshot_id, manifest.name, manifest.version, str(manifest.basis), manifest.universe_state, through, at.isoformat()],
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def dataset(self) -> DataSnapshot | None:
        """Return what was taken over last, without the sessions completed after it, or None before the first pull."""
        rows = self._rows("SELECT id, name, version, basis, survivorship, through FROM snapshot")
        if not rows:
            return None
        identity, name, version, basis, survivorship, through = rows[0]
        return DataSnapshot(identity, name, version, PriceBasis(basis), survivorship, through)

    def snapshot(self, asof: date = date.max) -> DataSnapshot | None:
        """Return what the store holds up to `asof`, or None before the first pull.

        Raises
        ------
        DataNotUsable
            A session after the published ones has no vendor record.
        """
        dataset = self.dataset()
        return None if dataset is None else replace(dataset, completed=self._completed(dataset.through, asof))

    def _completed(self, through: date, asof: date) -> tuple[CompletedSession, ...]:
        rows = self._rows(
            "SELECT session, sha256 FROM audits LEFT JOIN completed USING (session) WHERE session > ? AND session <= ? ORDER BY session",
            [through, asof],
        )
        bare = [str(session) for session, digest in rows if digest is None]
        if bare:
            raise DataNotUsable(
                f"nothing says what the bars of {', '.join(bare)} were made of",
                where=str(self._path),
                fix="The next session's pull asks for them again; nothing is traded on them",
            )
        return tuple(CompletedSession(session, digest) for session, digest in rows)

    def newest(self, asof: date) -> date | None:
        """Return the newest session with a bar, at most `asof`; None in an empty store."""
        newest: date | None = self._rows("SELECT max(session) FROM bars WHERE session <= ?", [asof])[0][0]
        return newest

    def audit(self, asof: date) -> SessionAudit | None:
        """Return the audit of `asof`, or None where the store has none."""
        rows = self._rows("SELECT body FROM audits WHERE session = ?", [asof])
        return audit_of(rows[0][0]) if rows else None

    def bars(self, asof: date, sessions: int) -> Bars:
        """Return the panel of the `sessions` sessions that end at `asof` (fewer where the data begin later).

        Raises
        ------
        DataNotUsable
            The store has no bar in that range, or not as many of a session as its audit counted.
        """
        last = self._calendar.index(asof)
        begins = self._rows("SELECT min(session) FROM bars")[0][0]
        if begins is None or begins > asof:
            raise DataNotUsable(f"the market store holds no bars of {asof}", fix="Run `appliance pull`")
        first = max(last - sessions + 1, self._calendar.index(begins))
        days = days_array(self._calendar.days[first : last + 1])
        self._require_every_bar(self._calendar.days[max(0, last - sessions + 1)], asof)
        dataset = self.dataset()
        with self._readable():
            return self._panel(days, has_dollars=dataset is None or dataset.basis.has_dollars)

    def _require_every_bar(self, first: date, last: date) -> None:
        """Without some of its bars a look-back is shorter than it says, and a feature of it is another one."""
        found = self._rows(LOST, [first, last, first, last])
        if found:
            session, held, counted = found[0]
            raise DataNotUsable(
                f"the market store holds {held} bars of {session} of the {counted} that were audited",
                where=str(self._path),
                fix="Run `appliance pull`: it is a cache and will be rebuilt from what is published",
            )

    def closes(self, asof: date) -> dict[str, Decimal]:
        """Close of every symbol that has a bar at `asof`, under the name it bore then, exactly as stored (USD)."""
        rows = self._rows("SELECT symbol, close FROM bars WHERE session = ? ORDER BY symbol", [asof])
        return {symbol: Decimal(repr(close)) for symbol, close in rows}

    def dollar_volumes(self, asof: date, sessions: int) -> dict[str, Decimal]:
        """Mean of close x volume over the trailing sessions of every symbol that has a bar at `asof` (USD)."""
        first = self._calendar.days[max(0, self._calendar.index(asof) - sessions + 1)]
        rows = self._rows(
            "SELECT newest.symbol, avg(bars.close * bars.volume) FROM bars JOIN"
            " (SELECT security, symbol FROM bars WHERE session = ?) AS newest USING (security)"
            " WHERE bars.session BETWEEN ? AND ? GROUP BY newest.symbol ORDER BY newest.symbol",
            [asof, first, asof],
        )
        return {symbol: Decimal(repr(volume)) for symbol, volume in rows}

    def spreads(self, asof: date, sessions: int) -> dict[str, Decimal]:
        """Lower median of the trailing sessions' quoted spreads (basis points) of every symbol with a bar at `asof`.

        Symbols that were not quoted in those sessions are absent.
        """
        first = self._calendar.days[max(0, self._calendar.index(asof) - sessions + 1)]
        rows = self._rows(
            "SELECT newest.symbol, quantile_disc(spread_bps, 0.5) FROM spreads JOIN bars USING (session, symbol) JOIN"
            " (SELECT security, symbol FROM bars WHERE session = ?) AS newest USING (security)"
            " WHERE spreads.session BETWEEN ? AND ? GROUP BY newest.symbol ORDER BY newest.symbol",
            [asof, first, asof],
        )
        return {symbol: Decimal(repr(spread)) for symbol, spread in rows}

    def actions(self, effective: date, asof: date) -> tuple[Action, ...]:
        """Actions effective on a session that were known at `asof`, sorted by symbol and kind."""
        return self._actions("effective = ? AND known_at <= ? ORDER BY symbol, kind", effective, asof)

    def dividends(self, first: date) -> dict[date, tuple[Action, ...]]:
        """Every dividend that is known now by its ex-date, from `first` on; sorted by symbol."""
        found: dict[date, list[Action]] = {}
        for action in self._actions("kind = 'dividend' AND effective >= ? ORDER BY effective, symbol", first):
            found.setdefault(action.effective, []).append(action)
        return {day: tuple(actions) for day, actions in found.items()}

    def ends_and_renamings(self, first: date, asof: date) -> tuple[Action, ...]:
        """Delistings and changes of symbol effective from `first` to `asof`, in order."""
        where = "kind IN ('delisting', 'symbol_change') AND effective BETWEEN ? AND ? ORDER BY effective, symbol"
        return self._actions(where, first, asof)

    def _actions(self, where: str, *values: date) -> tuple[Action, ...]:
        query = f"SELECT kind, symbol, effective, known_at, ratio, cash, new_symbol, inferred FROM actions WHERE {where}"
        return tuple(action_of(row) for row in self._rows(query, list(values)))

    def _panel(self, days: Days, *, has_dollars: bool) -> Bars:
        connection = self._open()
        bounds = [days[0].astype(object), days[-1].astype(object)]
        owners = connection.execute(
            "SELECT security, arg_max(symbol, session), max(session), arg_max(sector, session) FROM bars"
            " WHERE session BETWEEN ? AND ? GROUP BY security ORDER BY security",
            bounds,
        ).fetchall()
        connection.execute("CREATE OR REPLACE TEMP TABLE places (security VARCHAR, place INTEGER)")
        connection.execute(
            "INSERT INTO places SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[])", [[row[0] for row in owners], list(range(len(owners)))]
        )
        counts = connection.execute(f"SELECT {', '.join(f'count({name})' for name in CLASSIFIED)} FROM bars").fetchall()[0]
        read = (*FIELDS, *(name for name, count in zip(CLASSIFIED, counts, strict=True) if count))
        # RED sessions stay as rows without bars, so that look-backs count sessions rightly.
        rows: dict[str, np.ndarray[Any, Any]] = connection.execute(  # type: ignore[assignment]  # numpy, not pandas
            f"SELECT session, place, eligible, undecided, {', '.join(read)} FROM bars JOIN places USING (security)"
            " WHERE session BETWEEN ? AND ? AND session NOT IN"
            " (SELECT session FROM audits WHERE json_extract_string(body, '$.status') = 'RED')",
            bounds,
        ).fetchnumpy()
        return PanelRows(
            days=days,
            symbols=[symbol for _, symbol, _, _ in owners],
            sectors=[sector for _, _, _, sector in owners],
            newest=np.searchsorted(days, days_array([last for _, _, last, _ in owners])),
            session=np.searchsorted(days, rows["session"].astype("datetime64[D]")),
            security=rows["place"],
            eligible=rows["eligible"],
            undecided=rows["undecided"],
            fields={field: np.ma.filled(rows[field].astype(np.float64), np.nan) for field in read},
        ).dense(has_dollars=has_dollars)

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._readable():
            return self._open().execute(query, list(values)).fetchall()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except duckdb.ProgrammingError:
            raise
        except duckdb.Error as error:  # a block that is not what was written has no class of its own
            raise _unreadable(self._path, error) from None

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = duckdb.connect(str(self._path), config=SETTINGS)
            except duckdb.Error as error:
                if "set lock on" in str(error):  # "block" is part of other faults
                    raise Locked("another process has the market store open", where=str(self._path)) from None
                raise _unreadable(self._path, error) from None
            self._connection.execute(SCHEMA)
        return self._connection


def _unreadable(path: Path, error: Exception) -> DataNotUsable:
    return DataNotUsable(
        "the market store cannot be read",
        where=f"{path}: {reason_of(error).splitlines()[0]}",
        fix="Run `appliance pull`: it is a cache and will be rebuilt from what is published",
    )
