"""The key set: which online keys may sign which documents, the thresholds and expiry, signed by the offline root key.

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
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from signals.bundle.seal import KEYSET_KIND, Document, PublicKey, canonical_json, parse, parse_json, valid_signers
from signals.errors import BundleRefused

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
