r"""Append-only files of JSON records in which each names the hash of the one before; durable on return.

1. Each record names the SHA-256 of the line before it: one that is changed, taken out or put in breaks the chain there.
2. Taking lines off the end breaks no chain, so the file's anchor is next to it (`<name>.head`): number of records and
   last hash. A file that is shorter than its anchor is refused; one line more is what a crash between the two writes
   leaves, and is taken over.
3. The whole file is verified at every read. Readers and writers hold the file (`flock`): two that append at once follow
   one another, and nobody reads between a line and its anchor.
4. Datasets that are next to one another in a folder have one record together (`places`): it is read over all of them.
"""

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signals.errors import FixInput
from signals.files import append_line, sha256_of, write_atomic
from signals.market.dataset import manifest_path

FIRST = "0" * 64
PREVIOUS = "previous"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class ChainAnchor:
    """How much of a file was known: its records, and the hash of the last one."""

    records: int
    head: str


@dataclass(frozen=True)
class Chain:
    """A verified file: its records, and the hash of each line."""

    records: tuple[Record, ...]
    hashes: tuple[str, ...]

    @property
    def anchor(self) -> ChainAnchor:
        """All of it."""
        return ChainAnchor(len(self.records), self.hashes[-1] if self.hashes else FIRST)

    def holds(self, known: ChainAnchor) -> bool:
        """Whether what was known once is still its beginning."""
        heads = (FIRST, *self.hashes)
        return known.records < len(heads) and heads[known.records] == known.head


def read(path: Path, *, fix: str) -> Chain:
    """Read and verify; a file that does not exist, without an anchor, is empty.

    Raises
    ------
    FixInput
        The chain is broken, its end was cut off, or its anchor is gone; `fix` says what to do about it.
    """
    if not path.exists():
        try:
            return _verified(path, fix)
        except FixInput:
            if not path.exists():
                raise
            # it began between the look at the file and the look at its anchor: read again, holding it
    with _held(path, fcntl.LOCK_SH):
        return _verified(path, fix)


def append(path: Path, record: Record, *, fix: str) -> ChainAnchor:
    """Add one record, durably, behind those that are there; raises as `read`."""
    return extend(path, (record,), fix=fix)


def extend(path: Path, records: Iterable[Record], *, fix: str) -> ChainAnchor:
    """Add records one by one, each durable before the next; raises as `read`."""
    return amend(path, lambda known: records, fix=fix)


def amend(path: Path, new: Callable[[Chain], Iterable[Record]], *, fix: str) -> ChainAnchor:
    """Add what `new` makes of what is there, held by nobody else from the reading to the last record; raises as `read`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with _held(path, fcntl.LOCK_EX):
        found = _verified(path, fix)
        known = found.anchor
        for record in new(found):
            known = _append(path, record, known)
    return known


def unanchored(path: Path, *, fix: str) -> Chain:
    """Read and verify a file that was written without an anchor; raises as `read` for a broken chain."""
    content = path.read_bytes() if path.exists() else b""
    lines = content.split(b"\n")[:-1]  # what follows the last newline was never written to its end
    records: list[Record] = []
    hashes: list[str] = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError:
            raise FixInput("a record that cannot be read", where=where, fix=fix) from None
        if not isinstance(record, dict) or record.get(PREVIOUS) != (hashes[-1] if hashes else FIRST):
            raise FixInput("a record was removed, changed or put in", where=where, fix=fix)
        records.append(record)
        hashes.append(sha256_of(line))
    return Chain(tuple(records), tuple(hashes))


def places(data: Path, *more: Path) -> tuple[Path, ...]:
    """Folders whose records count together: the dataset's first, then datasets next to it, then `more`."""
    own = data.resolve()
    beside = sorted(path.parent for path in own.parent.glob(str(manifest_path(Path("*"), None))))
    return tuple(dict.fromkeys((own, *beside, *(place.resolve() for place in more))))


def anchor_path(path: Path) -> Path:
    """Return where the anchor of the file at `path` is."""
    return path.with_suffix(path.suffix + ".head")


def _append(path: Path, record: Record, known: ChainAnchor) -> ChainAnchor:
    document = {**record, PREVIOUS: known.head}
    line = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    append_line(path, line)
    after = ChainAnchor(known.records + 1, sha256_of(line))
    write_atomic(anchor_path(path), f"{after.records} {after.head}\n".encode())
    return after


def _verified(path: Path, fix: str) -> Chain:
    found, anchor = unanchored(path, fix=fix), anchor_path(path)
    if not anchor.exists():
        if len(found.records) > 1:  # the first append may have died before its anchor
            raise FixInput("the anchor of a history is gone", where=str(anchor), fix=fix)
        return found
    try:
        count, head = anchor.read_text(encoding="utf-8").split()
        known = ChainAnchor(int(count), head)
    except ValueError:
        raise FixInput("the anchor of a history cannot be read", where=str(anchor), fix=fix) from None
    if not found.holds(known) or len(found.records) > known.records + 1:
        raise FixInput(
            f"{len(found.records)} records where {known.records} were written: the history was cut or replaced", where=str(path), fix=fix
        )
    return found


@contextmanager
def _held(path: Path, kind: int) -> Iterator[None]:
    """Hold the file for as long as it is read or written; one that does not exist is held by nobody."""
    if not path.exists():
        yield
        return
    with path.open("rb") as stream:
        fcntl.flock(stream, kind)
        yield
