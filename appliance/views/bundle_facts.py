"""Provenance, evidence and integrity of the bundle in force, read from its own files.

Reading it believes nothing: each file is hashed now and compared with the manifest, and the manifest with the pointer
that activation wrote. Signature and golden vectors are proven when a bundle is activated and each time it is loaded,
which takes the libraries of a job: the rows say by which key, and when that was done last. `appliance bundle --verify`
does it now.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import ScoreFigures
from appliance.status.upkeep import keys_end
from appliance.views.view import View, ViewRow, fact
from portfolio.risk.evidence import evidence_share
from signals.files import sha256_of
from signals.scoring.evidence import BundleEvidence, Mean
from signals.text import strict_json
from signals.text.documents import from_json

RISK, SHADOW = "risk", "shadow"  # as in `appliance.bundles.slots`, whose module brings in what verifies and scores
COLUMNS = ("section", "fact", "value")
NONE_IN_FORCE = "no bundle is in force; run `appliance pull`"
Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Pointer:
    """`current.json`: the folder in force, the hash of its manifest, and a grant where one put it there."""

    folder: str = ""
    sha256: str = ""
    grant: Mapping[str, object] | None = None


@dataclass(frozen=True)
class File:
    """One file of a bundle as the manifest names it."""

    path: str
    part: str
    sha256: str


@dataclass(frozen=True)
class Feature:
    """One feature that the model reads."""

    name: str | None = None
    units: str | None = None
    lookback_sessions: int | None = None


@dataclass(frozen=True)
class TrainedBy:
    """Program, settings, data and seed of the training."""

    code_version: str | None = None
    config_sha256: str | None = None
    snapshot_ids: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class ManifestFacts:
    """Displayed facts of a manifest; it is validated where it is used (`signals.bundle.manifest`)."""

    role: str | None = None
    refusal: str | None = None
    sleeve: str | None = None
    created: str | None = None
    features: tuple[Feature, ...] = ()
    spec_hash: str | None = None
    horizon_sessions: int | None = None
    entry: str | None = None
    first_training_session: str | None = None
    last_training_session: str | None = None
    expiry_sessions: int | None = None
    ic: Mean = Mean()
    golden_tolerance_sd: float | None = None
    trainer: TrainedBy = TrainedBy()
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Signer:
    """One signature of a file."""

    keyid: str = ""


@dataclass(frozen=True)
class Signatures:
    """`manifest.sig`."""

    signatures: tuple[Signer, ...] = ()


@dataclass(frozen=True)
class KnownKey:
    """One key of the key set."""

    keyid: str = ""
    revoked: bool = False


@dataclass(frozen=True)
class KnownKeys:
    """The signed part of the key set."""

    keys: tuple[KnownKey, ...] = ()


@dataclass(frozen=True)
class Sealed:
    """`keyset.json`: the signed part as text."""

    payload: str = ""


@dataclass(frozen=True)
class BundleFacts:
    """Facts of the bundle in force, parsed but not verified; `faults` are sentences on what does not match."""

    pointer: Pointer
    manifest: ManifestFacts
    evidence: BundleEvidence
    faults: tuple[str, ...]

    @property
    def name(self) -> str:
        """Sequence and id, as the folder is named."""
        return self.pointer.folder

    @property
    def annual_at_gross_1(self) -> float | None:
        """Annual return of the policy's walk-forward book for each unit of gross, after all costs; None if unknown."""
        book = self.evidence.policy_book
        return book.annual_return / book.gross if book and book.gross > 0 else None


def traded(bundles: Path) -> dict[str, BundleFacts]:
    """Read the bundle in force of every traded sleeve below `state/bundles`; empty when none was activated."""
    places = sorted(place.parent for place in bundles.glob("*/current.json") if place.parent.name not in (RISK, SHADOW))
    return {place.name: found for place in places if (found := read(place)) is not None}


def annual_at_gross_1(bundles: Path) -> float | None:
    """Annual return that the traded bundle's own book promises for each unit of gross; None where several share the book."""
    found = list(traded(bundles).values())
    return found[0].annual_at_gross_1 if len(found) == 1 else None


