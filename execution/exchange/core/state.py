"""Durable exchange state in one SQLite file with a single writer, committed before each answer.

A restart, also after SIGKILL, finds every order that was acknowledged: the transaction of a request commits first, the
answer leaves second.

Frozen values are stored as exact JSON.
"""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import apsw

from execution.exchange.core.book import AccountBook, AccountMark, AccountSettings, ActivityRow, Changes, ExchangePosition, LogRow, OwnFlow
from execution.exchange.orders.order import Order
from signals.errors import BadConfig, BadDataset, Locked
from signals.text.wording import reason_of

T = TypeVar("T")


def encode(value: object) -> str:
    """Return the JSON text of a dataclass of plain fields."""
    row = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    return json.dumps(row, default=_plain, separators=(",", ":"))


def decode(text: str, model: type[T]) -> T:
    """Read back what `encode` wrote; a field that an earlier release did not write has its default."""
    row = json.loads(text)
    return model(**{name: None if row[name] is None else read(row[name]) for name, read in _readers(model).items() if name in row})  # type: ignore[arg-type]


def _plain(value: object) -> str:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


@cache
def _readers(model: type) -> dict[str, Callable[[Any], Any]]:
    return {name: _reader(hint) for name, hint in get_type_hints(model).items()}


def _reader(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is not None:
        return lambda value: value
    if issubclass(hint, datetime):
        return datetime.fromisoformat
    if issubclass(hint, date):
        return date.fromisoformat
    if issubclass(hint, Decimal | Enum):
        return hint  # type: ignore[no-any-return]
    return lambda value: value


SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS holdings (symbol TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS entries (position INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS marks (day TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS requests (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


def _sorted(value: frozenset[str] | frozenset[date]) -> str:
    return json.dumps(sorted(map(str, value)))


def _flows(value: dict[str, OwnFlow]) -> str:
    return json.dumps({symbol: encode(flow) for symbol, flow in value.items()})


FACTS: dict[str, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    "cash": (str, Decimal),
    "opened_with": (str, Decimal),
    "seed": (str, int),
    "counter": (str, int),
    "requests": (str, int),
    "now": (datetime.isoformat, datetime.fromisoformat),
    "opened_at": (datetime.isoformat, datetime.fromisoformat),
    "last_stamp": (datetime.isoformat, datetime.fromisoformat),
    "settings": (encode, lambda text: decode(text, AccountSettings)),
    "halted": (_sorted, lambda text: frozenset(json.loads(text))),
    "hard_to_borrow": (_sorted, lambda text: frozenset(json.loads(text))),
    "closures": (_sorted, lambda text: frozenset(map(date.fromisoformat, json.loads(text)))),
    "flows": (_flows, lambda text: {symbol: decode(row, OwnFlow) for symbol, row in json.loads(text).items()}),
}


DATABASE = "exchange.db"


def stored_instant(folder: Path) -> datetime | None:
    """Return the instant up to which everything has happened in a state; None when there is none yet."""
    try:
        if not (folder / DATABASE).is_file():
            return None
    except OSError as error:
        raise _unusable(str(folder), error) from None
    store = ExchangeState(folder, power_safe=False)
    try:
        return store.instant()
    finally:
        store.close()


class ExchangeState:
    """One state folder, held exclusively while it is open; None is a state in memory.

    Raises
    ------
    Locked
        Another exchange holds the folder.
    BadDataset
        The file is not a state of this exchange, or of a newer schema.
    BadConfig
        The folder cannot be made, read or written.
    """

    def __init__(self, folder: Path | None, *, power_safe: bool) -> None:
        self._lock = -1 if folder is None else _hold(folder)
        path = ":memory:" if folder is None else str(folder / DATABASE)
        try:
            self._db = apsw.Connection(path)
            self._db.execute("PRAGMA journal_mode=WAL").fetchall()
            self._db.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
            version = self._db.execute("PRAGMA user_version").get
            if version > SCHEMA_VERSION:
                raise BadDataset("the exchange's state is of a newer version", where=path, fix="Update the program")
            self._db.execute(SCHEMA + f"PRAGMA user_version={SCHEMA_VERSION}")
        except (apsw.NotADBError, apsw.CorruptError):
            self._release()
            raise BadDataset("not a state of this exchange", where=path, fix="Remove it to start again") from None
        except apsw.Error as error:
            self._release()
            raise _unusable(path, error) from None
        except BadDataset:
            self._release()
            raise

    def instant(self) -> datetime | None:
        """Return the stored instant; None when nothing has been stored yet."""
        found = self._db.execute("SELECT value FROM facts WHERE name = 'now'").get
        return None if found is None else datetime.fromisoformat(found)

    def load(self, book: AccountBook) -> bool:
        """Fill `book` from disk; False when nothing has been stored yet."""
        facts: dict[str, str] = dict(self._db.execute("SELECT name, value FROM facts"))
        if not facts:
            return False
        for name, text in facts.items():
            setattr(book, name, FACTS[name][1](text))
        for (body,) in self._db.execute("SELECT body FROM orders ORDER BY seq"):
            book.put(decode(body, Order))
        for (body,) in self._db.execute("SELECT body FROM holdings ORDER BY symbol"):
            book.hold(decode(body, ExchangePosition))
        book.entries = [decode(body, ActivityRow) for (body,) in self._db.execute("SELECT body FROM entries ORDER BY position")]
        for (body,) in self._db.execute("SELECT body FROM marks ORDER BY day"):
            book.mark(decode(body, AccountMark))
        book.log.extend(decode(body, LogRow) for (body,) in self._db.execute("SELECT body FROM requests ORDER BY seq"))
        book.changes = Changes()
        return True

    def commit(self, book: AccountBook) -> None:
        """Make everything that changed durable, as one transaction."""
        changes = book.changes
        if not changes:
            return
        with self._db:
            self._put_orders(book, changes)
            for symbol in changes.positions:
                if symbol in book.holdings:
                    self._put("holdings", symbol, encode(book.holdings[symbol]))
                else:
                    self._db.execute("DELETE FROM holdings WHERE symbol = ?", (symbol,))
            first = len(book.entries) - changes.entries
            for position, entry in enumerate(book.entries[first:], start=first):
                self._put("entries", position, encode(entry))
            for day in changes.marks:
                self._put("marks", day.isoformat(), encode(book.marks[day]))
            for row in changes.log:
                self._put("requests", row.seq, encode(row))
            for name in changes.facts:
                value = getattr(book, name)
                if value is not None:
                    self._put("facts", name, FACTS[name][0](value))
        book.changes = Changes()

    def _put(self, table: str, key: str | int, body: str) -> None:
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key, body))

    def _put_orders(self, book: AccountBook, changes: Changes) -> None:
        rows = [(id_, book.orders[id_].seq, encode(book.orders[id_])) for id_ in changes.orders]
        self._db.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Release the folder."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _hold(folder: Path) -> int:
    """Make the folder when it is absent, and return its lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "exchange.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(str(folder), error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Locked("another exchange holds this state", where=str(folder), fix="Stop it first") from None
    return lock


def _unusable(path: str, error: Exception) -> BadConfig:
    said = reason_of(error)
    return BadConfig(f"the state cannot be kept here: {said}", where=path, fix="Name a folder that you can write")
