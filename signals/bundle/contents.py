"""Reads a bundle folder into memory once, so that the verified bytes are the bytes that are used, and its manifest of any format.

Nothing is followed: the folder and every entry are opened without following links, entries are looked at through the
opened descriptor, and sizes are capped before and while reading. A file that is swapped afterwards changes nothing.

Format 1 carried one table of features and one score, several graphs averaged evenly. It is read for one version: its
own rules are checked, and it becomes a value of format 2 here and nowhere else.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.manifest import (
    FORMAT,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SCORE,
    SIGNATURE_NAME,
    BundleFile,
    BundleManifest,
    HeadLine,
    MemberLine,
    Part,
    Signed,
)
from signals.bundle.profiles import ProfileName
from signals.bundle.seal import Document, parse, parse_json
from signals.errors import BundleRefused
from signals.models.heads import ScoreHead
from signals.text.wording import clean, reason_of
from signals.views import TableView

MAX_FILES = 64
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_SIGNATURE_BYTES = 16 * 1024
MAX_TOTAL_BYTES = 200 * 1024 * 1024
CAPS = {MANIFEST_NAME: MAX_MANIFEST_BYTES, SIGNATURE_NAME: MAX_SIGNATURE_BYTES}


@dataclass(frozen=True)
class Contents:
    """Files of a folder, read at one moment.

    Attributes
    ----------
    where : str
        The folder, for errors.
    files : mapping of name to bytes
        Regular files.
    irregular : mapping of name to reason
        Links, folders, devices and whatever else may not be in a bundle; they were not opened.
    """

    where: str
    files: Mapping[str, bytes]
    irregular: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Every entry of the folder, regular or not."""
        return frozenset(self.files) | frozenset(self.irregular)


def read_folder(folder: Path) -> Contents:
    """Read every regular file of `folder` into memory under the size caps.

    Raises
    ------
    BundleRefused
        The folder cannot be opened as a folder, holds too many entries, or is larger than the caps.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BundleRefused(f"no such bundle folder: {reason_of(error)}", where=str(folder), fix="Fetch the bundle again") from None
    try:
        return _read_all(descriptor, str(folder))
    except OSError as error:
        raise BundleRefused(f"the bundle cannot be read: {reason_of(error)}", where=str(folder)) from None
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, where: str) -> Contents:
    with os.scandir(descriptor) as entries:
        names = sorted(entry.name for _, entry in zip(range(MAX_FILES + 1), entries, strict=False))
    if len(names) > MAX_FILES:
        raise BundleRefused(f"more than {MAX_FILES} files", where=where)
    sizes = [os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size for name in names]
    for name, size in zip(names, sizes, strict=True):
        _cap(size, CAPS.get(name, MAX_FILE_BYTES), f"{where}/{name}")
    _cap(sum(sizes), MAX_TOTAL_BYTES, where)
    files: dict[str, bytes] = {}
    irregular: dict[str, str] = {}
    for name in names:
        reason = _irregularity(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
        if reason:
            irregular[name] = reason
        else:
            files[name] = _read_file(name, descriptor, f"{where}/{name}")
    return Contents(where, files, irregular)


def _read_file(name: str, folder: int, where: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleRefused("replaced by something that is not a file while it was read", where=where)
        limit = CAPS.get(name, MAX_FILE_BYTES)
        content = stream.read(limit + 1)
    _cap(len(content), limit, where)
    return content


def _cap(size: int, limit: int, where: str) -> None:
    if size > limit:
        raise BundleRefused(f"{size} bytes, more than {limit}", where=where)


def _irregularity(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "not a regular file"


FORMER_FORMAT = "trademl-bundle/1"


class FormerPlatt(Document):
    """The sigmoid of format 1."""

    slope: float
    intercept: float


class FormerCalibration(Document):
    """The maps of format 1, of which no device applied any."""

    event: str
    platt: FormerPlatt
    isotonic: dict[str, JsonValue]
    temperature: float | None


class FormerManifest(Signed):
    """The content of `manifest.json` in format 1."""

    format: Literal["trademl-bundle/1"]
    calibration: FormerCalibration | None = None
    blend_weight: float = Field(gt=0)
    graph: dict[str, JsonValue]
    risk_config_sha256: str | None = None


def read_bundle_manifest(content: bytes, where: str) -> BundleManifest:
    """Read the bytes of a manifest.

    Raises
    ------
    BundleRefused
        They are no manifest, or one of a format that this version does not know.
    """
    document = parse_json(content, where)
    named = document.get("format") if isinstance(document, dict) else None
    if named == FORMER_FORMAT:
        return _in_format_2(parse(content, FormerManifest, where))
    if isinstance(named, str) and named != FORMAT:
        needed = document.get("min_appliance_version")
        raise BundleRefused(
            f"its format is {clean(named)[:40]!r}, which this version does not read; it needs appliance {clean(needed)[:40]}",
            where=where,
            fix="Update the device",
        )
    return parse(content, BundleManifest, where)


def _in_format_2(former: FormerManifest) -> BundleManifest:
    """Return the same bundle as a table of features with one score, its graphs averaged evenly."""
    known = former.calibration
    platt = None if known is None else PlattMap(slope=known.platt.slope, intercept=known.platt.intercept)
    calibration = None if known is None or platt is None else AppliedCalibration(event=known.event, map=platt)
    shared = {name: getattr(former, name) for name in Signed.model_fields if name != "files"}
    return BundleManifest.model_construct(
        **shared,
        format=former.format,  # type: ignore[arg-type]  # what it was; its id is derived from that
        view=TableView(),
        heads=(HeadLine(name=SCORE, head=ScoreHead(), calibration=calibration),),
        members=tuple(MemberLine(path=file.path, profile=ProfileName.TABLE_1, heads=(SCORE,)) for file in former.of(Part.MODEL)),
        files=tuple(BundleFile.model_construct(**file.model_dump()) for file in former.files),
    )
