r"""Hash-chained records: a file that is only added to, one JSON document a line, durable before the caller goes on.

Each record names the SHA-256 of the line before it, so that a record which is changed, taken out or put in breaks the
chain at that place. Taking lines off the end breaks no chain: an `Anchor` that is kept elsewhere shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signals.errors import FixInput
from signals.files import append_line, sha256_of

FIRST = "0" * 64
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Anchor:
    """How much of a file was known: its records, and the hash of the last one."""

    records: int
    head: str


@dataclass(frozen=True)
class Chain:
    """A verified file: its records, and the hash of each line."""

    records: tuple[Record, ...]
    hashes: tuple[str, ...]

    @property
    def anchor(self) -> Anchor:
        """All of it."""
        return Anchor(len(self.records), self.hashes[-1] if self.hashes else FIRST)

    def holds(self, known: Anchor) -> bool:
        """Whether what was known once is still its beginning."""
        heads = (FIRST, *self.hashes)
        return known.records < len(heads) and heads[known.records] == known.head


def read(path: Path, *, mend: str) -> Chain:
    """Read and verify; a file that does not exist is empty.

    Raises
    ------
    FixInput
        The chain is broken; `mend` says what to do about it.
    """
    content = path.read_bytes() if path.exists() else b""
    lines = content.split(b"\n")[:-1]  # what follows the last newline was never written to its end
    records: list[Record] = []
    hashes: list[str] = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError:
            raise FixInput("a record that cannot be read", where=where, mend=mend) from None
        if not isinstance(record, dict) or record.get("previous") != (hashes[-1] if hashes else FIRST):
            raise FixInput("a record was removed, changed or put in", where=where, mend=mend)
        records.append(record)
        hashes.append(sha256_of(line))
    return Chain(tuple(records), tuple(hashes))


def append(path: Path, record: Record, *, mend: str) -> Anchor:
    """Add one record, durably, behind those that are there; raises as `read`."""
    before = read(path, mend=mend).anchor
    document = {**record, "previous": before.head}
    line = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    append_line(path, line)
    return Anchor(before.records + 1, sha256_of(line))
