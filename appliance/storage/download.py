"""Resumable download of an object: continued where it broke off, hashed, then renamed into place.

Entry points: `bring` (something vouches for the object), `fetched` (nothing does yet).

Invariants
----------
1. A file has its name only when it is whole; until then it is `<name>.part`, which nobody reads.
2. `bring` names a file only when its size and SHA-256 are those that were vouched for.
3. A broken transfer leaves its part behind for the next call, in this process or a later one; a wrong part does not
   outlive the call that finds it wrong.
4. As long as every request brings something the transfer goes on, `MOST_REQUESTS` times; one that brings nothing
   ends it: the job that asked is tried again later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from signals.errors import BadDataset, StoreUnreachable
from signals.files import extend, settle, sha256_of_file

if TYPE_CHECKING:
    from appliance.storage.published_store import PublishedStore

MOST_REQUESTS = 8
MOST_FETCHED = 256 * 2**20  # more than any file that is published: an answer without an end must not fill the disk
PART = ".part"


def bring(store: PublishedStore, name: str, to: Path, *, sha256: str, size: int) -> int:
    """Make `to` the object that is vouched for, and return the bytes that had to be transferred.

    Raises
    ------
    BadDataset
        The store holds something else under this name; nothing of it is kept.
    StoreUnreachable
        It broke off and brought nothing more; what came is kept for the next call.
    """
    if _is(to, sha256, size):
        return 0
    to.unlink(missing_ok=True)
    part = to.with_name(to.name + PART)
    held = _held(part)
    if held > size:
        part.unlink()
        held = 0
    came = _go_on(store, name, part, size)
    if not _is(part, sha256, size) and held:  # the earlier part may have been of something else
        part.unlink(missing_ok=True)
        came += _go_on(store, name, part, size)
    if not _is(part, sha256, size):
        part.unlink(missing_ok=True)
        raise BadDataset("the file is not what the manifest vouches for", where=name, fix="Publish the dataset again on the trainer")
    settle(part, to)
    return came


def fetched(store: PublishedStore, name: str, to: Path) -> str:
    """Make `to` whatever the store holds under this name, and return its SHA-256.

    Raises
    ------
    StoreUnreachable
        It broke off and brought nothing more, or has no end; nothing of it is kept.
    """
    part = to.with_name(to.name + PART)
    part.unlink(missing_ok=True)
    try:
        _go_on(store, name, part, None)
        if _held(part) > MOST_FETCHED:
            raise StoreUnreachable(f"an answer of more than {MOST_FETCHED:,} bytes is none", where=name)
        digest = sha256_of_file(part)
        settle(part, to)
    finally:
        part.unlink(missing_ok=True)
    return digest


def _go_on(store: PublishedStore, name: str, part: Path, size: int | None) -> int:
    """Ask for what `part` lacks until it has `size` bytes, or ends by itself where the size is not known."""
    before = held = _held(part)
    for request in range(MOST_REQUESTS):
        if held == size:
            break
        try:
            pieces = store.pieces(name, held)
            extend(part, _at_most(pieces, (MOST_FETCHED if size is None else size) - held))
            break  # it ended by itself: whether it is whole is for its hash to say
        except StoreUnreachable:
            if _held(part) == held or request == MOST_REQUESTS - 1:
                raise
            held = _held(part)
        except OSError:  # this disk, not the store: a full one is not filled further
            part.unlink(missing_ok=True)
            raise
    return _held(part) - before


def _at_most(pieces: Iterable[bytes], left: int) -> Iterator[bytes]:
    """Cut a body one byte beyond what it may have, so that it is seen to be too long."""
    for piece in pieces:
        yield piece[: left + 1]
        left -= len(piece)
        if left < 0:
            return


def _is(path: Path, sha256: str, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256_of_file(path) == sha256


def _held(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
