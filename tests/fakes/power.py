"""A disk that forgets: SQLite's writes since the last sync are dropped, reordered or torn when the power goes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import apsw


@dataclass
class Unsynced:
    """What a file was before its first write since the last sync, and the writes since."""

    before: bytes
    writes: list[tuple[int, bytes]]


class ForgetfulDisk(apsw.VFS):
    """A VFS over the real one that remembers what is not yet on disk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unsynced: dict[Path, Unsynced] = {}
        self.is_dead = False
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> ForgetfulFile:
        return ForgetfulFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.is_dead:
            raise apsw.IOError("the power is off")
        self.unsynced.pop(Path(filename), None)
        super().xDelete(filename, syncdir)

    def lose_power(self, rng: random.Random) -> int:
        """Leave each file as the last sync left it, plus a random subset of later writes, the last one torn.

        Returns the number of writes that were lost.
        """
        lost = 0
        for path, state in self.unsynced.items():
            kept = [write for write in state.writes if rng.random() < 0.3]
            lost += len(state.writes) - len(kept)
            content = bytearray(state.before)
            for number, (offset, data) in enumerate(kept):
                torn = data[: rng.randint(0, len(data))] if number == len(kept) - 1 else data
                content.extend(bytes(max(0, offset + len(torn) - len(content))))
                content[offset : offset + len(torn)] = torn
            path.write_bytes(content)
        self.unsynced.clear()
        return lost


class ForgetfulFile(apsw.VFSFile):
    """A file whose writes count as lost until they are synced."""

    def __init__(self, disk: ForgetfulDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        self.path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        super().__init__("", name, flags)

    def _touch(self) -> Unsynced:
        if self.disk.is_dead:
            raise apsw.IOError("the power is off")
        if self.path not in self.disk.unsynced:
            self.disk.unsynced[self.path] = Unsynced(self.path.read_bytes(), [])
        return self.disk.unsynced[self.path]

    def xWrite(self, data: bytes, offset: int) -> None:
        self._touch().writes.append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._touch()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        if self.disk.is_dead:
            raise apsw.IOError("the power is off")
        super().xSync(flags)
        self.disk.unsynced.pop(self.path, None)
