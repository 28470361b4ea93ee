"""The signed documents that a device obeys until they expire, their common form first: a sizing policy, a stack's weights.

One file in the store: the payload stands as a string, the very bytes that were signed, next to the signatures of the online
keys, as in a document of scores. The sequence never goes back, and what it says expires.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from signals.bundle.keyset import Keyset, require_signers, sealed_parts
from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS, HEX_64
from signals.bundle.seal import Document, canonical_json, parse, parse_json, valid_signers
from signals.errors import BundleRefused
from signals.scoring.sleeve_weights import SleeveName, Weight

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


Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Row = tuple[Number, ...]


class SizingDocument(ExpiringDocument):
    """The payload.

    Attributes
    ----------
    sleeve : str
        On whose book it was judged: a device that does not trade it refuses it.
    grid : tuple of float
        Multipliers that the policy may choose: in [0, 1], ascending.
    names, centre, scale : tuple
        One a number of the state.
    coefficients : tuple
        By level before, level after, and [1, *state].
    gain, bound, margin, sessions : float, int
        Of the replay that it was accepted by, of equity a year; a bound that is not above the margin is no policy.
    verdict_sha256 : str
        Of the policy's own document, with its verdicts.
    """

    format: Literal["trademl-sizing/1"] = "trademl-sizing/1"
    sleeve: SleeveName
    grid: Row = Field(min_length=2, max_length=16)
    names: tuple[str, ...] = Field(min_length=1, max_length=64)
    centre: Row
    scale: tuple[Annotated[float, Field(gt=0, le=1e6)], ...]
    coefficients: tuple[tuple[Row, ...], ...]
    gain: float
    bound: float
    margin: float = Field(ge=0)
    sessions: int = Field(ge=1)
    verdict_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        levels, width = len(self.grid), len(self.names)
        if list(self.grid) != sorted(set(self.grid)) or self.grid[0] < 0.0 or self.grid[-1] > 1.0:
            raise ValueError("the grid is not ascending inside [0, 1]")
        if len(self.centre) != width or len(self.scale) != width:
            raise ValueError("centre and scale are not one number a number of the state")
        if len(set(self.names)) != width:
            raise ValueError("a number of the state is there twice")
        if len(self.coefficients) != levels or any(len(after) != levels for after in self.coefficients):
            raise ValueError("the coefficients are not by level before and after")
        if any(len(row) != width + 1 for after in self.coefficients for row in after):
            raise ValueError("a row of coefficients has another length than the state")
        if not self.bound > self.margin:
            raise ValueError(f"the policy was not accepted: its bound {self.bound} is not above {self.margin}")
        return self


SIZING_DOCUMENT = DocumentKind(
    "application/vnd.trademl.sizing+json",
    "sizing/latest.json",
    SizingDocument,
    "sizing policy",
    "Learn the policy again and publish it",
    "policy.json",
)


STACK_KIND = "application/vnd.trademl.stack+json"
PLACE = "stack/latest.json"


class StackWeights(ExpiringDocument):
    """The payload.

    Attributes
    ----------
    weights : mapping of sleeve to float
        As a device counts sleeves: each is multiplied by the shrunk IC that its bundle states.
    members : mapping of sleeve to str
        Hash of the training configuration that the stack learned from.
    stack_sha256 : str
        Of the stack's own document, with its verdict.
    """

    format: Literal["trademl-stack-weights/1"] = "trademl-stack-weights/1"
    weights: dict[SleeveName, Weight] = Field(min_length=1, max_length=64)
    members: dict[SleeveName, str] = Field(max_length=64)
    stack_sha256: str = Field(pattern=HEX_64)


STACK_DOCUMENT = DocumentKind(STACK_KIND, PLACE, StackWeights, "stack", "Stack again and publish it", "weights.json")
