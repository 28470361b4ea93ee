r"""Who was champion when and why, and every opening of a sealed holdout: two chains in one folder, the registry.

`champions.jsonl` and `openings.jsonl` are chains (`trainer/chain.py`). Besides:

1. Beside each stands its anchor (`<name>.head`): number of records and last hash. A file whose end was cut off is
   shorter than its anchor and refused; one line more is what a crash between the two writes leaves, and is taken over.
2. The whole file is verified at every read. Nothing is ever rewritten: a rollback is one more record.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from signals.errors import FixInput, Locked
from signals.files import write_atomic
from trainer import chain
from trainer.chain import Anchor, Chain, Record

CHAMPIONS, OPENINGS = "champions.jsonl", "openings.jsonl"
MEND = "Restore the folder from a backup; what happened cannot be taken back"


class Event(StrEnum):
    """What a record of `champions.jsonl` says."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"


def read(path: Path) -> Chain:
    """Read and verify; a file that does not exist, without an anchor, is empty.

    Raises
    ------
    FixInput
        The chain is broken, its end was cut off, or its anchor is gone.
    """
    found = chain.read(path, mend=MEND)
    _check_anchor(path, found)
    return found


def append(path: Path, record: Record) -> Anchor:
    """Add one record behind those that are there, durably; raises as `read`.

    The caller holds the folder (`held`), so that nobody writes in between.
    """
    number = len(read(path).records) + 1
    after = chain.append(path, {**record, "number": number}, mend=MEND)
    write_atomic(_anchor_path(path), f"{after.records} {after.head}\n".encode())
    return after


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for one decision; raise `Locked` when another one is being made."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    lock.touch()
    with lock.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("another promotion is at work", where=str(folder), mend="Wait for it") from None
        yield


def champion(known: Chain, sleeve: str, at: datetime | None = None) -> Record | None:
    """Return the record that made the sleeve's champion of now, or of the instant `at` (UTC); None before the first."""
    made = [r for r in known.records if r["sleeve"] == sleeve and r["event"] != Event.REFUSED]
    made = [r for r in made if at is None or datetime.fromisoformat(r["at"]) <= at]
    return made[-1] if made else None


def next_version(known: Chain, sleeve: str, *, spec_hash: str, horizon: int, config_hash: str) -> str:
    """Semantic version of the sleeve's next champion, above every one that it ever had.

    Other features or another horizon than the champion's change what a device must compute or hold: the major number.
    Another recipe: the minor. The same recipe on later data: the patch.
    """
    now = champion(known, sleeve)
    if now is None:
        return "1.0.0"
    promoted = [r for r in known.records if r["sleeve"] == sleeve and r["event"] == Event.PROMOTED]
    major, minor, patch = max(tuple(map(int, str(r["version"]).split("."))) for r in promoted)
    if (now["spec_hash"], now["horizon"]) != (spec_hash, horizon):
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if now["config_hash"] != config_hash else f"{major}.{minor}.{patch + 1}"


def _check_anchor(path: Path, found: Chain) -> None:
    anchor = _anchor_path(path)
    if not anchor.exists():
        if len(found.records) > 1:  # the first append may have died before its anchor
            raise FixInput("the anchor of a history is gone", where=str(anchor), mend=MEND)
        return
    try:
        count, head = anchor.read_text(encoding="utf-8").split()
        known = Anchor(int(count), head)
    except ValueError:
        raise FixInput("the anchor of a history cannot be read", where=str(anchor), mend=MEND) from None
    if not found.holds(known) or len(found.records) > known.records + 1:
        raise FixInput(
            f"{len(found.records)} records where {known.records} were written: the history was cut or replaced",
            where=str(path), mend=MEND,
        )  # fmt: skip


def _anchor_path(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".head")
