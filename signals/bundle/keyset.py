"""The key set: which online keys may sign which documents, signed by the offline root key; rollback grants; signed datasets.

Two roles: the keys of the key set itself sign bundles and scores, those of its part `data` sign published datasets.
No key has both, so that a key which publishes every night, unattended, can never put a model in force.

A device is given the root's public key once, when it is initialised. Everything else about keys arrives in
`keyset.json`, so that online keys are added, retired and revoked without touching a device.

Invariants
----------
1. A key set is used only after a trusted root signed exactly its stored payload.
2. Its version never goes back (`appliance.bundles.store` keeps the newest).
3. A revoked key, or one past its `valid_until`, never counts towards the threshold.
4. Format 1, without data keys, is still read; no dataset is believed under it.

A rollback grant is signed by the offline root, names one older bundle or dataset, and holds only while the device's
high-water is the one it was written for: once a newer one has been activated the grant is spent. The high-water itself
never goes down.

The signature of a published dataset is made over the exact bytes of its manifest (`seal_dataset` on the trainer,
`open_dataset` on a device). It is next to the manifest under a name made of those bytes, `signatures/<sha256>.sig`, and
is written first: whoever reads a manifest finds its signature, whatever is published in between. Only published datasets
are signed; folders to train on, and sessions that a device completes itself, are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, model_validator

from signals.bundle.seal import (
    DATA_GRANT_KIND,
    DATASET_KIND,
    GRANT_KIND,
    KEYSET_KIND,
    Document,
    PublicKey,
    canonical_json,
    parse,
    parse_json,
    sign,
    valid_signers,
)
from signals.errors import BadDataset, BundleRefused
from signals.files import sha256_of
from signals.market.manifest import Manifest

MAX_KEYSET_BYTES = 64 * 1024


class SigningKey(Document):
    """One online key.

    Attributes
    ----------
    public : str
        Raw Ed25519 public key, base64.
    valid_until : date
        Last session on which a signature of this key is accepted.
    revoked : bool
        Known or feared to be in other hands: nothing it signed is accepted, whenever it was signed.
    """

    keyid: str
    public: str
    valid_until: date
    revoked: bool = False

    def key(self) -> PublicKey:
        """Return the public key; raise `BundleRefused` when the id is not its own."""
        key = PublicKey.from_text(self.public)
        if key.keyid != self.keyid:
            raise BundleRefused(f"key id {self.keyid} does not belong to its key", where="keyset.json")
        return key


class DataKeys(Document):
    """Who may sign published datasets.

    Attributes
    ----------
    threshold : int
        Distinct valid keys that must have signed a dataset's manifest.
    """

    threshold: int = Field(ge=1)
    keys: tuple[SigningKey, ...] = Field(min_length=1, max_length=16)

    def public_keys(self) -> tuple[PublicKey, ...]:
        """Every key that it names, usable or not."""
        return tuple(key.key() for key in self.keys)

    def usable(self, today: date) -> frozenset[str]:
        """Key ids whose signatures count on the session `today`."""
        return frozenset(key.keyid for key in self.keys if not key.revoked and today <= key.valid_until)


class Keyset(DataKeys):
    """The payload of `keyset.json`; its own threshold and keys are for bundles and scores.

    Attributes
    ----------
    version : int
        Increases with every change.
    threshold : int
        Distinct valid keys that must have signed a manifest.
    valid_until : date
        Last session on which anything is accepted under this key set.
    data : DataKeys or None
        None in format 1 only.
    """

    format: Literal["trademl-keyset/1", "trademl-keyset/2"] = "trademl-keyset/2"
    version: int = Field(ge=1)
    valid_until: date
    data: DataKeys | None = None

    @model_validator(mode="after")
    def _is_of_its_format(self) -> Keyset:
        if (self.data is None) != (self.format == "trademl-keyset/1"):
            raise ValueError("format 2 names the data keys, format 1 does not")
        if len({key.keyid for key in self.all_keys}) != len(self.all_keys):
            raise ValueError("a key occurs twice")
        return self

    @property
    def all_keys(self) -> tuple[SigningKey, ...]:
        """The keys of both roles."""
        return (*self.keys, *(self.data.keys if self.data else ()))

    def to_bytes(self) -> bytes:
        """Canonical JSON; of format 1 as it always was."""
        return canonical_json(self.model_dump(mode="json", exclude={"data"} if self.data is None else None))


def seal_keyset(payload: Keyset, signatures: bytes) -> bytes:
    """Return the file `keyset.json`: the payload as a string (the signed bytes) next to the root's signatures."""
    rows = parse_json(signatures, "keyset signatures")["signatures"]
    return canonical_json({"payload": payload.to_bytes().decode(), "signatures": rows})


def read_keyset(content: bytes, roots: Iterable[PublicKey], *, minimum_version: int = 0) -> Keyset:
    """Check the bytes of `keyset.json` and return the key set.

    Parameters
    ----------
    roots : iterable of PublicKey
        Root keys that this machine trusts; one signature of theirs is enough.
    minimum_version : int
        The newest version seen so far.

    Raises
    ------
    BundleRefused
        Too large, unreadable, not signed by a trusted root, or older than the newest one seen.
    """
    payload = open_sealed(content, KEYSET_KIND, roots, "keyset.json", MAX_KEYSET_BYTES)
    keyset = parse(payload, Keyset, "keyset.json")
    for key in keyset.all_keys:
        key.key()
    if keyset.version < minimum_version:
        raise BundleRefused(
            f"key set version {keyset.version} is older than {minimum_version}, which this device has seen",
            where="keyset.json",
            fix="Publish the newest key set",
        )
    return keyset


