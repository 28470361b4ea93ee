"""The registry's lineage log, `lineages.jsonl`: accepted models, retrainings and publications.

A chain like the others of the registry (`trainer/runs/chain.py`). A lineage begins with a model that a promotion, or a
person, accepted; its id is made of that model and its evidence. The files that later steps need (the models and the
effective recipe) are kept next to it, named by their SHA-256.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from signals.bundle import Role
from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.text.documents import to_json
from trainer.promotion import history
from trainer.promotion.history import CHAMPIONS
from trainer.promotion.measure import model_hashes
from trainer.runs.chain import Record
from trainer.runs.evidence import EVIDENCE, Evidence, read_evidence
from trainer.runs.run_folder import TRAINING, file_hash

LINEAGES, KEPT = "lineages.jsonl", "kept"
MODEL = "model.onnx"


class LineageEvent(StrEnum):
    """Event of a record."""

    BEGUN = "begun"
    RETRAINED = "retrained"
    REFUSED = "refused"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Lineage:
    """One accepted model and everything that was trained again after it.

    Attributes
    ----------
    root : Record
        How it began.
    """

    root: Record
    retrained: tuple[Record, ...]
    published: tuple[Record, ...]

    @property
    def id(self) -> str:
        """First 16 hex digits of the SHA-256 over sleeve, models and evidence of the accepted model."""
        return str(self.root["lineage"])

    @property
    def head(self) -> Record:
        """The newest model of it."""
        return self.retrained[-1] if self.retrained else self.root

    def bundles(self) -> dict[str, Record]:
        """Return the record of the model by the SHA-256 of each published bundle's manifest."""
        by_number = {int(record["of"]): record for record in (self.root, *self.retrained)}
        return {str(record["bundle_sha256"]): by_number[int(record["of"])] for record in self.published}


def begin(registry: Path, run: Path, role: Role, why: str, at: datetime) -> Record:
    """Remember that a run's model was accepted in a role; a second time changes nothing.

    The caller holds the registry.

    Raises
    ------
    FixInput
        The run is a retraining, which begins nothing, or a file of it cannot be read.
    """
    evidence = read_evidence(run)
    if evidence.lineage is not None:
        raise FixInput("a retraining begins no lineage", where=str(run), fix="Name the run that was accepted")
    record = described(run, evidence)
    own = lineage_id(record)
    for before in history.read(registry / LINEAGES).records:
        if (before["event"], before["lineage"], before["role"]) == (LineageEvent.BEGUN, own, role):
            return before
    for name in (MODEL, TRAINING):
        keep(registry, (run / name).read_bytes())
    return append(
        registry,
        {
            **record,
            "event": str(LineageEvent.BEGUN),
            "lineage": own,
            "of": 0,
            "role": str(role),
            "why": why,
            "at": at.isoformat(),
            "null": to_json(evidence.seed_null),
        },
    )


def described(run: Path, evidence: Evidence) -> Record:
    """Return what the chain says of any model: its files, its recipe and what it learned from."""
    names = ("sleeve", "config_hash", "spec_hash", "horizon", "snapshot_id", "last_training_session", "last_label_session", "code_version")
    evidence.require(*names, where=run)
    return {
        **{name: getattr(evidence, name) for name in names},
        "run": run.name,
        "model_sha256": list(model_hashes(run)),
        "evidence_sha256": file_hash(run / EVIDENCE),
        "training_sha256": file_hash(run / TRAINING),
    }


def lineage_id(record: Record) -> str:
    """Return the id of the lineage that this model begins."""
    return sha256_of(":".join([record["sleeve"], *record["model_sha256"], record["evidence_sha256"]]).encode())[:16]


def lineage(registry: Path, own: str) -> Lineage:
    """Return one lineage; raise `FixInput` where the registry holds none of that id."""
    return _lineage(history.read(registry / LINEAGES).records, registry, own)


def _lineage(known: Sequence[Record], registry: Path, own: str) -> Lineage:
    records = [r for r in known if r["lineage"] == own]
    roots = [r for r in records if r["event"] == LineageEvent.BEGUN]
    if not roots:
        raise FixInput(f"the registry holds no lineage {own}", where=str(registry), fix="Name the right registry")
    chosen = {event: tuple(r for r in records if r["event"] == event) for event in (LineageEvent.RETRAINED, LineageEvent.PUBLISHED)}
    return Lineage(roots[0], chosen[LineageEvent.RETRAINED], chosen[LineageEvent.PUBLISHED])


