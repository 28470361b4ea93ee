"""Ed25519 signatures over DSSE pre-authentication encoded bytes, for every signed document.

The bytes that were signed are the bytes that are stored; nothing is serialised again before it is checked. The
encoding binds the kind of document, so that a signed manifest can never be presented as a signed key set.

    PAE(kind, body) = "DSSEv1" SP len(kind) SP kind SP len(body) SP body
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from signals.errors import BundleRefused
from signals.files import sha256_of
from signals.text import strict_json
from signals.text.strict_json import BadJson
from signals.text.wording import reason_of

MANIFEST_KIND = "application/vnd.trademl.bundle+json"
KEYSET_KIND = "application/vnd.trademl.keyset+json"
GRANT_KIND = "application/vnd.trademl.rollback+json"
DATASET_KIND = "application/vnd.trademl.dataset+json"
DATA_GRANT_KIND = "application/vnd.trademl.data-rollback+json"
MAX_SIGNATURES = 16
FINGERPRINT_DIGITS = 32  # 128 bits: nobody makes a second key with them


class Document(BaseModel):
    """Base of every signed JSON document: frozen, strictly typed, refusing keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    def to_bytes(self) -> bytes:
        """Canonical JSON: UTF-8, keys sorted, no spaces, no NaN; the same value always gives the same bytes."""
        return canonical_json(self.model_dump(mode="json"))


D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes
    ----------
    raw : bytes, length 32
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise BundleRefused(f"an Ed25519 public key has 32 bytes, not {len(self.raw)}")

    @property
    def keyid(self) -> str:
        """First 16 hex digits of the SHA-256 over the algorithm's name and the raw key."""
        return sha256_of(b"ed25519:" + self.raw)[:16]

    @property
    def fingerprint(self) -> str:
        """First 32 hex digits of the same SHA-256 in groups of four, for a person to carry from one machine to another."""
        digits = sha256_of(b"ed25519:" + self.raw)[:FINGERPRINT_DIGITS]
        return "-".join(digits[at : at + 4] for at in range(0, FINGERPRINT_DIGITS, 4))

    @property
    def text(self) -> str:
        """The raw key in base64, as it is in files."""
        return base64.b64encode(self.raw).decode()

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read back `text`; raise `BundleRefused` when it is no key."""
        return cls(_decode(text.strip(), "public key"))

    def has_signed(self, kind: str, body: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `body` as a document of `kind`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, pre_auth(kind, body))
        except InvalidSignature:
            return False
        return True


def public_half(key: Ed25519PrivateKey) -> PublicKey:
    """Return the public key of a private one."""
    return PublicKey(key.public_key().public_bytes_raw())


def pre_auth(kind: str, body: bytes) -> bytes:
    """Pre-authentication encoding: what the signature is really over."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


def canonical_json(content: object) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sign(kind: str, body: bytes, keys: Iterable[Ed25519PrivateKey]) -> bytes:
    """Signature file over `body`: canonical JSON of `signatures`, one row (keyid, sig) a key, ordered by key id."""
    rows = [{"keyid": public_half(key).keyid, "sig": base64.b64encode(key.sign(pre_auth(kind, body))).decode()} for key in keys]
    return canonical_json({"signatures": sorted(rows, key=lambda row: row["keyid"])})


def valid_signers(kind: str, body: bytes, signatures: bytes, keys: Iterable[PublicKey], where: str) -> frozenset[str]:
    """Key ids among `keys` whose signature over `body` is valid; the same key counts once.

    Raises
    ------
    BundleRefused
        The signature file cannot be read, or a signature that claims one of `keys` is wrong.
    """
    known = {key.keyid: key for key in keys}
    signers = set()
    for keyid, signature in _signature_rows(signatures, where):
        if keyid not in known:
            continue  # signed by a key that this device does not know yet, or no longer trusts
        if not known[keyid].has_signed(kind, body, signature):
            raise BundleRefused(f"the signature of key {keyid} is wrong", where=where, fix="Fetch the bundle again")
        signers.add(keyid)
    return frozenset(signers)


def parse(content: bytes, model: type[D], where: str) -> D:
    """Read a canonical document strictly: unknown or repeated keys, NaN and wrong types are refused."""
    parse_json(content, where)  # pydantic keeps the last of two equal keys; a reader must never choose
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise BundleRefused(f"{place}: {reason}" if place else reason, where=where) from None


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON without repeated keys, NaN or Infinity; whatever is wrong becomes `BundleRefused`."""
    try:
        return strict_json.loads(content, decimals=float)
    except BadJson as error:
        raise BundleRefused(f"not a JSON document: {reason_of(error)}", where=where) from None


def _signature_rows(content: bytes, where: str) -> list[tuple[str, bytes]]:
    document = parse_json(content, where)
    rows = document.get("signatures") if isinstance(document, Mapping) else None
    if not isinstance(rows, list) or not rows:
        raise BundleRefused("unsigned", where=where, fix="Only signed bundles are accepted")
    if len(rows) > MAX_SIGNATURES:
        raise BundleRefused(f"{len(rows)} signatures, more than {MAX_SIGNATURES}", where=where)
    pairs = []
    for row in rows:
        if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in ("keyid", "sig")):
            raise BundleRefused("a signature has a keyid and a sig", where=where)
        pairs.append((str(row["keyid"]), _decode(row["sig"], "signature")))
    return pairs


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BundleRefused(f"the {what} is not base64", where=text[:40]) from None
