"""The layout of a store: paths of bundles and `latest.json` pointers.

    <sleeve>/<role>/<seq>-<bundle id>/     a bundle
    <sleeve>/<role>/latest.json            the newest of its role, written last
    <sleeve>/sequence.json                 the newest sequence that any role of the sleeve has used

The roles of a sleeve share one sequence, because a device that changes from one to the other has one high-water. The
layout of before (`bundles/`, `risk/bundles/`, `shadow/bundles/`) is still read where a store has no pointer of the new
one, and written next to it, for devices of before: the pointer there names the champion where there is one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from signals.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, BundleManifest, Role
from signals.bundle.seal import canonical_json, parse_json
from signals.errors import BundleRefused
from signals.sleeves.risk import RISK

LATEST, SEQUENCE = "latest.json", "sequence.json"
LATEST_FORMAT, SEQUENCE_FORMAT = "trademl-latest/1", "trademl-sequence/1"
FORMER = "bundles"
TRADED = (Role.CHAMPION, Role.EVALUATION)
MOST_FILES = 64
MAX_LATEST_BYTES = 64 * 1024
FOLDER_NAME = re.compile(r"([0-9]{1,18})-[0-9a-f]{16}", re.ASCII)
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)

Find = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Latest:
    """The bundle that a pointer names: its place, its folder and its files."""

    place: str
    folder: str
    files: tuple[str, ...]

    @property
    def seq(self) -> int:
        """Sequence in the folder's name."""
        return int(self.folder.partition("-")[0])

    def path(self, name: str) -> str:
        """Return the name in the store of one of its files."""
        return f"{self.place}/{self.folder}/{name}"

    def to_bytes(self, bundle_id: str, sha256: str) -> bytes:
        """Return the pointer's content; `sha256` is that of the manifest."""
        return canonical_json(
            {
                "format": LATEST_FORMAT,
                "seq": self.seq,
                "bundle_id": bundle_id,
                "folder": self.folder,
                "sha256": sha256,
                "files": list(self.files),
            }
        )


def place_of(sleeve: str, role: Role) -> str:
    """Folder of the store for the bundles of a sleeve in one role."""
    return f"{sleeve}/{role}"


def former_place(sleeve: str, role: Role) -> str:
    """Folder of the store in which releases of before look for such bundles."""
    above = role.value if role is Role.SHADOW else sleeve if sleeve == RISK.name else ""
    return f"{above}/{FORMER}".removeprefix("/")


def pointer(place: str) -> str:
    """Return the name of the pointer that is in a place."""
    return f"{place}/{LATEST}"


def sequence(sleeve: str) -> str:
    """Return the name of the file that holds a sleeve's newest sequence."""
    return f"{sleeve}/{SEQUENCE}"


def places_of(sleeve: str) -> tuple[str, ...]:
    """Every place in which bundles of a sleeve may lie, the former ones last."""
    former = dict.fromkeys(former_place(sleeve, role) for role in Role)
    return (*(place_of(sleeve, role) for role in Role), *former)


def find_latest(find: Find, sleeves: Sequence[str], roles: Sequence[Role], *, former: bool = True) -> Latest | None:
    """Return what the first pointer of these sleeves and roles names, in their order; None where there is none.

    The former layout is looked at where no sleeve has a pointer of the new one in any of these roles, unless `former` is
    False: it has one place for all sleeves that are traded, and who trades several cannot know whose it is.

    Raises
    ------
    BundleRefused
        The pointer cannot be read. No other takes its place.
    """
    for place in _places(sleeves, roles) if former else (place_of(sleeve, role) for sleeve in sleeves for role in roles):
        if (content := find(pointer(place))) is not None:
            return read_latest(content, place)
    return None


def read_latest(content: bytes, place: str) -> Latest:
    """Return what a pointer names; nothing else of it is used. Raise `BundleRefused` where it is none."""
    where = pointer(place)
    if len(content) > MAX_LATEST_BYTES:
        raise _not_a_pointer(f"{len(content)} bytes, more than {MAX_LATEST_BYTES}", where)
    document = parse_json(content, where)
    found = document if isinstance(document, dict) else {}
    folder, files = found.get("folder"), found.get("files")
    if not isinstance(folder, str) or not FOLDER_NAME.fullmatch(folder):
        raise _not_a_pointer("it names no folder of a bundle", where)
    if not isinstance(files, list) or not files or len(files) > MOST_FILES:
        raise _not_a_pointer(f"it names no list of 1 to {MOST_FILES} files", where)
    if not all(isinstance(name, str) and FILE_NAME.fullmatch(name) for name in files):
        raise _not_a_pointer("it names something that is no file of a bundle", where)
    return Latest(place, folder, tuple(files))


def latest_of(manifest: BundleManifest, place: str) -> Latest:
    """Return the pointer to a bundle that is in `place`."""
    files = sorted([MANIFEST_NAME, SIGNATURE_NAME, *(file.path for file in manifest.files)])
    return Latest(place, f"{manifest.seq}-{manifest.bundle_id}", tuple(files))


def sequence_bytes(seq: int) -> bytes:
    """Return the content of `sequence.json`."""
    return canonical_json({"format": SEQUENCE_FORMAT, "seq": seq})


def read_sequence(content: bytes, where: str) -> int:
    """Return the sequence that it holds; raise `BundleRefused` where it holds none."""
    document = parse_json(content, where)
    found = document.get("seq") if isinstance(document, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise BundleRefused("it holds no sequence", where=where, fix="Restore it from a backup")
    return found


def _places(sleeves: Sequence[str], roles: Sequence[Role]) -> Iterator[str]:
    yield from (place_of(sleeve, role) for sleeve in sleeves for role in roles)
    yield from dict.fromkeys(former_place(sleeve, role) for sleeve in sleeves for role in roles)


def _not_a_pointer(why: str, where: str) -> BundleRefused:
    return BundleRefused(f"latest.json cannot be read: {why}", where=where, fix="Publish the bundle again")