def read(folder: Path) -> BundleFacts | None:
    """Read the bundle in force in a slot's folder; None when none was activated."""
    pointer = _parsed(Pointer, _bytes(folder / "current.json"))
    if not pointer.folder:
        return None
    home = folder / pointer.folder
    content = _bytes(home / "manifest.json")
    manifest = _parsed(ManifestFacts, content)
    faults = [] if content and sha256_of(content) == pointer.sha256 else ["manifest.json is not what was activated"]
    evidence = BundleEvidence()
    for row in manifest.files:
        body = _bytes(home / row.path)
        if sha256_of(body) != row.sha256:
            faults.append(f"{row.path} is not what the manifest names")
        elif row.part == "evidence":
            evidence = _parsed(BundleEvidence, body)
    return BundleFacts(pointer, manifest, evidence, tuple(faults))


@dataclass(frozen=True)
class LastUse:
    """When the bundle in force was last loaded to score: its age then, and whether it was this very bundle.

    Attributes
    ----------
    session : date or None
        D of the scoring job; None when none is recorded.
    sha256 : str
        Of the bundle that scored.
    """

    session: date | None = None
    age_sessions: int | None = None
    sha256: str = ""


def bundle(folder: Path, ledger: Ledger) -> View:
    """Return the facts about the bundles of this device below `state/bundles`, by section; of the first traded one, all."""
    several = traded(folder)
    if not several:
        return View(COLUMNS, (), NONE_IN_FORCE)
    sleeve, found = next(iter(several.items()))
    last, manifest = last_use(ledger, sleeve), found.manifest
    rows = _identity(found, last.age_sessions) + _proof(found, folder / sleeve, last) + _training(manifest)
    rows += _evidence(found.evidence)
    for name in (*list(several)[1:], RISK, *(f"{name} {SHADOW}" for name in (*several, RISK))):
        if name in (RISK, f"{sleeve} {SHADOW}") or (folder / name.replace(" ", "/")).is_dir():
            section = name.removeprefix(f"{sleeve} ") if len(several) == 1 else name  # of one sleeve nobody needs the name
            rows += _slot_rows(name, folder, ledger, section)
    facts = {"sha256": found.pointer.sha256, "faults": list(found.faults), "role": manifest.role, "features": features_of(manifest)}
    return View(COLUMNS, tuple(rows), NONE_IN_FORCE, None, facts)


def last_use(ledger: Ledger, sleeve: str) -> LastUse:
    """The newest scoring job that ended well: it verified the sleeve's bundle before it used it."""
    day = ledger.value("SELECT max(session) FROM job_runs WHERE job = 'score' AND status = 'done'")
    run = job_runs.find(ledger, date.fromisoformat(day), "score") if isinstance(day, str) else None
    if run is None:
        return LastUse()
    scored = run.read(ScoreFigures).of(sleeve)
    return LastUse(run.session, scored.bundle_age_sessions, scored.bundle_sha256 or "")


def features_of(manifest: ManifestFacts) -> list[ViewRow]:
    """The ordered features that the model reads."""
    return [{"number": i, **vars(feature)} for i, feature in enumerate(manifest.features, start=1)]


def _identity(found: BundleFacts, age: int | None) -> list[ViewRow]:
    manifest = found.manifest
    expiry = manifest.expiry_sessions
    return [
        fact("bundle", "in force", found.name),
        fact("bundle", "role", manifest.role),
        fact("bundle", "refusal", manifest.refusal or "none"),
        fact("bundle", "sleeve", manifest.sleeve),
        fact("bundle", "created", manifest.created),
        fact("bundle", "age", f"limit {expiry} sessions" if age is None else f"{age} of {expiry} sessions"),
    ]


def _proof(found: BundleFacts, folder: Path, last: LastUse) -> list[ViewRow]:
    matching = f"all {len(found.manifest.files)} match their SHA-256"
    tolerance = found.manifest.golden_tolerance_sd
    is_proven = last.session is not None and last.sha256 == found.pointer.sha256
    proven = f"to score for {last.session}" if is_proven else "at activation"
    return [
        fact("proof", "files", "; ".join(found.faults) or matching),
        fact("proof", "signature", _signed(folder / found.name, folder.parent)),
        fact("proof", "key set", _until(folder.parent)),
        fact("proof", "golden vectors", f"reproduced within {tolerance} sd before use"),
        fact("proof", "last proven", f"{proven}; now: `appliance bundle --verify`"),
        fact("proof", "rollback grant", "in force" if found.pointer.grant else "none"),
    ]


def _until(keys: Path) -> str:
    ends = keys_end(keys)
    return f"suffices until {ends}" if ends else "cannot be read"


