"""Creates run folders, whole or absent, hashes their files, and locks a folder that one process at a time may write."""

import fcntl
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from signals.errors import FixInput, Locked
from signals.files import sha256_of_file, sync_folder, write_atomic
from signals.text.wording import reason_of

OWNER_ALONE, FOR_ALL = 0o600, 0o644


def refuse_existing(folder: Path) -> None:
    """Raise `FixInput` when `folder` exists: evidence is never overwritten."""
    if folder.exists():
        raise FixInput("the folder exists", where=str(folder), fix="Name a new folder, or remove this one yourself")


def write_run(folder: Path, files: Mapping[str, bytes], private: Collection[str] = ()) -> None:
    """Write `files` (relative path -> content) next to `folder` and rename them into place as one.

    Parameters
    ----------
    private : collection of str
        Names of the files that their owner alone may read.

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


def file_hash(path: Path) -> str:
    """SHA-256 of a file of a run folder; raise `FixInput` when it cannot be read."""
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise FixInput(
            f"{path.name} cannot be read: {reason_of(error)}", where=str(path.parent), fix="Name a run folder made by `trainer train`"
        ) from None


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