def open_sealed(content: bytes, kind: str, roots: Iterable[PublicKey], where: str, limit: int) -> bytes:
    """Return the payload bytes of a single-file signed document after checking a root's signature over them."""
    payload, signatures = sealed_parts(content, where, limit)
    if not valid_signers(kind, payload, signatures, roots, where):
        raise BundleRefused(
            "not signed by a root key that this device trusts",
            where=where,
            fix="Compare the root key with the one the device was initialised with",
        )
    return payload


def sealed_parts(content: bytes, where: str, limit: int) -> tuple[bytes, bytes]:
    """Return payload and signature bytes of a single-file signed document; nothing of it is verified yet."""
    if len(content) > limit:
        raise BundleRefused(f"{len(content)} bytes, more than {limit}", where=where)
    document = parse_json(content, where)
    if not isinstance(document, dict) or set(document) != {"payload", "signatures"}:
        raise BundleRefused("a signed document has a payload and signatures", where=where)
    if not isinstance(document["payload"], str):
        raise BundleRefused("the payload is a string: the signed bytes", where=where)
    return document["payload"].encode(), canonical_json({"signatures": document["signatures"]})


def require_signers(signers: frozenset[str], keyset: Keyset, today: date, where: str, *, of: DataKeys | None = None) -> frozenset[str]:
    """Return the signers that count today; raise `BundleRefused` when they are fewer than the key set asks for.

    `of` is the role in question, where it is not that of bundles.
    """
    role = of or keyset
    if today > keyset.valid_until:
        raise BundleRefused(f"the key set expired on {keyset.valid_until}", where=where, fix="Publish a new key set")
    counted = signers & role.usable(today)
    if len(counted) < role.threshold:
        lost = ", ".join(sorted(signers - counted))
        why = f"; revoked or expired: {lost}" if lost else ""
        raise BundleRefused(f"signed by {len(counted)} trusted keys, {role.threshold} are needed{why}", where=where)
    return counted


MAX_GRANT_BYTES = 16 * 1024


class RollbackGrant(Document):
    """Permission to put the older `bundle_id` in force.

    Attributes
    ----------
    bundle_id, seq : str, int
        The older bundle.
    high_water_seq : int
        The device's high-water for which it was written; any other device state refuses it.
    valid_until : date
        Last session on which it may be used; the bundle then stays in force until a newer one is activated.
    reason : str
        For the record.
    """

    format: Literal["trademl-rollback/1"] = "trademl-rollback/1"
    bundle_id: str
    seq: int = Field(ge=1)
    high_water_seq: int = Field(ge=1)
    valid_until: date
    reason: str = Field(min_length=1)

    def allows(self, bundle_id: str, seq: int, high_water_seq: int, today: date) -> bool:
        """Whether it is for exactly this bundle, this device state and this session."""
        same = (self.bundle_id, self.seq, self.high_water_seq) == (bundle_id, seq, high_water_seq)
        return same and today <= self.valid_until


class DataGrant(Document):
    """Permission for devices to go on from an older version of a dataset than one that they have seen.

    Attributes
    ----------
    name : str
        Of the dataset.
    version : int
        Oldest version that is accepted from then on.
    high_water : int
        Newest version that the device has seen, for which it was written; any other device state refuses it.
    valid_until : date
        Last session on which it may be used.
    reason : str
        For the record.
    """

    format: Literal["trademl-data-rollback/1"] = "trademl-data-rollback/1"
    name: str = Field(min_length=1)
    version: int = Field(ge=1)
    high_water: int = Field(ge=1)
    valid_until: date
    reason: str = Field(min_length=1)


def seal_grant(grant: RollbackGrant | DataGrant, signatures: bytes) -> bytes:
    """Return the grant's file: the payload as a string (the signed bytes) next to the root's signatures."""
    rows = parse_json(signatures, "grant signatures")["signatures"]
    return canonical_json({"payload": grant.to_bytes().decode(), "signatures": rows})


def read_grant(content: bytes, roots: Iterable[PublicKey]) -> RollbackGrant:
    """Check the bytes of a grant against the trusted roots; raise `BundleRefused`."""
    grant = parse(open_sealed(content, GRANT_KIND, roots, "rollback grant", MAX_GRANT_BYTES), RollbackGrant, "grant")
    if grant.seq >= grant.high_water_seq:
        raise BundleRefused("a rollback grant names an older bundle", where=f"seq {grant.seq}")
    return grant


def read_data_grant(content: bytes, roots: Iterable[PublicKey]) -> DataGrant:
    """Check the bytes of a dataset's grant against the trusted roots; raise `BundleRefused`."""
    payload = open_sealed(content, DATA_GRANT_KIND, roots, "data grant", MAX_GRANT_BYTES)
    grant = parse(payload, DataGrant, "data grant")
    if grant.version > grant.high_water:
        raise BundleRefused("a data grant names an older version", where=f"version {grant.version}")
    return grant


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
