"""The signed weights of a stack, by which a device counts its sleeves in place of those in its settings.

One file in the store, `stack/latest.json`: the payload stands as a string, the very bytes that were signed, next to the
signatures of the online keys, as in a document of scores. The sequence never goes back, and the weights expire.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from signals.bundle.keyset import Keyset, require_signers, sealed_parts
from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS, HEX_64
from signals.bundle.seal import Document, canonical_json, parse, parse_json, valid_signers
from signals.errors import BundleRefused
from signals.scoring.sleeve_weights import SleeveName, Weight

STACK_KIND = "application/vnd.trademl.stack+json"
PLACE = "stack/latest.json"
MAX_BYTES = 64 * 1024


class StackWeights(Document):
    """The payload.

    Attributes
    ----------
    seq : int
        One more for each publication.
    created : datetime
        UTC; decides nothing.
    last_training_session : date
        The last session that the stack learned from: its age counts from there.
    weights : mapping of sleeve to float
        As a device counts sleeves: each is multiplied by the shrunk IC that its bundle states.
    members : mapping of sleeve to str
        Hash of the training configuration that the stack learned from.
    stack_sha256 : str
        Of the stack's own document, with its verdict.
    """

    format: Literal["trademl-stack-weights/1"] = "trademl-stack-weights/1"
    seq: int = Field(ge=1)
    created: datetime
    calendar: str
    last_training_session: date
    expiry_sessions: int = Field(default=DEFAULT_EXPIRY_SESSIONS, ge=1, le=DEFAULT_EXPIRY_SESSIONS)
    weights: dict[SleeveName, Weight] = Field(min_length=1, max_length=64)
    members: dict[SleeveName, str] = Field(max_length=64)
    stack_sha256: str = Field(pattern=HEX_64)
    keyset_version: int = Field(ge=1)


def seal_stack(payload: StackWeights, signatures: bytes) -> bytes:
    """Return the file: the payload as a string (the signed bytes) next to the signatures."""
    rows = parse_json(signatures, "signatures of the stack")["signatures"]
    return canonical_json({"payload": payload.to_bytes().decode(), "signatures": rows})


def open_stack(content: bytes, keyset: Keyset, today: date, where: str) -> StackWeights:
    """Check the bytes of the file and return what was signed.

    Raises
    ------
    BundleRefused
        Too large, unreadable, or not signed by enough keys that count today.
    """
    payload, signatures = sealed_parts(content, where, MAX_BYTES)
    signers = valid_signers(STACK_KIND, payload, signatures, keyset.public_keys(), where)
    require_signers(signers, keyset, today, where)
    found = parse(payload, StackWeights, where)
    if found.keyset_version > keyset.version:
        raise BundleRefused(f"signed under key set {found.keyset_version}, newer than {keyset.version}", where=where)
    return found