def _signed(home: Path, keys: Path) -> str:
    """Whose signatures the file holds, and whether the key set here knows them; whether they hold is proven on use."""
    named = [one.keyid for one in _parsed(Signatures, _bytes(home / "manifest.sig")).signatures]
    payload = _parsed(Sealed, _bytes(keys / "keyset.json")).payload
    known = {one.keyid: one.revoked for one in _parsed(KnownKeys, payload.encode()).keys}
    if not named:
        return "none: the bundle will be refused"
    words = {True: "REVOKED", False: "in the key set", None: "not in the key set"}
    return "by " + ", ".join(f"{keyid[:16]} ({words[known.get(keyid)]})" for keyid in named)


def _slot_rows(slot: str, folder: Path, ledger: Ledger, section: str) -> list[ViewRow]:
    """The bundle of a slot and what it scored; one line for an empty slot."""
    place = folder / slot.replace(" ", "/")
    found = read(place)
    if found is None:
        return [fact(section, "in the slot", "none")]
    manifest, ic = found.manifest, found.manifest.ic
    rows = [
        fact(section, "in the slot", f"{found.name}, {manifest.role}, trained to {manifest.last_training_session}"),
        fact(section, "signature", _signed(place / found.name, folder)),
        fact(section, "files", "; ".join(found.faults) or "all match their SHA-256"),
        fact(section, "IC", f"{_figure(ic.mean)}  t {_figure(ic.t)}"),
    ]
    scored = ledger.read(date, "SELECT DISTINCT asof FROM scores WHERE sleeve = ?", (slot,))
    newest = f", last {max(scored)}" if scored else ""
    return [*rows, fact(section, "scored", f"{len(scored)} evenings{newest}")]


def _training(manifest: ManifestFacts) -> list[ViewRow]:
    trainer, ic = manifest.trainer, manifest.ic
    first, last = manifest.first_training_session, manifest.last_training_session
    label = f"{manifest.horizon_sessions} sessions from the open ({manifest.entry})"
    features = f"{len(manifest.features)}, spec {str(manifest.spec_hash)[:16]}"
    measured = f"{_figure(ic.mean)}  t {_figure(ic.t)}  se {_figure(ic.standard_error)}"
    return [
        fact("training", "sessions", f"{first} to {last}"),
        fact("training", "label", label),
        fact("training", "features", features),
        fact("training", "snapshot", ", ".join(trainer.snapshot_ids)),
        fact("training", "code", trainer.code_version),
        fact("training", "config", trainer.config_sha256),
        fact("training", "seed", trainer.seed),
        fact("evidence", "IC", measured),
    ]


def _evidence(evidence: BundleEvidence) -> list[ViewRow]:
    rows = _size(evidence)
    if capacity := evidence.capacity:
        rows.append(
            fact(
                "evidence",
                "decile book a year",
                f"{_share(capacity.gross_annual)} before, {_share(capacity.net_of_spread_annual)} after spread",
            )
        )
        rows.append(fact("evidence", "break-even spread", f"{_figure(capacity.break_even_spread_bps)} bps"))
    if deciles := evidence.deciles:
        spread = deciles.spread
        rows.append(fact("evidence", "decile spread", f"{_figure(spread.mean)}  t {_figure(spread.t)}"))
    if holdout := evidence.holdout:
        rows.append(fact("evidence", "holdout", f"{holdout.sessions} sessions, opened {holdout.opened} times"))
    rows += [fact("evidence", "warning", text) for text in evidence.warnings]
    return rows


def _size(evidence: BundleEvidence) -> list[ViewRow]:
    """The walk-forward return of the policy's own book, and the size of book that it supports."""
    book = evidence.policy_book
    text, share = "unknown: made by an older trainer", 0.0
    if book:
        text = f"{_share(book.annual_return)} a year, t {_figure(book.t)}, gross {_share(book.gross)}"
        share = evidence_share(book.t)
    return [
        fact("evidence", "net walk-forward book", text),
        fact("evidence", "supports", f"{share:.2f} of the book that Kelly and the caps allow"),
    ]


def _figure(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _share(value: float) -> str:
    return f"{value:+.1%}" if math.isfinite(value) else "-"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _parsed(kind: type[Shown], content: bytes) -> Shown:
    """The document; an empty one where it cannot be read: a fault shows as what does not match, never as a traceback."""
    try:
        return from_json(kind, strict_json.loads(content or b"{}", decimals=float))
    except ValueError:
        return kind()
