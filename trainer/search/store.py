r"""Every trial ever started, in a file that is only added to: `trials.jsonl`, one record a line.

1. Each record names the SHA-256 of the line before it, so that a record which is changed, taken out or put in breaks
   the chain at that place.
2. A trial is written when it starts and again when it ends: one whose process died is there, and counts.
3. Taking lines off the end breaks no chain. It shows against what was written elsewhere: evidence keeps the number of
   records and the last hash (`Anchor`), and the search compares with the sampler's own storage.
4. A study is one question (data, recipe, learner, seed). Studies follow one another in one file, and every trial of
   every study counts as a try.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signals.bars import Floats
from signals.errors import FixInput, Locked
from signals.files import append_line, sha256_of
from trainer.search.trial import State, Trial, unpacked

FILE = "trials.jsonl"
FIRST = "0" * 64
MEND = "Restore the file from a backup; trials that were run cannot be taken back"


@dataclass(frozen=True)
class Anchor:
    """How much of a file was known: its records, and the hash of the last one."""

    records: int
    head: str


@dataclass(frozen=True, eq=False)
class Study:
    """One study's trials and baselines, in order of their numbers.

    `identity` says what was asked; `sessions` are the ISO dates of the returns' sessions.
    """

    identity: Mapping[str, Any]
    sessions: tuple[str, ...]
    trials: tuple[Trial, ...]
    baselines: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class History:
    """All of a file."""

    anchor: Anchor
    studies: Mapping[str, Study]

    @property
    def tries(self) -> int:
        """Trials started, of every study, whatever became of them."""
        return sum(len(study.trials) for study in self.studies.values())


def read(folder: Path, *, known: Anchor | None = None) -> History:
    """Read and verify the file; a folder without one has an empty history.

    Parameters
    ----------
    known : Anchor or None
        What evidence says the file held once: a file that lost it is refused.

    Raises
    ------
    FixInput
        The chain is broken, or records that were known are gone.
    """
    records, hashes = _records(folder / FILE)
    heads = [FIRST, *hashes]
    if known is not None and (len(records) < known.records or heads[known.records] != known.head):
        raise FixInput(
            f"{len(records)} records, but {known.records} were known: trials were removed or changed",
            where=str(folder / FILE), mend=MEND,
        )  # fmt: skip
    return History(Anchor(len(records), hashes[-1] if hashes else FIRST), _studies(records))


def append(folder: Path, record: Mapping[str, Any]) -> Anchor:
    """Add one record, durably, behind those that are there."""
    records, hashes = _records(folder / FILE)
    head = hashes[-1] if hashes else FIRST
    line = json.dumps({**record, "previous": head}, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    append_line(folder / FILE, line)
    return Anchor(len(records) + 1, sha256_of(line))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for one search; raise `Locked` when another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    lock.touch()
    with lock.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("another search is at work", where=str(folder), mend="Wait for it") from None
        yield


def _records(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    content = path.read_bytes() if path.exists() else b""
    lines = content.split(b"\n")[:-1]  # what follows the last newline was never written to its end
    records, hashes, previous = [], [], FIRST
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            raise FixInput("a record that cannot be read", where=f"{path}, line {number}", mend=MEND) from None
        if record.get("previous") != previous:
            raise FixInput("a record was removed, changed or put in", where=f"{path}, line {number}", mend=MEND)
        previous = sha256_of(line)
        records.append(record)
        hashes.append(previous)
    return records, hashes


def _studies(records: list[dict[str, Any]]) -> dict[str, Study]:
    opened = {record["study"]: record for record in records if record["kind"] == "study"}
    studies = {}
    for name, opening in opened.items():
        own = [record for record in records if record.get("study") == name]
        trials = {
            record["number"]: Trial(
                record["number"], State.INTERRUPTED, record["parameters"], np.zeros(0), "the process died"
            )
            for record in own
            if record["kind"] == "started"
        }
        for record in own:
            if record["kind"] == "ended":
                trials[record["number"]] = Trial(
                    record["number"], State(record["state"]), record["parameters"], unpacked(record["net"]),
                    record["reason"],
                )  # fmt: skip
        baselines = {record["name"]: unpacked(record["net"]) for record in own if record["kind"] == "baseline"}
        ordered = tuple(trials[number] for number in sorted(trials))
        studies[name] = Study(opening["identity"], tuple(opening["sessions"]), ordered, baselines)
    return studies
