"""The form that signed documents share: sequence, validity and signature of a stack's weights or a sizing policy.

One file in the store: the payload stands as a string, the very bytes that were signed, next to the signatures of the online
keys, as in a document of scores. The sequence never goes back, and what it says expires.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

from pydantic import Field

from signals.bundle.keyset import Keyset, require_signers, sealed_parts
from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS
from signals.bundle.seal import Document, canonical_json, parse, parse_json, valid_signers
from signals.errors import BundleRefused

MAX_BYTES = 64 * 1024


class ExpiringDocument(Document):
    """What every such payload says.

    Attributes
    ----------
    seq : int
        One more for each publication.
    created : datetime
        UTC; decides nothing.
    last_training_session : date
        The last session that was learned from: the age counts from there.
    """

    seq: int = Field(ge=1)
    created: datetime
    calendar: str
    last_training_session: date
    expiry_sessions: int = Field(default=DEFAULT_EXPIRY_SESSIONS, ge=1, le=DEFAULT_EXPIRY_SESSIONS)
    keyset_version: int = Field(ge=1)


Content = TypeVar("Content", bound=ExpiringDocument)


@dataclass(frozen=True)
class DocumentKind(Generic[Content]):
    """One kind: its media type, its place in a store, what it holds, what it is called, and what to do when it is too old."""

    media_type: str
    place: str
    model: type[Content]
    noun: str
    again: str
    file: str

    def seal(self, payload: Content, signatures: bytes) -> bytes:
        """Return the file: the payload as a string (the signed bytes) next to the signatures."""
        rows = parse_json(signatures, f"signatures of the {self.noun}")["signatures"]
        return canonical_json({"payload": payload.to_bytes().decode(), "signatures": rows})

    def open(self, content: bytes, keyset: Keyset, today: date, where: str) -> Content:
        """Check the bytes of the file and return what was signed.

        Raises
        ------
        BundleRefused
            Too large, unreadable, or not signed by enough keys that count today.
        """
        payload, signatures = sealed_parts(content, where, MAX_BYTES)
        signers = valid_signers(self.media_type, payload, signatures, keyset.public_keys(), where)
        require_signers(signers, keyset, today, where)
        found = parse(payload, self.model, where)
        if found.keyset_version > keyset.version:
            raise BundleRefused(f"signed under key set {found.keyset_version}, newer than {keyset.version}", where=where)
        return found
