"""The lock of a folder that one process at a time may write: the registry, or a sampler's memory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signals.errors import Locked


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
