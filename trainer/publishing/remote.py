"""Publishes a bundle to an object store: built and verified locally, uploaded, pointer last.

The key set, the sequence and the pointers of the store are mirrored into a scratch folder, the bundle is published into
that folder by the very function that publishes to folders, and what it wrote is uploaded.

Invariants
----------
1. Nothing is uploaded that a device would refuse.
2. Devices see the bundle before or this one whole: the pointer of its role is the last write.
3. A sequence never goes back and is never used twice: the sequence, the pointers and the key set are written only in
   the place of the very ones that were read; of two publishers at once one is told to try again.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from signals.bundle import PublicKey
from signals.bundle.layout import place_of, places_of, pointer, sequence
from signals.errors import FixInput, StoreUnreachable
from signals.features.panel import FeatureSpec
from signals.files import sha256_of, write_atomic
from signals.market.sessions import Calendar
from signals.storage.s3 import Objects
from trainer.curation.store import ObjectStore
from trainer.publishing.keys import ROOT_PUBLIC, check_store_keys, keyset_bytes, load_keyset, root_public
from trainer.publishing.publish import KEYSET, Publication, PublishRequest, not_brought_over, publish, sleeve_of

Tagged = tuple[bytes, str] | None


def publish_remote(
    objects: Objects, request: PublishRequest, calendar: Calendar, sleeves: Mapping[str, FeatureSpec]
) -> tuple[Publication, str]:
    """Publish to an object store; return the publication and the place of its bundle.

    Parameters
    ----------
    request : PublishRequest
        Its `store` is not read.

    Raises
    ------
    FixInput, BundleRefused
        As `publish`; nothing was uploaded.
    StoreUnreachable
        The store could not be read or written, or somebody else published meanwhile; the pointer is as it was.
    """
    with TemporaryDirectory(prefix="publishing-") as scratch:
        mirror, sleeve = Path(scratch), sleeve_of(request.run)
        own = pointer(place_of(sleeve, request.role))
        others = [pointer(place) for place in places_of(sleeve) if pointer(place) != own]
        # What a device reads is written last: others' pointers tell of a bundle that was there before.
        heads = (KEYSET, sequence(sleeve), *others, own)
        before = {name: objects.tagged(name) for name in heads}
        for name, found in before.items():
            if found is not None:
                write_atomic(mirror / name, found[0])
        _mirror_former(objects, mirror, sleeve)
        done = publish(replace(request, store=mirror), calendar, sleeves)
        written = sorted(path.relative_to(mirror).as_posix() for path in mirror.rglob("*") if path.is_file())
        for name in written:
            if name not in heads:
                _upload(objects, name, (mirror / name).read_bytes())
        for name in heads:
            if (mirror / name).exists():
                _put_in_place(objects, name, (mirror / name).read_bytes(), before[name])
        return done, f"{objects.place}/{done.folder.relative_to(mirror).as_posix()}"


def _mirror_former(objects: Objects, mirror: Path, sleeve: str) -> None:
    """Fetch the bundles of the former layout that the publication brings over."""
    for latest in not_brought_over(mirror, sleeve):
        for name in latest.files:
            content = objects.get(latest.path(name))
            if content is None:
                raise FixInput(
                    "the store lacks a file that its pointer names", where=latest.path(name), fix="Restore it, or remove the pointer"
                )
            write_atomic(mirror / latest.path(name), content)


def deliver_keyset(store: ObjectStore, keys: Path) -> None:
    """Replace the store's key set by this folder's; raise `FixInput` where the store's is newer."""
    before = store.get(KEYSET)
    if before is not None:
        check_store_keys(before, f"the store's {KEYSET}", load_keyset(keys))
    store.replace(KEYSET, keyset_bytes(keys), before)


def deliver_root(store: ObjectStore, keys: Path) -> PublicKey:
    """Put the root's public key and the key set into a store; raise `FixInput` where the store has another root's."""
    root, before = root_public(keys), store.get(ROOT_PUBLIC)
    if before is not None and PublicKey.from_text(before.decode(errors="replace")) != root:
        raise FixInput("the store has the root key of other keys", where=ROOT_PUBLIC, fix="Name the key folder that signs for this store")
    deliver_keyset(store, keys)
    store.replace(ROOT_PUBLIC, root.text.encode() + b"\n", before)
    return root


def _upload(objects: Objects, name: str, content: bytes) -> None:
    objects.put(name, content, sha256=sha256_of(content))
    if objects.get(name) != content:
        raise StoreUnreachable("the store gave back something else than it was given", where=name, fix="Publish again")


def _put_in_place(objects: Objects, name: str, content: bytes, before: Tagged) -> None:
    if before is None or before[0] != content:
        objects.put(name, content, sha256=sha256_of(content), instead_of=None if before is None else before[1])
