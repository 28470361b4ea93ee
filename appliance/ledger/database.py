"""The ledger's database file: opening, checking, migrating, and durable transactions.

Invariants
----------
1. A committed transaction survives a power cut: WAL with synchronous=FULL.
2. Nothing is written outside an explicit transaction; one that raises leaves no trace.
3. A ledger that fails its check is never opened; nor is one that a newer program has migrated, unless it says that
   this one can use it: then it is used as it is and never migrated backward.
4. A reader (`AccessMode.READ`) cannot write and never blocks the writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from enum import Enum
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import apsw

from appliance.ledger.rows import RowFactory
from appliance.ledger.values import Storable, Value, stored
from signals.errors import InvariantBroken, LedgerDamaged, LedgerUnusable, Locked
from signals.text.wording import reason_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA_VERSION = 6
BUSY_TIMEOUT_MS = 5_000
RESTORE = "Stop the device, keep the file, restore the last backup and reconcile; it will start HALTED"
MAKE_ROOM = "Free space or replace the disk, then reconcile"

# Statements that lead from schema n to n + 1, by n. Forward only. They add and never take away, so that the release
# before can go on with the ledger after a rollback.
MIGRATIONS: dict[int, str] = {
    1: """
ALTER TABLE nav ADD COLUMN late_dividends TEXT NOT NULL DEFAULT '0';
ALTER TABLE nav ADD COLUMN restatement TEXT NOT NULL DEFAULT '0';
""",
    2: "ALTER TABLE scores ADD COLUMN probability REAL;",
    3: """
CREATE TABLE events (                    -- what a detector found at the close of asof; recorded, never traded
    asof      TEXT NOT NULL,
    symbol    TEXT NOT NULL,             -- as it was named then
    kind      TEXT NOT NULL,
    side      INTEGER NOT NULL CHECK (side IN (-1, 1)),
    strength  REAL NOT NULL,
    pole_katr REAL,
    atr       REAL NOT NULL,             -- mean true range, share of the close
    third     TEXT NOT NULL,             -- of liquidity
    at        TEXT NOT NULL,
    PRIMARY KEY (asof, symbol)
) STRICT;
CREATE TRIGGER events_are_frozen BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'an event is frozen'); END;
CREATE TABLE outcomes (                  -- what became of its trade, in R; renewed until it is final
    asof           TEXT NOT NULL,
    symbol         TEXT NOT NULL,
    exit           TEXT NOT NULL,
    realised_r     REAL,
    runup_r        REAL,
    drawdown_r     REAL,
    mfe_atr        REAL,
    mae_atr        REAL,
    mfe_r          REAL,
    mae_r          REAL,
    bars_to_target INTEGER,
    bars_to_stop   INTEGER,
    is_tie         INTEGER NOT NULL CHECK (is_tie IN (0, 1)),
    known          TEXT,
    seen_to        TEXT,
    is_final       INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    at             TEXT NOT NULL,
    PRIMARY KEY (asof, symbol),
    FOREIGN KEY (asof, symbol) REFERENCES events (asof, symbol)
) STRICT;
CREATE TRIGGER outcomes_end_once BEFORE UPDATE ON outcomes WHEN OLD.is_final = 1
BEGIN SELECT RAISE(ABORT, 'an outcome ends once'); END;
""",
    4: """
CREATE TABLE draws (                     -- arm of target and size that an event drew in shadow; never traded
    asof       TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    arm        INTEGER NOT NULL CHECK (arm >= 0),
    target     REAL NOT NULL,
    size       REAL NOT NULL,
    propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    seed       TEXT NOT NULL,
    at         TEXT NOT NULL,
    exit       TEXT,                     -- of the arm's own trade, null while it is open
    realised_r REAL,
    known      TEXT,
    PRIMARY KEY (asof, symbol),
    FOREIGN KEY (asof, symbol) REFERENCES events (asof, symbol)
) STRICT;
CREATE TRIGGER draws_are_frozen BEFORE UPDATE OF asof, symbol, arm, target, size, propensity, seed, at ON draws
BEGIN SELECT RAISE(ABORT, 'a draw is frozen'); END;
CREATE TRIGGER draws_end_once BEFORE UPDATE ON draws WHEN OLD.exit IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a draw ends once'); END;
""",
    5: """
