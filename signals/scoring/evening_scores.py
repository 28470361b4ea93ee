"""Signed score documents computed on the trainer and delivered to devices, one per sleeve and session.

The payload stands as a string, the very bytes that were signed, next to the signatures of the online keys; the key set
and its threshold decide, exactly as for a bundle. The document binds everything that the scores depend on: session,
sleeve, feature spec, bundle, data snapshot and the revision of this evening.

Entry points: `seal_scores` on the trainer; `open_scores`, `require_match` and `require_news` on the device.

Invariants
----------
1. Nothing in the document is believed before enough trusted keys are known to have signed its stored bytes.
2. Scores are the scorer's float64 to the bit: canonical JSON writes the shortest text that reads back as the same.
3. A document serves one session, one bundle and one snapshot; for any other it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from signals.bundle.keyset import Keyset, require_signers, sealed_parts
from signals.bundle.manifest import HEX_64
from signals.bundle.seal import Document, canonical_json, parse, parse_json, valid_signers
from signals.errors import BundleRefused, ScoresRefused
from signals.scoring.scores import Scores

SCORES_KIND = "application/vnd.trademl.scores+json"
FOLDER = "scores"
MAX_SCORES_BYTES = 4 * 1024 * 1024
MAX_NAMES = 20_000


Signed = TypeVar("Signed", bound=Document)


class EveningScores(Document):
    """The payload.

    Attributes
    ----------
    asof, sleeve : date, str
    revision : int
        1 for the first document of an evening, one more for each that replaces it.
    created : datetime
        UTC; decides nothing.
    spec_hash : str
        Of the ordered features that were scored.
    snapshot_id : str
        SHA-256 of the manifest of the dataset that was scored.
    bundle_sha256, bundle_seq : str, int
        The bundle that scored.
    symbols : tuple of str, sorted
    scores : tuple of float
        Of the symbols.
    """

    format: Literal["trademl-scores/1"] = "trademl-scores/1"
    asof: date
    sleeve: str
    revision: int = Field(ge=1)
    created: datetime
    calendar: str
    spec_hash: str = Field(pattern=HEX_64)
    snapshot_id: str = Field(pattern=HEX_64)
    bundle_sha256: str = Field(pattern=HEX_64)
    bundle_seq: int = Field(ge=1)
    keyset_version: int = Field(ge=1)
    symbols: tuple[str, ...] = Field(min_length=1, max_length=MAX_NAMES)
    scores: tuple[float, ...]

    @model_validator(mode="after")
    def _is_one_panel(self) -> EveningScores:
        if len(self.scores) != len(self.symbols):
            raise ValueError(f"{len(self.symbols)} symbols but {len(self.scores)} scores")
        if list(self.symbols) != sorted(set(self.symbols)):
            raise ValueError("symbols are sorted and distinct")
        return self

    def scored(self) -> Scores:
        """The scores as the device's own scoring would have given them."""
        return Scores(self.asof, self.sleeve, self.symbols, np.array(self.scores, dtype=np.float64), self.bundle_sha256)


@dataclass(frozen=True)
class ExpectedScores:
    """Fields that the document of scores must match."""

    asof: date
    sleeve: str
    calendar: str
    spec_hash: str
    snapshot_id: str
    bundle_sha256: str


@dataclass(frozen=True)
class NewestDocument:
    """The newest document accepted under a name: its session, revision, and the SHA-256 of its bytes."""

    asof: date
    revision: int
    sha256: str


def scores_name(given: str, asof: date) -> str:
    """Name of the document in its store: `scores/equities_2024-03-11.json` for the sleeve `equities_xs`.

    What is scored next to a traded bundle is handed over under the name of its slot, `risk` or `equities_xs-shadow`.
    """
    return f"{FOLDER}/{given.removesuffix('_xs')}_{asof}.json"


def seal_scores(payload: Document, signatures: bytes) -> bytes:
    """Return the file: the payload as a string (the signed bytes) next to the signatures."""
    rows = parse_json(signatures, "signatures of the scores")["signatures"]
    return canonical_json({"payload": payload.to_bytes().decode(), "signatures": rows})


def open_scores(content: bytes, keyset: Keyset, today: date, where: str) -> EveningScores:
    """Check the bytes of a document and return what was signed.

    Raises
    ------
    ScoresRefused
        Too large, unreadable, or not signed by enough keys that count today.
    """
    return open_signed(content, SCORES_KIND, EveningScores, keyset, today, where)


def open_signed(content: bytes, kind: str, model: type[Signed], keyset: Keyset, today: date, where: str) -> Signed:
    """Check the bytes of an evening's document of a kind and return what was signed; raises as `open_scores`."""
    try:
        payload, signatures = sealed_parts(content, where, MAX_SCORES_BYTES)
        signers = valid_signers(kind, payload, signatures, keyset.public_keys(), where)
        require_signers(signers, keyset, today, where)
        found = parse(payload, model, where)
    except BundleRefused as error:
        raise ScoresRefused(error.what, where=error.where or where, fix="Deliver them again") from None
    version: int = getattr(found, "keyset_version", 0)
    if version > keyset.version:
        raise ScoresRefused(
            f"signed under key set {version}, newer than {keyset.version}", where=where, fix="Deliver the newest key set to the store"
        )
    return found


def require_match(found: EveningScores, wanted: ExpectedScores, where: str) -> None:
    """Raise `ScoresRefused` naming the first thing that is not what the device asks for."""
    if found.asof != wanted.asof:
        age = "older than" if found.asof < wanted.asof else "later than"
        raise ScoresRefused(f"scores of {found.asof}, {age} {wanted.asof}", where=where, fix="Deliver this evening's")
    for field, fix in (
        ("sleeve", "Deliver the scores of the sleeve that the device trades"),
        ("calendar", "Score on the device's calendar"),
        ("spec_hash", "Score with the bundle that is in force"),
        ("bundle_sha256", "Score with the bundle that is in force, or publish the one that scored"),
        ("snapshot_id", "Score the dataset that is published, or publish the one that was scored"),
    ):
        ours, theirs = getattr(wanted, field), getattr(found, field)
        if ours != theirs:
            raise ScoresRefused(f"their {field} is {theirs[:16]}, not {ours[:16]}", where=where, fix=fix)


def require_news(found: EveningScores, sha256: str, seen: NewestDocument | None, where: str) -> None:
    """Raise `ScoresRefused` for a document that is older than one accepted before, or pretends to be the same."""
    if seen is None:
        return
    if found.asof < seen.asof:
        raise ScoresRefused(f"scores of {found.asof} after those of {seen.asof} were accepted", where=where, fix="Deliver this evening's")
    if found.asof == seen.asof and found.revision < seen.revision:
        raise ScoresRefused(
            f"revision {found.revision} after revision {seen.revision} was accepted", where=where, fix="Deliver the newest revision"
        )
    if (found.asof, found.revision) == (seen.asof, seen.revision) and sha256 != seen.sha256:
        raise ScoresRefused(
            f"another document of revision {found.revision} than the one accepted", where=where, fix="Deliver a change as a new revision"
        )
