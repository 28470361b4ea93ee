"""Identity of the device's data: the published dataset's hash, and the hashes of sessions completed after it.

Entry points: `DataSnapshot` (of the market store), `parts_of` (back from its document).

Invariants
----------
1. Without completed sessions the id is the SHA-256 of the dataset's manifest, as it is on the trainer.
2. With completed sessions it is the SHA-256 of a document that names the manifest and the record of every completed
   session, oldest first: one changed row, session or manifest is another id.
3. The same sessions give the same document, to the byte.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.manifest import PriceBasis
from signals.text.wording import reason_of

FORMAT = 1


@dataclass(frozen=True)
class CompletedSession:
    """One session that is not published yet, and the SHA-256 of its vendor record."""

    session: date
    sha256: str


@dataclass(frozen=True)
class DataSnapshot:
    """Identity of the market store's content up to some session.

    Attributes
    ----------
    manifest_id : str
        SHA-256 of the dataset's manifest at the last pull.
    through : date
        Newest session that was public at the last pull.
    completed : tuple of CompletedSession
        Sessions after `through`, oldest first.
    """

    manifest_id: str
    name: str
    version: int
    basis: PriceBasis
    survivorship: str
    through: date
    completed: tuple[CompletedSession, ...] = ()

    @property
    def id(self) -> str:
        """The id that an order's provenance names."""
        return sha256_of(self.to_bytes()) if self.completed else self.manifest_id

    def to_bytes(self) -> bytes:
        """The document whose SHA-256 is the id of a snapshot with completed sessions."""
        parts = [{"session": part.session.isoformat(), "sha256": part.sha256} for part in self.completed]
        return document({"format": FORMAT, "manifest": self.manifest_id, "completed": parts})


def document(row: dict[str, object]) -> bytes:
    """Write one canonical JSON document: sorted keys, no spaces, no number that JSON does not have."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parts_of(content: bytes) -> tuple[str, Sequence[CompletedSession]]:
    """Read back what `DataSnapshot.to_bytes` wrote: the manifest's id, and the completed sessions.

    Raises
    ------
    FixInput
        It is no such document.
    """
    try:
        row = json.loads(content)
        if row["format"] != FORMAT:
            raise FixInput(f"the record of a snapshot has the format {row['format']!r}, not {FORMAT}")
        parts = [CompletedSession(date.fromisoformat(p["session"]), str(p["sha256"])) for p in row["completed"]]
        return str(row["manifest"]), parts
    except (ValueError, KeyError, TypeError) as error:
        raise FixInput("the record of a snapshot cannot be read", where=reason_of(error)) from None
