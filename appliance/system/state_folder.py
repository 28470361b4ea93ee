"""The state folder: the path of every file of a device, durable writes of them, and the lock that permits only one writer."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signals.errors import FixInput, Locked
from signals.files import sync_folder, write_atomic


@dataclass(frozen=True)
class StateFolder:
    """Names inside one device's state folder; nothing else in the program spells them."""

    root: Path

    @property
    def config(self) -> Path:
        """Written by `appliance init`; one file holds every setting of the device."""
        return self.root / "config.yml"

    @property
    def ledger(self) -> Path:
        """SQLite: the durable record."""
        return self.root / "ledger.sqlite"

    @property
    def market(self) -> Path:
        """DuckDB: the curated bars; a cache that can be rebuilt."""
        return self.root / "market.duckdb"

    @property
    def bundles(self) -> Path:
        """Verified bundles and the pointer to the active one."""
        return self.root / "bundles"

    @property
    def exchange(self) -> Path:
        """State of the embedded exchange when this device hosts it."""
        return self.root / "exchange"

    @property
    def reports(self) -> Path:
        """Daily reports and pictures."""
        return self.root / "reports"

    @property
    def incoming(self) -> Path:
        """Downloads that are not taken over yet; emptied by every pull that succeeds."""
        return self.root / "incoming"

    @property
    def manifest(self) -> Path:
        """The dataset's manifest as the last pull left it."""
        return self.root / "dataset.json"

    @property
    def features(self) -> Path:
        """The features that the model read, a file an evening."""
        return self.root / "features"

    @property
    def completed(self) -> Path:
        """Vendor records of sessions that were not published, and which of them each evening used."""
        return self.root / "completed"

    @property
    def copies(self) -> Path:
        """Scratch of a backup or a restore at work."""
        return self.root / "copies"

    @property
    def alerts(self) -> Path:
        """Every alert, one JSON line each."""
        return self.root / "alerts.jsonl"

    @property
    def halt_request(self) -> Path:
        """A file whose presence halts the device: the kill switch for a person with nothing but a shell."""
        return self.root / "HALT"

    @property
    def pause(self) -> Path:
        """Up to which session a person wants no new orders."""
        return self.root / "pause.json"

    @property
    def setup(self) -> Path:
        """The answers given to `appliance setup` so far; no secret is among them."""
        return self.root / "setup.json"

    @property
    def credentials(self) -> Path:
        """Key files of a device that no service manager gives its credentials."""
        return self.root / "credentials"

    def key_folder(self, given: Path | None) -> Path | None:
        """Return the folder of key files: the one that was given, else the device's own where it has one."""
        return given or (self.credentials if self.credentials.is_dir() else None)

    @property
    def lock(self) -> Path:
        """Held by the one process that may write."""
        return self.root / "lock"

    @property
    def daemon_lock(self) -> Path:
        """Held by the one daemon of this folder for as long as it lives."""
        return self.root / "daemon.lock"

    @property
    def health(self) -> Path:
        """The daemon's last report on itself; a link where a runtime folder holds the file."""
        return self.root / "health.json"

    @property
    def briefing(self) -> Path:
        """The daemon's last copy of settings and calendar."""
        return self.root / "briefing.json"

    def require(self) -> None:
        """Raise `FixInput` when this is not the state folder of a device."""
        if not self.config.is_file():
            raise FixInput(
                "this is not a device's state folder",
                where=str(self.root),
                fix="Run `appliance init --state DIR --venue VENUE --store STORE` or name another folder with --state",
            )


@contextmanager
def exclusive(folder: StateFolder) -> Iterator[None]:
    """Hold the folder's lock for the length of the block; raise `Locked` at once when another process has it."""
    with _held(folder, folder.lock, "another process works in this state folder", "Wait for it to end"):
        yield


@contextmanager
def only_daemon(folder: StateFolder) -> Iterator[None]:
    """Be the folder's one daemon for the length of the block; raise `Locked` at once when there is another."""
    with _held(folder, folder.daemon_lock, "a daemon already runs for this state folder", "Stop that one first"):
        yield


@contextmanager
def _held(folder: StateFolder, lock: Path, what: str, fix: str) -> Iterator[None]:
    folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked(what, where=str(folder.root), fix=f"{fix}; there is never a reason to delete the lock file") from None
    try:
        yield
    finally:
        os.close(descriptor)


PRIVATE = 0o600


class DurableFs:
    """The real file system behind the `Fs` seam: a file is whole or absent after a power cut, and a write returns once it is on disk."""

    def read(self, path: Path) -> bytes | None:
        """Return the whole file, or None when there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: bytes) -> None:
        """Replace the file in one step; it is on disk when this returns."""
        write_atomic(path, content, mode=PRIVATE)

    def append(self, path: Path, line: bytes) -> None:
        """Add one line to a log in a single write, on disk when this returns."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        try:
            os.write(descriptor, line.rstrip(b"\n") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove the file, or the empty folder, durably; no error when there is none."""
        try:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        except FileNotFoundError:
            return
        sync_folder(path.parent)

    def rename(self, path: Path, to: Path) -> None:
        """Move a file over another in one durable step that needs no room; raise `FileNotFoundError` without one."""
        path.replace(to)
        sync_folder(to.parent)

    def exists(self, path: Path) -> bool:
        """Whether anything has this name: a folder, a link to nothing and what may not be read included."""
        return os.path.lexists(path)

    def head(self, path: Path, size: int) -> bytes:
        """Return the first bytes without ever waiting for them; raise `OSError` when there are none to be read."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)
