"""A disk that takes so many writes and then no more: SQLite's and those of the side files, counted together."""

from __future__ import annotations

import errno
import itertools
import os
from enum import Enum
from pathlib import Path

import apsw

from appliance.ledger import Ledger
from appliance.system.state_folder import DurableFs

NAMES = itertools.count()


class Refusal(Enum):
    """Why a write is not taken: errno for files, and what SQLite makes of it."""

    FULL = (errno.ENOSPC, apsw.FullError)
    READ_ONLY = (errno.EROFS, apsw.ReadOnlyError)


class LimitedDisk(apsw.VFS):
    """A VFS, and the side files beside it, over the real ones.

    Parameters
    ----------
    fatal : int
        The write, counted from 1, that is not taken; 0 takes all.
    lasting : bool
        None after it is taken either, until `is_freed`.
    """

    def __init__(self, fatal: int = 0, *, lasting: bool = False, refusal: Refusal = Refusal.FULL) -> None:
        self.name = f"limited-{next(NAMES)}"
        self.fatal, self.lasting, self.refusal = fatal, lasting, refusal
        self.writes, self.refused, self.is_freed = 0, 0, False
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> LimitedFile:
        return LimitedFile(self, name, flags)

    def refuses(self) -> bool:
        """Count one write and say whether it is refused."""
        self.writes += 1
        is_hit = self.fatal and (self.writes == self.fatal or (self.lasting and self.writes > self.fatal))
        if not is_hit or self.is_freed:
            return False
        self.refused += 1
        return True

    def ledger(self, path: Path) -> Ledger:
        """Open a ledger on this disk."""
        return Ledger(path, vfs=self.name)


class LimitedFile(apsw.VFSFile):
    """A file of the database."""

    def __init__(self, disk: LimitedDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.disk.refuses():
            raise self.disk.refusal.value[1]("not taken")
        super().xWrite(data, offset)


class LimitedFs(DurableFs):
    """Side files on the same disk."""

    def __init__(self, disk: LimitedDisk) -> None:
        self.disk = disk

    def _take(self) -> None:
        if self.disk.refuses():
            number = self.disk.refusal.value[0]
            raise OSError(number, os.strerror(number))

    def write(self, path: Path, content: bytes) -> None:
        self._take()
        super().write(path, content)

    def append(self, path: Path, line: bytes) -> None:
        self._take()
        super().append(path, line)

    def remove(self, path: Path) -> None:
        self._take()
        super().remove(path)

    def rename(self, path: Path, to: Path) -> None:
        if self.disk.refusal is Refusal.READ_ONLY:  # a full disk takes it: a name is moved, nothing is added
            self._take()
        super().rename(path, to)
