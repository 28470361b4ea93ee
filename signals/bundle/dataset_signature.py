"""The signature of a published dataset, made over the exact bytes of its manifest.

It is next to the manifest under a name made of those bytes, `signatures/<sha256>.sig`, and is written first: whoever
reads a manifest finds its signature, whatever is published in between. Only published datasets are signed; folders to
train on, and sessions that a device completes itself, are not.

Entry points: `seal_dataset` on the trainer, `open_dataset` on a device.
"""

from collections.abc import Iterable
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signals.bundle.keyset import Keyset, require_signers
from signals.bundle.seal import DATASET_KIND, sign, valid_signers
from signals.errors import BadDataset, BundleRefused
from signals.files import sha256_of
from signals.market.manifest import Manifest

MAX_SIGNATURE_BYTES = 16 * 1024
MAX_MANIFEST_BYTES = 64 * 1024 * 1024


def signature_name(manifest: bytes) -> str:
    """Name of the signature of these bytes, in the dataset's store."""
    return f"signatures/{sha256_of(manifest)}.sig"


def seal_dataset(manifest: bytes, keys: Iterable[Ed25519PrivateKey]) -> bytes:
    """Return the signature file over a manifest's bytes."""
    return sign(DATASET_KIND, manifest, keys)


def open_dataset(manifest: bytes, signature: bytes | None, keyset: Keyset, today: date, where: str) -> Manifest:
    """Check the signature over a manifest's bytes, and only then read them.

    Raises
    ------
    BadDataset
        Unsigned, or not signed by enough data keys that count today; or no manifest.
    """
    place = f"manifest.json of {where}"
    if keyset.data is None:
        raise BadDataset(
            "the key set names no data keys, so no dataset can be believed",
            where=place,
            fix="Run `trainer rotate-keys --add-data --keys DIR --to STORE` on the trainer",
        )
    if signature is None:
        raise BadDataset(
            "the published dataset is unsigned", where=place, fix=f"Run `trainer sign-data --keys DIR --at {where}` on the trainer"
        )
    try:
        for content, limit in ((signature, MAX_SIGNATURE_BYTES), (manifest, MAX_MANIFEST_BYTES)):
            if len(content) > limit:
                raise BundleRefused(f"{len(content)} bytes, more than {limit}")
        signers = valid_signers(DATASET_KIND, manifest, signature, keyset.data.public_keys(), place)
        require_signers(signers, keyset, today, place, of=keyset.data)
    except BundleRefused as error:
        raise BadDataset(
            f"the published dataset is refused: {error.what}",
            where=place,
            fix="Publish it again with `trainer publish-data --keys DIR`, and find out who else writes there",
        ) from None
    return Manifest.from_bytes(manifest, where=place)
