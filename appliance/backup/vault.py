"""Backup storage: a folder or a bucket with put, get, list and delete."""

from pathlib import Path
from typing import Protocol

from appliance.config import BackupConfig
from appliance.storage.published_sources import PublishedBucket
from appliance.storage.published_store import PublishedFolder, PublishedStore
from signals.errors import BadConfig, StoreUnreachable
from signals.files import read_pieces, sha256_of_file, sync_folder, write_pieces
from signals.storage.places import Place, is_s3
from signals.storage.s3 import Objects, S3Keys, read_keys

PRIVATE = 0o600
KEY_FILE, SECRET_FILE = "backup-key-id", "backup-secret-key"


class Vault(PublishedStore, Protocol):
    """A store that can be written. What it holds is read back before it is believed."""

    def put(self, name: str, path: Path) -> None:
        """Keep the file `path` under `name`, whole or not at all; raise `StoreUnreachable` when it is not taken."""

    def remove(self, name: str) -> None:
        """Let an object go; no error when there is none."""

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the objects below `prefix`, sorted; empty when there is none."""


class FolderVault(PublishedFolder):
    """A folder that exists already: a disk that is not mounted is unreachable, not an empty folder to be made."""

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the files below `prefix`, sorted; those that are still being written are none."""
        self._require()
        return tuple(name for name in super().names(prefix) if not Path(name).name.startswith("."))

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object piece by piece and hash the very bytes that were written."""
        path = self._path(name)
        try:
            return write_pieces(to, read_pieces(path), mode=PRIVATE)
        except OSError as error:
            raise self._unreachable(path, error) from None

    def put(self, name: str, path: Path) -> None:
        """Copy the file, durably."""
        self._require()
        try:
            write_pieces(self._path(name), read_pieces(path), mode=PRIVATE)
        except OSError as error:
            raise self._unreachable(self._path(name), error) from None

    def remove(self, name: str) -> None:
        """Remove the file, and its folder when that was the last of it."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent != self._root and path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
                sync_folder(path.parent.parent)
        except OSError as error:
            raise self._unreachable(path, error) from None

    def _require(self) -> None:
        try:
            is_there = self._root.is_dir()
        except OSError as error:  # a folder above it may not be looked into
            raise self._unreachable(self._root, error) from None
        if not is_there:
            raise StoreUnreachable(
                "the place for backups is not there",
                where=str(self._root),
                fix="Mount it, or make the folder, or correct backup.to in config.yml",
            )


class ObjectVault(PublishedBucket):
    """A prefix of a bucket, with a key pair that may write, read, list and remove there."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self._place = objects

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the objects below `prefix`, sorted."""
        return self._place.names(f"{prefix}/")

    def put(self, name: str, path: Path) -> None:
        """Send the file in one request: an object is there whole or not at all."""
        self._place.put(name, path.read_bytes(), sha256=sha256_of_file(path))

    def remove(self, name: str) -> None:
        """Let an object go."""
        self._place.remove(name)


def vault_at(config: BackupConfig, state: Path, credentials: Path | None = None) -> Vault:
    """Return the vault that `backup.to` names; a relative folder is below the state folder.

    Raises
    ------
    BadConfig
        An object store without its key pair, or an address that is none.
    """
    if not is_s3(config.to):
        return FolderVault(state / config.to)
    return ObjectVault(Objects.opened(Place.parse(config.to), config.s3, _keys(credentials)))


def _keys(credentials: Path | None) -> S3Keys:
    """The key pair for backups, else that of the stores: one that may only read cannot write there."""
    if credentials is None or not (credentials / KEY_FILE).is_file():
        return read_keys(credentials)
    try:
        return S3Keys(*((credentials / name).read_text(encoding="utf-8").strip() for name in (KEY_FILE, SECRET_FILE)))
    except (OSError, ValueError):
        raise BadConfig("no key pair for backups", where=str(credentials), fix=f"It must hold {KEY_FILE} and {SECRET_FILE}") from None
