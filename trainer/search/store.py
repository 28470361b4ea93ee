r"""Every trial ever started, in a file that is only added to: `trials.jsonl`, one record a line.

1. It is a chain (`trainer/chain.py`): a record which is changed, taken out or put in breaks it at that place.
2. A trial is written when it starts and again when it ends: one whose process died is there, and counts.
3. Taking lines off the end breaks no chain. It shows against what was written elsewhere: evidence keeps the number of
   records and the last hash (`Anchor`), and the search compares with the sampler's own storage.
4. A study is one question (data, recipe, learner, seed). Studies follow one another in one file, and every trial of
   every study counts as a try.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signals.bars import Floats
from signals.errors import FixInput, Locked
from trainer.chain import FIRST, Anchor
from trainer.chain import append as append_record
from trainer.chain import unanchored as read_chain
from trainer.search.trial import State, Trial, unpacked

FILE = "trials.jsonl"
MEND = "Restore the file from a backup; trials that were run cannot be taken back"


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
    chain = read_chain(folder / FILE, mend=MEND)
    if known is not None and not chain.holds(known):
        raise FixInput(
            f"{len(chain.records)} records, but {known.records} were known: trials were removed or changed",
            where=str(folder / FILE), mend=MEND,
        )  # fmt: skip
    return History(chain.anchor, _studies(chain.records))


def append(folder: Path, record: Mapping[str, Any]) -> Anchor:
    """Add one record, durably, behind those that are there."""
    return append_record(folder / FILE, record, mend=MEND)


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


def _studies(records: Sequence[Mapping[str, Any]]) -> dict[str, Study]:
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


__all__ = ["FILE", "FIRST", "Anchor", "History", "Study", "append", "held", "read"]
