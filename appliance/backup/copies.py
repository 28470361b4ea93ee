"""Backup copies of the ledger: taken while it is in use, verified by reading them back, and thinned out by retention.

A backup is a folder of the vault, `ledger/<UTC stamp>/`, with the compressed copy and its record. Entry points: `take`,
`retained` (pure: what retention keeps), `listed`, `fetch`.

Invariants
----------
1. The record is written last: a copy without one is no backup, whatever cut its making off.
2. What counts passed SQLite's thorough check, was read back from the vault, and unpacks to the very bytes that passed.
3. Nothing is removed before the newest backup has been read back; the record goes first.
4. Every copy has a name of its own: none is written over.
5. A ledger that holds less than an earlier backup has lost its past: its copies retire nothing, and nobody gets them
   for the newest without asking for them by name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from appliance.backup.vault import Vault
from appliance.config import BackupConfig
from appliance.ledger import Ledger
from signals.errors import BadBackup
from signals.files import read_pieces, sha256_of_file, write_pieces
from signals.text.wording import reason_of

PREFIX, COPY, RECORD = "ledger", "ledger.sqlite.gz", "backup.json"
STAMP = "%Y%m%dT%H%M%SZ"
GZIP = zlib.MAX_WBITS | 16  # a gzip header, its time zero: the same ledger gives the same bytes
FOR_EVER = ("plans", "intents", "intent_events", "fills", "activities")  # their rows are never deleted, by trigger
PIECE = 2**20
TAKE_ANOTHER = "Restore an earlier one: `appliance backups` lists them"


@dataclass(frozen=True)
class Backup:
    """The record of one backup.

    Attributes
    ----------
    name : str
        Its folder in the vault: the UTC instant at which it was begun.
    session : str
        Newest session with a job; empty for a ledger without one.
    size, sha256 : int, str
        Of the compressed copy.
    ledger_sha256 : str
        Of the copy unpacked.
    rows : mapping of str to int
        Rows of each table.
    """

    name: str
    at: datetime
    session: str
    size: int
    sha256: str
    ledger_sha256: str
    rows: Mapping[str, int]
    schema: int
    code_version: str

    @property
    def copy(self) -> str:
        """The object that holds the ledger."""
        return f"{PREFIX}/{self.name}/{COPY}"

    def to_bytes(self) -> bytes:
        """As the record's JSON."""
        row = vars(self) | {"at": self.at.isoformat(), "rows": dict(self.rows)}
        return (json.dumps(row, sort_keys=True, indent=1) + "\n").encode()

    @staticmethod
    def from_bytes(content: bytes, where: str) -> Backup:
        """Read a record; raise `BadBackup` for anything that is none."""
        try:
            row = json.loads(content)
            return Backup(
                str(row["name"]),
                datetime.fromisoformat(row["at"]).astimezone(UTC),
                str(row["session"]),
                int(row["size"]),
                str(row["sha256"]),
                str(row["ledger_sha256"]),
                {str(table): int(count) for table, count in row["rows"].items()},
                int(row["schema"]),
                str(row["code_version"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadBackup("the record of a backup cannot be read", where=f"{where}: {reason_of(error)}", fix=TAKE_ANOTHER) from None


def take(ledger: Ledger, vault: Vault, scratch: Path, *, at: datetime, code_version: str) -> Backup:
    """Copy the ledger as it is now into the vault, read it back and record it.

    Parameters
    ----------
    ledger : Ledger
        Open; others may go on reading and writing.
    scratch : Path
        Folder on the device's disk; what is made in it is removed.
    at : datetime
        UTC.

    Raises
    ------
    StoreUnreachable
        The vault did not take it, or does not give it back.
    BadBackup
        The copy read back differs from what was sent; it is removed, and earlier backups are as they were.
    """
    vault.names(PREFIX)  # a vault that is not there costs no copy
    before = _counted(ledger)
    with _folder(scratch) as work:
        plain, packed = work / "ledger.sqlite", work / COPY
        ledger.backup_to(plain)
        found = examine(plain)
        if short := [table for table, count in before.items() if found.rows.get(table, 0) < count]:
            raise BadBackup("a copy of the ledger lacks rows of the ledger", where=", ".join(short))
        digest = write_pieces(packed, _packed(read_pieces(plain)), is_durable=False)
        session = ledger.value("SELECT max(session) FROM job_runs")
        backup = Backup(
            at.strftime(STAMP),
            at,
            str(session or ""),
            packed.stat().st_size,
            digest,
            sha256_of_file(plain),
            found.rows,
            found.schema,
            code_version,
        )
        plain.unlink()
        vault.put(backup.copy, packed)
        packed.unlink()
        try:
            _read_back(vault, backup)
        except BadBackup:
            vault.remove(backup.copy)
            raise
        record = work / RECORD
        write_pieces(record, [backup.to_bytes()], is_durable=False)
        vault.put(f"{PREFIX}/{backup.name}/{RECORD}", record)
    return backup


def listed(vault: Vault) -> tuple[Backup, ...]:
    """Return every backup whose record can be read, oldest first."""
    return tuple(found for _, found in sorted(_records(vault).items()) if found is not None)


def retained(backups: Sequence[Backup], config: BackupConfig) -> tuple[Backup, ...]:
    """Return those that stay: the newest `daily`, and the newest of each of the last `monthly` months."""
    ordered = sorted(backups, key=lambda backup: backup.name)
    by_month = {backup.at.strftime("%Y-%m"): backup for backup in ordered}
    months = sorted(by_month)[-config.monthly :] if config.monthly else []
    stay = {backup.name for backup in ordered[-config.daily :]} | {by_month[month].name for month in months}
    return tuple(backup for backup in ordered if backup.name in stay)


def shorter(one: Backup, others: Iterable[Backup]) -> Backup | None:
    """Return an earlier backup that holds more of what no ledger ever removes, or None."""
    fuller = (
        other for other in others if other.name < one.name and any(one.rows.get(table, 0) < other.rows.get(table, 0) for table in FOR_EVER)
    )
    return max(fuller, key=lambda other: other.name, default=None)


def retire(vault: Vault, newest: Backup, config: BackupConfig) -> tuple[str, ...]:
    """Remove what retention does not keep, and what has no record; return the names (invariants 3 and 5).

    Parameters
    ----------
    newest : Backup
        Taken just now: what has no record and is older was cut off.
    """
    records = _records(vault)
    backups = [one for one in records.values() if one is not None]
    if shorter(newest, backups) is not None:
        return ()
    stay = {backup.name for backup in retained(backups, config)}
    stay |= {name for name, record in records.items() if record is None}  # a person looks at what cannot be read
    names: dict[str, list[str]] = {}
    for name in vault.names(PREFIX):
        names.setdefault(name.split("/")[1], []).append(name)
    gone = [name for name in sorted(names) if name not in stay and name < newest.name]
    for name in gone:
        for item in sorted(names[name], key=lambda item: not item.endswith(f"/{RECORD}")):
            vault.remove(item)
    return tuple(gone)


@contextmanager
def fetch(vault: Vault, backup: Backup, scratch: Path) -> Iterator[Path]:
    """Give the unpacked and checked ledger of a backup for the length of the block.

    Raises
    ------
    BadBackup
        It is not what its record says, or fails SQLite's check.
    StoreUnreachable
        The vault does not give it.
    """
    with _folder(scratch) as work:
        yield _unpack(vault, backup, work)


@dataclass(frozen=True)
class LedgerContents:
    """Contents of a copy of a ledger."""

    rows: Mapping[str, int]
    schema: int


def examine(path: Path) -> LedgerContents:
    """Check a copy thoroughly and count its rows; raise `BadBackup` when it is no whole ledger."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            verdict = str(_value(connection, "PRAGMA integrity_check(1)"))
            if verdict != "ok":
                raise BadBackup("a copy of the ledger fails its check", where=verdict, fix=TAKE_ANOTHER)
            rows = _count(connection)
            return LedgerContents(rows, int(_value(connection, "SELECT value FROM meta WHERE key = 'schema_version'")))
        finally:
            connection.close()
    except (apsw.Error, TypeError, ValueError) as error:
        raise BadBackup("a copy is no ledger", where=f"{path.name}: {reason_of(error)}", fix=TAKE_ANOTHER) from None


def _records(vault: Vault) -> dict[str, Backup | None]:
    """Every name with a record; None where the record cannot be read."""
    found: dict[str, Backup | None] = {}
    for item in vault.names(PREFIX):
        parts = item.split("/")
        if len(parts) == 3 and parts[2] == RECORD:
            try:
                found[parts[1]] = Backup.from_bytes(vault.read(item), item)
            except BadBackup:
                found[parts[1]] = None
    return found


def _read_back(vault: Vault, backup: Backup) -> None:
    """Read the copy through, without keeping it: a card is not worn by looking."""
    packed, plain = hashlib.sha256(), hashlib.sha256()

    def hashed(pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            packed.update(piece)
            yield piece

    try:
        for piece in _unpacked(hashed(vault.pieces(backup.copy))):
            plain.update(piece)
    except zlib.error as error:
        raise BadBackup("a backup cannot be unpacked", where=f"{backup.name}: {reason_of(error)}", fix=TAKE_ANOTHER) from None
    if (packed.hexdigest(), plain.hexdigest()) != (backup.sha256, backup.ledger_sha256):
        raise BadBackup("a backup is not what its record says", where=backup.name, fix=TAKE_ANOTHER)


def _unpack(vault: Vault, backup: Backup, work: Path) -> Path:
    packed, plain = work / f"back.{COPY}", work / "back.sqlite"
    if vault.fetch(backup.copy, packed) != backup.sha256 or packed.stat().st_size != backup.size:
        raise BadBackup("a backup is not what its record says", where=backup.name, fix=TAKE_ANOTHER)
    try:
        digest = write_pieces(plain, _unpacked(read_pieces(packed)), mode=0o600, is_durable=False)
    except zlib.error as error:
        raise BadBackup("a backup cannot be unpacked", where=f"{backup.name}: {reason_of(error)}", fix=TAKE_ANOTHER) from None
    packed.unlink()
    if digest != backup.ledger_sha256:
        raise BadBackup("a backup unpacks to something else", where=backup.name, fix=TAKE_ANOTHER)
    found = examine(plain)
    if (dict(found.rows), found.schema) != (dict(backup.rows), backup.schema):
        raise BadBackup("a backup holds other rows than its record says", where=backup.name, fix=TAKE_ANOTHER)
    return plain


def _counted(ledger: Ledger) -> dict[str, int]:
    tables = ledger.read(str, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {table: int(str(ledger.value(f'SELECT count(*) FROM "{table}"'))) for table in tables}


def _count(connection: apsw.Connection) -> dict[str, int]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {table: int(_value(connection, f'SELECT count(*) FROM "{table}"')) for table in sorted(tables)}


def _value(connection: apsw.Connection, query: str) -> str | int:
    """Return the one value that a query answers; raise `ValueError` when there is none."""
    for row in connection.execute(query):
        answer: str | int = row[0]
        return answer
    raise ValueError(f"no answer to {query}")


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(GZIP)
    for piece in pieces:
        yield unpacker.decompress(piece, PIECE)
        while unpacker.unconsumed_tail:  # a small piece may unpack to gigabytes: never more than this is in memory
            yield unpacker.decompress(unpacker.unconsumed_tail, PIECE)
    if not unpacker.eof:
        raise zlib.error("it ends too early")


@contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(dir=scratch))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
