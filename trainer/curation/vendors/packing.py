"""Unpacks a delivery: a file, a compressed file, an archive or a folder.

A folder is delivered as the archive of its files, so that it is kept by its content like any other file. Entry points:
`pack` (a path as bytes), `pieces` (bytes as the files in them).
"""

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.parse import unquote

import pyarrow as pa

from signals.errors import BadBars
from signals.text.wording import reason_of

ARCHIVE = ".zip"
MOST_BYTES = 4 << 30  # unpacked: 20 years of daily bars of every listed company are a tenth of it
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)  # no clock in an archive: the same files make the same bytes
AGAIN = "Fetch the file again; it may be cut off"


def _arrow(codec: str) -> Callable[[bytes], BinaryIO]:
    return lambda content: cast("BinaryIO", pa.CompressedInputStream(pa.BufferReader(content), codec))


@dataclass(frozen=True)
class Compression:
    """A compression, known by the first bytes of what it made."""

    ending: str
    magic: bytes
    opened: Callable[[bytes], BinaryIO]


COMPRESSIONS = (
    Compression(".gz", b"\x1f\x8b", _arrow("gzip")),
    Compression(".bz2", b"BZh", _arrow("bz2")),
    Compression(".zst", b"\x28\xb5\x2f\xfd", _arrow("zstd")),
)
FAULTS = (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, pa.ArrowException)


@dataclass(frozen=True)
class Piece:
    """One file of a delivery.

    Attributes
    ----------
    where : str
        How messages name it.
    given : mapping
        What its path says of every row: `key=value` folders.
    symbol : str
        What its own name says the symbol is; empty for a file that came alone, whose name is anybody's.
    """

    where: str
    content: bytes
    given: Mapping[str, str]
    symbol: str


def pack(path: Path) -> tuple[str, bytes]:
    """Return the name and the bytes of a file, or of the archive of a folder; raise `BadBars` for what is neither."""
    try:
        if not path.is_dir():
            return path.name, path.read_bytes()
        found = [(one.relative_to(path), one) for one in sorted(path.rglob("*")) if one.is_file()]
        found = [(name, one) for name, one in found if not _is_ignored(name.parts)]
        if not found:
            raise BadBars("the folder has no files", where=str(path), fix="Name the folder that holds the bars")
        return path.resolve().name + ARCHIVE, archive([(name.as_posix(), one) for name, one in found])
    except FileNotFoundError:
        raise BadBars("no such file", where=str(path), fix="Check the path") from None
    except OSError as error:
        raise BadBars(f"unreadable ({reason_of(error)})", where=str(path), fix="Check the path and its rights") from None


def archive(files: Iterable[tuple[str, Path]]) -> bytes:
    """Return files as one archive; the same files make the same bytes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:
        for name, path in files:
            made.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), path.read_bytes())
    return sink.getvalue()


def pieces(content: bytes, *, where: str) -> Iterator[Piece]:
    """Unpack a delivery into its files, in the order of their names; raise `BadBars` for a broken or vast one."""
    if not content:
        raise BadBars("the file is empty", where=where, fix="Fetch the file again")
    if not where.lower().endswith(ARCHIVE):
        yield Piece(*_unpacked(content, where), {}, "")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            names = sorted(i.filename for i in opened.infolist() if not i.is_dir())
            names = [name for name in names if not _is_ignored(PurePosixPath(name).parts)]
            files = Counter(PurePosixPath(name).name for name in names)
            if sum(opened.getinfo(name).file_size for name in names) > MOST_BYTES:
                raise _vast(where)
            for name in names:
                place, inside = _unpacked(opened.read(name), name)[::-1]
                is_named = files[PurePosixPath(name).name] == 1  # else its folder names it: AAA/part-0.parquet, BBB/part-0.parquet
                yield _member(PurePosixPath(inside), place, where=where, is_alone=len(names) == 1, is_named=is_named)
    except FAULTS as error:
        raise BadBars(f"not a readable archive ({reason_of(error)})", where=where, fix=AGAIN) from None


def _member(path: PurePosixPath, content: bytes, *, where: str, is_alone: bool, is_named: bool) -> Piece:
    folders = [part.partition("=") for part in path.parts[:-1] if "=" in part]
    given = {unquote(key): unquote(value) for key, _, value in folders}
    name = path.stem if is_named else path.parent.name
    return Piece(f"{where}/{path}", content, given, "" if is_alone or "=" in name else name)


def _unpacked(content: bytes, name: str) -> tuple[str, bytes]:
    """Name and bytes without their compression."""
    found = next((one for one in COMPRESSIONS if content.startswith(one.magic)), None)
    if found is None:
        return name, content
    try:
        with found.opened(content) as stream:
            plain = stream.read(MOST_BYTES + 1)
    except FAULTS as error:
        raise BadBars(f"not a readable {found.ending} file ({reason_of(error)})", where=name, fix=AGAIN) from None
    if len(plain) > MOST_BYTES:
        raise _vast(name)
    return name[: -len(found.ending)] if name.lower().endswith(found.ending) else name, plain


def _is_ignored(parts: tuple[str, ...]) -> bool:
    """Whether a file is the bookkeeping of the program that wrote the folder: _SUCCESS, .crc, __MACOSX."""
    return any(part.startswith(("_", ".")) for part in parts)


def _vast(where: str) -> BadBars:
    return BadBars(f"it unpacks to more than {MOST_BYTES >> 30} GiB", where=where, fix="Deliver it in parts")
