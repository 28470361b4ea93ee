"""The manifest of a curated dataset: contents, session status, price basis and the hash of every file.

The manifest is one canonical JSON document with a checksum over its own content, so that an edited one is noticed
before anything it says is believed. Byte for byte the same data make the same manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath

from signals.errors import BadDataset, InvariantBroken, NotASession
from signals.files import sha256_of
from signals.market.eligibility_rule import ANY, EligibilityConfig
from signals.market.sessions import Calendar, SessionAudit
from signals.text import strict_json
from signals.text.documents import absent, from_json, to_json
from signals.text.wording import reason_of

FORMAT = "trademl-curated-1"
MIN_HISTORY_SESSIONS = 253
CHECKSUM = "checksum"
MOST_VERSIONS = 2**31 - 1
MAX_NAME = 200


class PriceBasis(StrEnum):
    """The vendor's adjustment of prices and volumes."""

    RAW = "raw"
    SPLIT_ADJUSTED = "split_adjusted"
    TOTAL_RETURN = "total_return"

    @property
    def has_dollars(self) -> bool:
        """Whether close x volume is the dollars that changed hands."""
        return self is not PriceBasis.TOTAL_RETURN


class FileRole(StrEnum):
    """Purpose of a file of the dataset."""

    BARS = "bars"
    ACTIONS = "actions"
    UNIVERSE = "universe"
    QUARANTINE = "quarantine"
    FINDINGS = "findings"
    REVISIONS = "revisions"
    SPREADS = "spreads"
    MINUTES = "minutes"  # rows of one symbol and month
    MINUTE_SESSIONS = "minute_sessions"  # quality, contract and night of every symbol and session of them
    RAW = "raw"


class Survivorship(StrEnum):
    """Whether names that died are among the names."""

    POINT_IN_TIME = "point-in-time"
    RECONSTRUCTED = "reconstructed"  # a published rule at each date over all assets, inactive ones included
    SURVIVORS_ONLY = "survivors only"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FileRecord:
    """One file that the manifest vouches for; `path` is relative to the dataset, with forward slashes."""

    path: str
    sha256: str
    size: int
    rows: int
    first: date | None
    last: date | None
    role: FileRole

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in self.path:
            raise InvariantBroken("a dataset's files are inside it", where=self.path)


@dataclass(frozen=True)
class Waiver:
    """A person's word that training may treat a RED session as missing.

    Attributes
    ----------
    reason : str
        Why, in the person's words.
    audit : tuple of str
        The audit's reasons that were accepted; a session whose audit changed since is refused again.
    """

    session: date
    reason: str
    audit: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InvariantBroken("a RED session is accepted with a reason", where=str(self.session))


