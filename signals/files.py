"""Atomic file writes (whole or absent after a crash), hashes of files, free space of a disk."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never a part.

    Temporary file in the same folder, fsync of the file, rename, fsync of the folder.

    Raises
    ------
    OSError
        The disk is full, read-only or failing; the old file is untouched.
    """
    write_pieces(path, (content,), mode=mode)


def write_pieces(path: Path, pieces: Iterable[bytes], *, mode: int = 0o644, is_durable: bool = True) -> str:
    """Write a file that is too large for memory, piece by piece, whole or not at all; return its hex SHA-256.

    What is not durable may be gone after a power cut: scratch that is removed soon then never wears the disk.

    Raises
    ------
    OSError
        The disk is full, read-only or failing; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary, digest = Path(name), hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
            if is_durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)
    return digest.hexdigest()


def newest_lines(content: bytes, kept: int) -> bytes | None:
    """Return the last `kept` lines of a log that has grown beyond twice as many; None while it has not."""
    lines = content.splitlines()
    return b"\n".join(lines[-kept:]) + b"\n" if len(lines) > 2 * kept else None


def read_pieces(path: Path, size: int = 2**20) -> Iterator[bytes]:
    """Read a file piece by piece."""
    with path.open("rb") as stream:
        while piece := stream.read(size):
            yield piece


def extend(path: Path, pieces: Iterable[bytes]) -> None:
    """Append pieces to a file that nobody believes yet; what came before a failure stays, for a later call to go on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())


def settle(temporary: Path, path: Path) -> None:
    """Give a whole and durable file its name."""
    temporary.replace(path)
    sync_folder(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append `line` (without its newline) to `path` and make it durable; a part left by a crash is cut off first.

    Raises
    ------
    OSError
        The disk is full, read-only or failing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        content = path.read_bytes()
        os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(content: bytes) -> str:
    """Hex SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of the file at `path`."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def free_share(folder: Path) -> float | None:
    """Return the free share of the disk that holds `folder`; None where it cannot be measured."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
