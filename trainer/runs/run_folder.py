"""A run's folder: written whole or not at all, locked for one process, hashed; and the reading and writing of its JSON documents."""

import fcntl
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from signals.errors import FixInput, Locked
from signals.files import sha256_of, sync_folder, write_atomic
from signals.text import strict_json
from signals.text.documents import BadDocument, from_json, to_json
from signals.text.strict_json import JsonObject
from signals.text.wording import reason_of

OWNER_ALONE, FOR_ALL = 0o600, 0o644


def refuse_existing(folder: Path) -> None:
    """Raise `FixInput` when `folder` exists: evidence is never overwritten."""
    if folder.exists():
        raise FixInput("the folder exists", where=str(folder), fix="Name a new folder, or remove this one yourself")


def write_run(folder: Path, files: Mapping[str, bytes], private: Collection[str] = ()) -> None:
    """Write `files` (relative path -> content) next to `folder` and rename them into place as one; `private` are for their owner only.

    Raises
    ------
    FixInput
        The folder exists.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.parent / f".{folder.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for name, content in sorted(files.items()):
            write_atomic(unfinished / name, content, mode=OWNER_ALONE if name in private else FOR_ALL)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def checkpoints_of(run: Path) -> Path:
    """Return the folder of the epochs of a run that is not there yet: a network that was interrupted goes on from it."""
    return run.with_name(f"{run.name}.checkpoints")


def read_file(run: Path, name: str) -> bytes:
    """Return the content of a file of a run folder; raise `FixInput` when it cannot be read."""
    try:
        return (run / name).read_bytes()
    except OSError as error:
        what = f"{name} cannot be read: {reason_of(error)}"
        raise FixInput(what, where=str(run), fix="Name a run folder made by `trainer train`") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file of a run folder; raises as `read_file`."""
    return sha256_of(read_file(path.parent, path.name))


@contextmanager
def exclusive(folder: Path, work: str) -> Iterator[None]:
    """Hold `folder`, made where it is absent, for one piece of `work`; raise `Locked` while another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    lock.touch()
    with lock.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"another {work} is at work", where=str(folder), fix="Wait for it") from None
        yield


T = TypeVar("T")


def canonical_json(document: object) -> bytes:
    """Sorted keys, two spaces, one final newline; a figure that does not exist is null, never NaN."""
    return json.dumps(to_json(document), indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_object(path: Path) -> JsonObject:
    """Read a JSON object of any shape; raise `FixInput` when there is none."""
    return read_hashed(path)[0]


def read_hashed(path: Path) -> tuple[JsonObject, str]:
    """Read a JSON object and the SHA-256 of its very bytes; raises as `read_object`."""
    raw = read_file(path.parent, path.name)
    try:
        content = strict_json.loads(raw, decimals=float)
    except ValueError:
        raise FixInput("not a JSON document", where=str(path), fix="Restore it, or train again") from None
    if not isinstance(content, dict):
        raise FixInput("not a mapping", where=str(path), fix="Restore it, or train again")
    return content, sha256_of(raw)


def read_document(path: Path, kind: type[T]) -> T:
    """Read a JSON object as `kind`; raise `FixInput` when there is none, or where it has another shape."""
    return parsed(kind, read_object(path), str(path))


def parsed(kind: type[T], document: object, where: str) -> T:
    """Return what a stored JSON value holds; raise `FixInput` where it has another shape than `kind`."""
    try:
        return from_json(kind, document)
    except BadDocument as error:
        raise FixInput(str(error), where=where, fix="Restore it, or train again") from None


TRAINING = "training_cfg.json"


@dataclass(frozen=True)
class TrainedRange:
    """Requested range of the dataset: first and last session, None for its own; names, none for all."""

    start: date | None
    end: date | None
    symbols: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The effective settings of a training.

    Attributes
    ----------
    config : mapping
        The recipe's settings (`RecipeConfig`).
    trial, range
        None where an earlier program did not say.
    """

    sleeve: str
    seed: int
    config: Mapping[str, object]
    config_hash: str = ""
    code_version: str = ""
    snapshot_id: str = ""
    dataset_version: int = 0
    first_training_session: str = ""
    last_label_session: str = ""
    symbols: tuple[str, ...] = ()
    trial: str | None = None
    device: str = "auto"
    range: TrainedRange | None = None
