"""Finds an older bundle in a store and issues the rollback grant for it."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from signals.bundle import BundleManifest, Part, Role, RollbackGrant, read_bundle_manifest
from signals.bundle.layout import FORMER, former_place, place_of, pointer, read_latest
from signals.bundle.manifest import MANIFEST_NAME
from signals.errors import BundleRefused, FixInput


def grant(bundle: str, high_water: int, valid_until: date, reason: str) -> RollbackGrant:
    """Return permission for devices at `high_water` to return to `bundle`, a folder's name <seq>-<bundle id>.

    Raises
    ------
    FixInput
        The name is none, or the bundle is not older.
    """
    seq, _, bundle_id = bundle.partition("-")
    if not seq.isdigit() or not bundle_id:
        raise FixInput(f"{bundle!r} is not <seq>-<bundle id>", where="--bundle", fix="Copy the folder's name")
    if int(seq) >= high_water:
        raise FixInput(f"bundle {seq} is not older than {high_water}", where="--bundle", fix="Name an older bundle")
    return RollbackGrant(bundle_id=bundle_id, seq=int(seq), high_water_seq=high_water, valid_until=valid_until, reason=reason)


def grant_of(store: Path, model_sha256: tuple[str, ...], valid_until: date, reason: str) -> RollbackGrant:
    """Return permission for devices at the store's newest bundle to return to the champion of these models.

    Raises
    ------
    FixInput
        The store holds no such champion, or it is the newest bundle.
    """
    wanted = sorted(model_sha256)
    found = [manifest for manifest in _champions(store) if sorted(f.sha256 for f in manifest.of(Part.MODEL)) == wanted]
    if not found:
        raise FixInput(
            "the store holds no champion bundle of that version", where=str(store), fix="Name the store that it was published to"
        )
    newest = max(found, key=lambda manifest: manifest.seq)
    return grant(f"{newest.seq}-{newest.bundle_id}", _taken(store, newest.sleeve), valid_until, reason)


def _taken(store: Path, sleeve: str) -> int:
    """Sequence of the champion that devices take now; what other roles have used since is nothing to them."""
    places = (place_of(sleeve, Role.CHAMPION), former_place(sleeve, Role.CHAMPION))
    heads = [(place, store / pointer(place)) for place in places]
    return max((read_latest(head.read_bytes(), place).seq for place, head in heads if head.exists()), default=0)


def _champions(store: Path) -> Iterator[BundleManifest]:
    below = (f"*/{Role.CHAMPION}", FORMER, f"*/{FORMER}")
    for path in sorted(path for place in below for path in store.glob(f"{place}/[0-9]*-*/{MANIFEST_NAME}")):
        try:
            manifest = read_bundle_manifest(path.read_bytes(), str(path))
        except BundleRefused:
            raise FixInput("a bundle's manifest cannot be read", where=str(path), fix="Restore the store") from None
        if manifest.role is Role.CHAMPION:
            yield manifest