@dataclass(frozen=True)
class Manifest:
    """Verified facts of one version of a curated dataset.

    Attributes
    ----------
    version : int
        1 for the first ingest; one more for every ingest that changed anything.
    calendar : Calendar
        Sessions from the first bar to three years past the last.
    first, last : date
        First and last session with a bar.
    audits : tuple of SessionAudit
        One per session of [first, last], oldest first.
    files : tuple of FileRecord
        Sorted by path.
    survivorship : str
        A value of `Survivorship`, as stored; `universe_state` is what it is worth.
    min_history : int
        Usable bars that a name needs to be eligible where there is no universe table.
    non_sessions : tuple of SessionAudit
        RED audits of dates that carried rows although the exchange was closed; never part of a panel.
    waivers : tuple of Waiver
        RED sessions that training may treat as missing, by session; they stay RED for everything else.
    known_at : date or None
        Evening whose knowledge this is, where it is a view of the past; None is everything delivered.
    eligibility : EligibilityConfig
        Least price and dollar volume of an eligible name; nothing was asked in manifests that do not say so.
    is_price_known : bool
        Whether prices as traded are known, so that a minimum price applied.
    universe_why : str
        What the state of the universe rests on; empty in manifests that were written before it had to be said.
    """

    name: str
    version: int
    vendor: str
    calendar: Calendar
    basis: PriceBasis
    first: date
    last: date
    audits: tuple[SessionAudit, ...]
    files: tuple[FileRecord, ...]
    survivorship: str
    min_history: int = MIN_HISTORY_SESSIONS
    non_sessions: tuple[SessionAudit, ...] = ()
    known_at: date | None = None
    waivers: tuple[Waiver, ...] = ()
    universe_why: str = ""
    eligibility: EligibilityConfig = ANY
    is_price_known: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MOST_VERSIONS:
            raise InvariantBroken(f"versions count from 1 to {MOST_VERSIONS}", where=str(self.version))
        if not 0 < len(self.name) <= MAX_NAME:
            raise InvariantBroken(f"a dataset's name has 1 to {MAX_NAME} characters")
        if tuple(audit.session for audit in self.audits) != self.calendar.between(self.first, self.last):
            raise InvariantBroken("one audit per session, oldest first", where=f"{self.first} to {self.last}")
        paths = [record.path for record in self.files]
        if paths != sorted(set(paths)):
            raise InvariantBroken("files are sorted by path and named once")

    @cached_property
    def snapshot_id(self) -> str:
        """SHA-256 of the manifest's bytes: the identity of this version of the data."""
        return sha256_of(self.to_bytes())

    @property
    def universe_state(self) -> Survivorship:
        """State of the universe; one that is claimed without saying what it rests on is unknown."""
        state = Survivorship(self.survivorship)
        if state in (Survivorship.POINT_IN_TIME, Survivorship.RECONSTRUCTED) and not self.universe_why:
            return Survivorship.UNKNOWN
        return state

    @property
    def eligibility_rule(self) -> str:
        """Return the rule of eligibility in words."""
        if self.eligibility == ANY:
            return "no minimum price or dollar volume"
        return self.eligibility.sentence(is_price_known=self.is_price_known)

    @cached_property
    def _by_session(self) -> dict[date, SessionAudit]:
        return {audit.session: audit for audit in (*self.non_sessions, *self.audits)}

    def status(self, day: date) -> SessionAudit:
        """Return the audit of `day`; raise `NotASession` where the data says nothing about it."""
        try:
            return self._by_session[day]
        except KeyError:
            self.calendar.index(day)
            raise NotASession(
                f"the dataset has no bars of {day}",
                where=f"{self.name} holds {self.first} to {self.last}",
                fix="Ingest bars that reach this session, or ask for another one",
            ) from None

    def waiver(self, audit: SessionAudit) -> Waiver | None:
        """Return the waiver of a RED session whose audit is the one that was accepted, or None."""
        return next((w for w in self.waivers if w.session == audit.session and w.audit == audit.reasons), None)

    def of_role(self, role: FileRole) -> tuple[FileRecord, ...]:
        """Files with this role, by path."""
        return tuple(record for record in self.files if record.role is role)

    def same_content(self, other: Manifest) -> bool:
        """Whether the two differ in nothing but the version."""
        return replace(self, version=other.version).to_bytes() == other.to_bytes()

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, one final newline."""
        body = {"format": FORMAT, **to_json(ManifestDocument.of(self))}
        return _canonical({**body, CHECKSUM: sha256_of(_canonical(body))})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> Manifest:
        """Read back what `to_bytes` wrote; raise `BadDataset` for anything else."""
        try:
            document = strict_json.loads(content, decimals=float)
            claimed = document.pop(CHECKSUM)
            if document["format"] != FORMAT:
                raise BadDataset(
                    f"manifest format {document['format']!r} is not {FORMAT!r}", where=where, fix="Ingest the data again with this program"
                )
            if claimed != sha256_of(_canonical(document)):
                raise BadDataset(
                    "the manifest's checksum does not match its content",
                    where=where,
                    fix="Restore the file from manifests/ or publish the dataset again",
                )
            return from_json(ManifestDocument, document).manifest()
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, InvariantBroken) as error:
            raise BadDataset(
                f"not a manifest ({reason_of(error)})", where=where, fix="Restore the file from manifests/ or publish the dataset again"
            ) from None


@dataclass(frozen=True)
class CalendarDocument:
    """A calendar as the file has it: rows of `Calendar.rows`."""

    name: str
    sessions: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class EligibilityDocument:
    """The rule of eligibility as the file has it, and whether prices as traded are known."""

    min_price: float
    exit_price: float
    min_dollar_volume: float
    exit_dollar_volume: float
    is_price_known: bool


@dataclass(frozen=True)
class ManifestDocument:
    """A manifest as the file has it; what came later is only there where it is known, so that earlier files keep their bytes."""

    name: str
    version: int
    vendor: str
    calendar: CalendarDocument
    basis: PriceBasis
    first: date
    last: date
    audits: tuple[SessionAudit, ...]
    non_sessions: tuple[SessionAudit, ...]
    files: tuple[FileRecord, ...]
    min_history: int
    survivorship: str = str(Survivorship.UNKNOWN)
    known_at: date | None = absent()
    universe_why: str | None = absent()
    eligibility: EligibilityDocument | None = absent()
    waivers: tuple[Waiver, ...] | None = absent()

    @classmethod
    def of(cls, known: Manifest) -> ManifestDocument:
        """Return what is written of a manifest."""
        has_rule = known.eligibility != ANY
        return cls(
            name=known.name,
            version=known.version,
            vendor=known.vendor,
            calendar=CalendarDocument(known.calendar.name, tuple(known.calendar.rows())),
            basis=known.basis,
            first=known.first,
            last=known.last,
            audits=known.audits,
            non_sessions=known.non_sessions,
            files=known.files,
            min_history=known.min_history,
            survivorship=known.survivorship,
            known_at=known.known_at,
            universe_why=known.universe_why or None,
            eligibility=EligibilityDocument(**asdict(known.eligibility), is_price_known=known.is_price_known) if has_rule else None,
            waivers=known.waivers or None,
        )

    def manifest(self) -> Manifest:
        """Return the manifest."""
        rule = None if self.eligibility is None else asdict(self.eligibility)
        is_price_known = rule is not None and rule.pop("is_price_known")
        return Manifest(
            name=self.name,
            version=self.version,
            vendor=self.vendor,
            calendar=Calendar.from_rows(self.calendar.name, self.calendar.sessions),
            basis=self.basis,
            first=self.first,
            last=self.last,
            audits=self.audits,
            non_sessions=self.non_sessions,
            files=self.files,
            survivorship=str(Survivorship(self.survivorship)),
            min_history=self.min_history,
            known_at=self.known_at,
            waivers=self.waivers or (),
            universe_why=self.universe_why or "",
            eligibility=ANY if rule is None else EligibilityConfig(**rule),
            is_price_known=is_price_known,
        )


def _canonical(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), default=str).encode() + b"\n"