def newest(registry: Path, sleeve: str, role: Role) -> Lineage:
    """Return the lineage that a sleeve has in a role now: the champion's, or the last that was accepted in another.

    Raises
    ------
    FixInput
        There is none.
    """
    records = history.read(registry / LINEAGES).records
    begun = [r for r in records if (r["event"], r["sleeve"]) == (LineageEvent.BEGUN, sleeve)]
    if role is Role.CHAMPION:
        now = history.champion(history.read(registry / CHAMPIONS), sleeve)
        begun = [r for r in begun if now is not None and is_of(r, now)]
    else:
        begun = [r for r in begun if r["role"] == role]
    if not begun:
        fix = {
            Role.CHAMPION: "`trainer promote` a run, or promote the champion's again, which records it",
            Role.EVALUATION: "`trainer publish --role evaluation --accept REASON` a run first",
            Role.SHADOW: "`trainer publish --role shadow` a run first",
        }[role]
        raise FixInput(f"{sleeve} has no {role} with a lineage", where=str(registry), fix=fix)
    return _lineage(records, registry, str(begun[-1]["lineage"]))


def begun_by(registry: Path, run: Path) -> Lineage | None:
    """Return the lineage that began with this run; None where none did."""
    own = lineage_id(described(run, read_evidence(run)))
    records = history.read(registry / LINEAGES).records
    return lineage(registry, own) if any(r["lineage"] == own for r in records) else None


def returnable(registry: Path, promoted: Record) -> tuple[str, ...]:
    """Return the models of the newest bundle that was published of a champion: of the last retraining that went out."""
    for begun in history.read(registry / LINEAGES).records:
        if begun["event"] == LineageEvent.BEGUN and is_of(begun, promoted):
            found = lineage(registry, str(begun["lineage"]))
            out = [found.bundles()[str(r["bundle_sha256"])] for r in found.published if r["role"] == Role.CHAMPION]
            return tuple(out[-1]["model_sha256"]) if out else tuple(promoted["model_sha256"])
    return tuple(promoted["model_sha256"])


def role_of(registry: Path, found: Lineage) -> Role | None:
    """Return the role in which this lineage is published now; None where another took its place."""
    sleeve = str(found.root["sleeve"])
    for role in (Role.CHAMPION, Role.EVALUATION, Role.SHADOW):
        try:
            if newest(registry, sleeve, role).id == found.id:
                return role
        except FixInput:
            continue
    return None


def is_of(root: Record, promoted: Record) -> bool:
    """Whether a promotion's record is of the model that a lineage began with."""
    evidence = promoted.get("evidence_sha256", root["evidence_sha256"])
    return bool(root["model_sha256"] == promoted["model_sha256"] and root["evidence_sha256"] == evidence)


def require_head(registry: Path, run: Path, role: Role) -> Lineage:
    """Return the lineage whose newest model this retraining is, and which has this role.

    Raises
    ------
    FixInput
        It was refused, is not the newest one, or its lineage has another role.
    """
    retraining = read_evidence(run).lineage
    found = lineage(registry, retraining.id if retraining else "")
    head, where = found.head, str(run)
    if (head["model_sha256"], head["evidence_sha256"]) != (list(model_hashes(run)), file_hash(run / EVIDENCE)):
        raise FixInput("this retraining was refused, or is not the newest of its lineage", where=where, fix="Publish the newest one")
    if (now := role_of(registry, found)) is not role:
        raise FixInput(
            f"its lineage is {now or 'no longer anything'}, not {role}: a retraining keeps its role",
            where=where,
            fix="Promote a challenger to change who is champion",
        )
    return found


def note_published(registry: Path, run: Path, role: Role, bundle_sha256: str, at: datetime) -> None:
    """Remember which bundle carries a model of a lineage, if the run is one; the caller holds the registry."""
    models, evidence = list(model_hashes(run)), file_hash(run / EVIDENCE)
    for record in reversed(history.read(registry / LINEAGES).records):
        if record["event"] in (LineageEvent.BEGUN, LineageEvent.RETRAINED) and (
            (record["model_sha256"], record["evidence_sha256"]) == (models, evidence)
        ):
            append(
                registry,
                {
                    "event": str(LineageEvent.PUBLISHED),
                    "lineage": record["lineage"],
                    "of": record["of"],
                    "role": str(role),
                    "sleeve": record["sleeve"],
                    "bundle_sha256": bundle_sha256,
                    "at": at.isoformat(),
                },
            )
            return


def append(registry: Path, record: Record) -> Record:
    """Add a record and return it as it is; the caller holds the registry."""
    history.append(registry / LINEAGES, record)
    return history.read(registry / LINEAGES).records[-1]


def keep(registry: Path, content: bytes) -> str:
    """Keep a file and return its SHA-256."""
    sha256 = sha256_of(content)
    path = registry / KEPT / sha256
    if not path.exists():
        write_atomic(path, content)
    return sha256


def kept(registry: Path, sha256: str) -> bytes:
    """Return a kept file; raise `FixInput` where it is gone or is no longer what it was."""
    path = registry / KEPT / sha256
    content = path.read_bytes() if path.exists() else b""
    if sha256_of(content) != sha256:
        raise FixInput("a file of a lineage was removed or changed", where=str(path), fix=history.FIX)
    return content


def days(record: Record) -> tuple[date, date]:
    """Return a model's last training session, and the last session that a label of it ended in."""
    first, last = (str(record[name]) for name in ("last_training_session", "last_label_session"))
    return date.fromisoformat(first), date.fromisoformat(last)
