"""Durable file writes: a file is whole or absent after a power cut, and a write returns only once it is on disk."""

import os
from pathlib import Path

from signals.files import sync_folder, write_atomic

PRIVATE = 0o600


class DurableFs:
    """The real file system behind the `Fs` seam."""

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