CREATE TABLE bank_rows (                 -- ended event of this device as a bundle's net sees it; asked next to the bundle's bank
    bundle     TEXT NOT NULL,            -- SHA-256 of its manifest
    asof       TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    quality    REAL,                     -- null, as the vector, where its bars have no picture
    vector     BLOB,                     -- little-endian float32
    realised_r REAL NOT NULL,
    known      TEXT NOT NULL,
    evening    TEXT NOT NULL,            -- asof of the evening that took it in
    at         TEXT NOT NULL,
    PRIMARY KEY (bundle, asof, symbol),
    FOREIGN KEY (asof, symbol) REFERENCES events (asof, symbol),
    CHECK (asof < known AND known < evening),
    CHECK ((quality IS NULL) = (vector IS NULL))
) STRICT;
CREATE TRIGGER bank_rows_are_frozen BEFORE UPDATE ON bank_rows BEGIN SELECT RAISE(ABORT, 'a row of the bank is frozen'); END;
""",
}
SCHEMA_FILE = 3  # of schema.sql: a new ledger takes the steps after it
# Oldest program, by its schema, that can use a ledger of SCHEMA_VERSION: the one before, or this one itself.
USABLE_SINCE = 5
RENEW_FACT = "ON CONFLICT (key) DO UPDATE SET value = excluded.value"

T = TypeVar("T")


class AccessMode(Enum):
    """How the ledger is opened."""

    WRITE = "rw"
    READ = "ro"


class Ledger:
    """An open ledger.

    Parameters
    ----------
    path : Path
        The database file; created with its folder in `AccessMode.WRITE`.
    vfs : str or None
        Name of a registered apsw VFS, for tests that drop, reorder or tear unsynced writes.

    Raises
    ------
    LedgerDamaged
        The file is no database, or fails quick_check.
    LedgerUnusable
        It is of a newer schema, absent in `AccessMode.READ`, or on a disk that is full or failing.
    Locked
        Another process kept the file to itself for longer than the busy time-out.
    """

    def __init__(self, path: Path, mode: AccessMode = AccessMode.WRITE, *, vfs: str | None = None) -> None:
        self.path, self.mode = path, mode
        if mode is AccessMode.WRITE:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        else:
            flags = apsw.SQLITE_OPEN_READONLY
        try:
            self._connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
        except (apsw.CantOpenError, apsw.IOError, apsw.FullError) as error:
            raise LedgerUnusable("the ledger cannot be opened", where=f"{path}: {reason_of(error)}", fix=RESTORE) from error
        try:
            with self._reading():
                self._prepare(vfs)
        except apsw.BusyError as error:
            self._connection.close()
            raise Locked("another process keeps the ledger to itself", where=str(path), fix="Try again") from error
        except (apsw.CantOpenError, apsw.IOError, apsw.FullError, apsw.ReadOnlyError) as error:
            self._connection.close()
            raise LedgerUnusable("the ledger cannot be opened", where=f"{path}: {reason_of(error)}", fix=MAKE_ROOM) from error
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, vfs: str | None) -> None:
        self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        self._connection.convert_binding = lambda cursor, number, value: stored(value)
        if vfs is not None:
            # a VFS written in Python has no shared memory: WAL then needs the file for itself
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        if self.mode is AccessMode.WRITE:
            mode = self.value("PRAGMA journal_mode=WAL")
            if mode != "wal":
                raise LedgerUnusable(
                    f"the ledger cannot be kept in WAL mode, only in {mode!r}",
                    where=str(self.path),
                    fix="Put the state folder on a local disk",
                )
            self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        verdict = str(self.value("PRAGMA quick_check(1)"))
        if verdict != "ok":
            raise LedgerDamaged("the ledger fails its check", where=f"{self.path}: {verdict}", fix=RESTORE)
        self._migrate()

    def _migrate(self) -> None:
        found = self.schema_version()
        if found > SCHEMA_VERSION:
            if self._usable_since(found) <= SCHEMA_VERSION:
                return
            raise LedgerUnusable(
                f"the ledger is of schema {found}, this program knows {SCHEMA_VERSION}",
                where=str(self.path),
                fix="Install the newer release again; ledgers are never migrated backward",
            )
        if self.mode is AccessMode.READ:
            if found < SCHEMA_VERSION:
                raise LedgerUnusable(
                    f"the ledger is of schema {found}, a reader needs {SCHEMA_VERSION}",
                    where=str(self.path),
                    fix="Start the device once: the writer migrates it",
                )
            return
        if found == SCHEMA_VERSION:
            return
        with self.transaction():
            found = self.schema_version()  # another process may have migrated while we waited for the lock
            if found == 0:
                self._connection.execute(resources.files(__package__).joinpath("schema.sql").read_text("utf-8"))
                found = SCHEMA_FILE
            for version in range(found, SCHEMA_VERSION):
                self._connection.execute(MIGRATIONS[version])
            for key, value in (("schema_version", SCHEMA_VERSION), ("usable_since", USABLE_SINCE)):
                self.insert("meta", {"key": key, "value": str(value)}, conflict=RENEW_FACT)

    def _usable_since(self, schema: int) -> int:
        """Oldest program's schema that the last migration of this ledger vouches for; the ledger's own where nobody did."""
        found = self.value("SELECT value FROM meta WHERE key = 'usable_since'")
        return int(found) if isinstance(found, str) and found.isdigit() else schema

    def schema_version(self) -> int:
        """Schema of the file; 0 for an empty one."""
        if not self.value("SELECT count(*) FROM sqlite_master"):
            return 0
        if not self.value("SELECT count(*) FROM sqlite_master WHERE name = 'meta'"):
            raise LedgerUnusable("this database is not a ledger", where=str(self.path), fix="Name another file")
        version = self.value("SELECT value FROM meta WHERE key = 'schema_version'")
        if not isinstance(version, str) or not version.isdigit():
            raise LedgerUnusable("the ledger does not name its schema", where=str(self.path), fix=RESTORE)
        return int(version)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is on disk when the outermost block ends, or nothing is.

        An inner block is part of the outer one; if it raises, what it wrote is undone even when the outer goes on.

        Raises
        ------
        Locked
            Another process kept the write lock for longer than the busy time-out.
        LedgerUnusable
            The disk is full, read-only or failing; nothing of the block was written.
        """
        if self.mode is AccessMode.READ:
            raise InvariantBroken("a reader of the ledger may not write", where=str(self.path))
        if self._connection.in_transaction:
            with self._connection:
                yield
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself (disk full, I/O error)
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except apsw.BusyError as error:
            raise Locked("another process is writing the ledger", where=str(self.path), fix="Try again") from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise _corrupt(self.path, error) from error
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
            raise LedgerUnusable("the ledger cannot be written", where=f"{self.path}: {reason_of(error)}", fix=MAKE_ROOM) from error

    def execute(self, statement: str, values: Sequence[Storable] = ()) -> int:
        """Run one writing statement inside a transaction; return the number of rows it changed."""
        if not self._connection.in_transaction:
            raise InvariantBroken("the ledger is written inside a transaction only")
        self._connection.execute(statement, tuple(values))
        return int(self._connection.changes())

    def insert(self, table: str, columns: Mapping[str, Storable], *, replace: bool = False, conflict: str = "") -> int:
        """Add one row inside a transaction, in place of one with its key where `replace`; return the number of rows changed."""
        return self.execute(f"{_inserting(table, columns, replace=replace)} {conflict}", tuple(columns.values()))

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Storable]]) -> None:
        """Add rows of the same columns, inside a transaction."""
        if not self._connection.in_transaction:
            raise InvariantBroken("the ledger is written inside a transaction only")
        if rows:
            self._connection.executemany(_inserting(table, rows[0]), [tuple(row.values()) for row in rows])

    def read(self, kind: type[T], query: str, values: Sequence[Storable] = ()) -> list[T]:
        """Answer a query with one `kind` per row (`appliance/ledger/rows.py`): a dataclass, a tuple, or a plain type.

        Raises
        ------
        LedgerUnusable
            A column does not hold what its field's type says.
        """
        with self._reading():
            cursor = self._connection.cursor()
            cursor.row_trace = RowFactory(kind)
            return list(cursor.execute(query, tuple(values)))

    def first(self, kind: type[T], query: str, values: Sequence[Storable] = ()) -> T | None:
        """Answer the query's first row, or None."""
        found = self.read(kind, query, values)
        return found[0] if found else None

    def value(self, query: str, values: Sequence[Storable] = ()) -> Value:
        """Answer the first column of the query's first row, or None."""
        with self._reading():
            for row in self._connection.execute(query, tuple(values)):
                answer: Value = row[0]
                return answer
        return None

    def read_meta(self, key: str) -> str | None:
        """Return a fact about the ledger itself, or a cursor of what was read; None where there is none."""
        return self.first(str, "SELECT value FROM meta WHERE key = ?", (key,))

    def write_meta(self, key: str, value: str) -> None:
        """Record the fact, replacing an earlier value."""
        with self.transaction():
            self.insert("meta", {"key": key, "value": value}, conflict=RENEW_FACT)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise _corrupt(self.path, error) from error

    def integrity(self) -> str:
        """Answer `ok`, or the first fault that the thorough check finds."""
        return str(self.value("PRAGMA integrity_check(1)"))

    def backup_to(self, path: Path) -> None:
        """Copy the whole ledger, as of now, into a new database at `path` while others go on reading and writing.

        The copy is not synced: whoever keeps it makes it durable.
        """
        target = apsw.Connection(str(path))
        try:
            target.execute("PRAGMA synchronous=OFF")
            with target.backup("main", self._connection, "main") as copy:
                copy.step()
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            target.close()

    def close(self) -> None:
        """Close the file; the ledger cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _inserting(table: str, columns: Iterable[str], *, replace: bool = False) -> str:
    names = tuple(columns)
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _corrupt(path: Path, error: apsw.Error) -> LedgerDamaged:
    return LedgerDamaged("the ledger is corrupt", where=f"{path}: {reason_of(error)}", fix=RESTORE)


def columns_of(row: DataclassInstance) -> dict[str, Storable]:
    """The fields of a dataclass by name."""
    return {name: getattr(row, name) for name in _names(type(row))}


@cache
def _names(kind: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
