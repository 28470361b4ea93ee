"""The bundle in force as its own files describe it: provenance, evidence, and whether the files are what was activated.

Reading it believes nothing: each file is hashed now and compared with the manifest, and the manifest with the pointer
that activation wrote. Signature and golden vectors are proven when a bundle is activated and each time it is loaded,
which takes the libraries of a job: the rows say by which key, and when that was done last. `appliance bundle --verify`
does it now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from appliance.ledger import Ledger, job_runs, values
from appliance.status.upkeep import keys_end
from appliance.views.view import View, ViewRow, fact
from portfolio.risk.evidence import evidence_share
from signals.files import sha256_of

BESIDE = ("risk", "shadow")  # `appliance.bundles.slots.BundleSlot`, whose module brings in what verifies and scores
COLUMNS = ("section", "fact", "value")
NONE_IN_FORCE = "no bundle is in force; run `appliance pull`"
FEATURE_COLUMNS = ("number", "name", "units", "lookback_sessions")


@dataclass(frozen=True)
class BundleFacts:
    """What is in force, parsed but not verified; `faults` are the sentences of what does not match."""

    pointer: dict[str, Any]
    manifest: dict[str, Any]
    evidence: dict[str, Any]
    faults: tuple[str, ...]

    @property
    def name(self) -> str:
        """Sequence and id, as the folder is named."""
        return str(self.pointer.get("folder", ""))

    @property
    def annual_at_gross_1(self) -> float | None:
        """Annual return of the policy's walk-forward book for each unit of gross, after all costs; None if unknown."""
        book = _object(self.evidence.get("policy_book"))
        earned, gross = book.get("annual_return"), book.get("gross")
        if not isinstance(earned, (int, float)) or not isinstance(gross, (int, float)) or not gross > 0:
            return None
        return float(earned) / float(gross)


def read(folder: Path) -> BundleFacts | None:
    """Read the bundle in force below `state/bundles`; None when none was activated."""
    pointer = _document(folder / "current.json")
    if not pointer:
        return None
    home = folder / str(pointer.get("folder", ""))
    content = _bytes(home / "manifest.json")
    manifest = _parsed(content)
    faults = [] if content and sha256_of(content) == pointer.get("sha256") else ["manifest.json is not what was activated"]
    evidence: dict[str, Any] = {}
    for row in manifest.get("files", ()):
        body = _bytes(home / str(row["path"]))
        if sha256_of(body) != row["sha256"]:
            faults.append(f"{row['path']} is not what the manifest names")
        elif row["part"] == "evidence":
            evidence = _parsed(body)
    return BundleFacts(pointer, manifest, evidence, tuple(faults))


@dataclass(frozen=True)
class LastUse:
    """When the bundle in force was last loaded to score: its age then, and whether it was this very bundle.

    Attributes
    ----------
    session : date or None
        D of the scoring job; None when none is recorded.
    age_sessions : int or None
    sha256 : str
        Of the bundle that scored.
    """

    session: date | None = None
    age_sessions: int | None = None
    sha256: str = ""


def bundle(folder: Path, last: LastUse, ledger: Ledger) -> View:
    """Return the facts about the bundle in force and those beside it, by section."""
    found = read(folder)
    if found is None:
        return View(COLUMNS, (), NONE_IN_FORCE)
    manifest = found.manifest
    rows = _identity(found, last.age_sessions) + _proof(found, folder, last) + _training(manifest)
    rows += _evidence(found.evidence)
    for slot in BESIDE:
        rows += _beside(slot, folder, ledger)
    facts = {
        "sha256": found.pointer.get("sha256"),
        "faults": list(found.faults),
        "role": manifest.get("role"),
        "features": features_of(manifest),
    }
    return View(COLUMNS, tuple(rows), NONE_IN_FORCE, None, facts)


def last_use(ledger: Ledger) -> LastUse:
    """The newest scoring job that ended well: it verified the bundle before it used it."""
    day = ledger.value("SELECT max(session) FROM job_runs WHERE job = 'score' AND status = 'done'")
    run = job_runs.find(ledger, date.fromisoformat(day), "score") if isinstance(day, str) else None
    if run is None:
        return LastUse()
    age = run.figures.get("bundle_age_sessions")
    return LastUse(run.session, age if isinstance(age, int) else None, str(run.figures.get("bundle_sha256", "")))


def features_of(manifest: dict[str, Any]) -> list[ViewRow]:
    """The ordered features that the model reads."""
    names = ("name", "units", "lookback_sessions")
    listed = manifest.get("features", ())
    return [{"number": i, **{name: row.get(name) for name in names}} for i, row in enumerate(listed, start=1)]


def _identity(found: BundleFacts, age: int | None) -> list[ViewRow]:
    manifest = found.manifest
    expiry = manifest.get("expiry_sessions")
    return [
        fact("bundle", "in force", found.name),
        fact("bundle", "role", manifest.get("role")),
        fact("bundle", "refusal", manifest.get("refusal") or "none"),
        fact("bundle", "sleeve", manifest.get("sleeve")),
        fact("bundle", "created", manifest.get("created")),
        fact("bundle", "age", f"limit {expiry} sessions" if age is None else f"{age} of {expiry} sessions"),
    ]


def _proof(found: BundleFacts, folder: Path, last: LastUse) -> list[ViewRow]:
    matching = f"all {len(found.manifest.get('files', ()))} match their SHA-256"
    tolerance = found.manifest.get("golden_tolerance_sd")
    is_proven = last.session is not None and last.sha256 == found.pointer.get("sha256")
    proven = f"to score for {last.session}" if is_proven else "at activation"
    return [
        fact("proof", "files", "; ".join(found.faults) or matching),
        fact("proof", "signature", _signed(folder / found.name, folder)),
        fact("proof", "key set", _until(folder)),
        fact("proof", "golden vectors", f"reproduced within {tolerance} sd before use"),
        fact("proof", "last proven", f"{proven}; now: `appliance bundle --verify`"),
        fact("proof", "rollback grant", "in force" if found.pointer.get("grant") else "none"),
    ]


def _until(keys: Path) -> str:
    ends = keys_end(keys)
    return f"suffices until {ends}" if ends else "cannot be read"


def _signed(home: Path, keys: Path) -> str:
    """Whose signatures the file holds, and whether the key set here knows them; whether they hold is proven on use."""
    named = [str(row.get("keyid", "")) for row in _rows(_document(home / "manifest.sig"), "signatures")]
    payload = str(_document(keys / "keyset.json").get("payload", ""))
    known = {str(row.get("keyid", "")): bool(row.get("revoked")) for row in _rows(_parsed(payload.encode()), "keys")}
    if not named:
        return "none: the bundle will be refused"
    words = {True: "REVOKED", False: "in the key set", None: "not in the key set"}
    return "by " + ", ".join(f"{keyid[:16]} ({words[known.get(keyid)]})" for keyid in named)


def _beside(slot: str, folder: Path, ledger: Ledger) -> list[ViewRow]:
    """The bundle of a slot and what it scored; one line for an empty slot."""
    found = read(folder / slot)
    if found is None:
        return [fact(slot, "in the slot", "none")]
    manifest, ic = found.manifest, found.manifest.get("ic") or {}
    rows = [
        fact(slot, "in the slot", f"{found.name}, {manifest.get('role')}, trained to {manifest.get('last_training_session')}"),
        fact(slot, "signature", _signed(folder / slot / found.name, folder)),
        fact(slot, "files", "; ".join(found.faults) or "all match their SHA-256"),
        fact(slot, "IC", f"{_figure(ic.get('mean'))}  t {_figure(ic.get('t'))}"),
    ]
    name = f"{manifest.get('sleeve')} {slot}" if slot == "shadow" else str(manifest.get("sleeve"))
    counted = "SELECT count(DISTINCT asof) AS evenings, max(asof) AS last FROM scores WHERE sleeve = ?"
    scored = ledger.row(counted, (name,))
    evenings = values.integer(scored, "evenings") if scored else 0
    newest = f", last {values.text(scored, 'last')}" if scored and evenings else ""
    return [*rows, fact(slot, "scored", f"{evenings} evenings{newest}")]


def _rows(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _training(manifest: dict[str, Any]) -> list[ViewRow]:
    trainer = manifest.get("trainer") or {}
    ic = manifest.get("ic") or {}
    first, last = manifest.get("first_training_session"), manifest.get("last_training_session")
    label = f"{manifest.get('horizon_sessions')} sessions from the open ({manifest.get('entry')})"
    features = f"{len(manifest.get('features', ()))}, spec {str(manifest.get('spec_hash'))[:16]}"
    measured = f"{_figure(ic.get('mean'))}  t {_figure(ic.get('t'))}  se {_figure(ic.get('standard_error'))}"
    return [
        fact("training", "sessions", f"{first} to {last}"),
        fact("training", "label", label),
        fact("training", "features", features),
        fact("training", "snapshot", ", ".join(trainer.get("snapshot_ids", ()))),
        fact("training", "code", trainer.get("code_version")),
        fact("training", "config", trainer.get("config_sha256")),
        fact("training", "seed", trainer.get("seed")),
        fact("evidence", "IC", measured),
    ]


def _evidence(evidence: dict[str, Any]) -> list[ViewRow]:
    rows = _size(evidence)
    if capacity := evidence.get("capacity"):
        rows.append(
            fact(
                "evidence",
                "decile book a year",
                f"{_share(capacity.get('gross_annual'))} before, {_share(capacity.get('net_of_spread_annual'))} after spread",
            )
        )
        rows.append(fact("evidence", "break-even spread", f"{_figure(capacity.get('break_even_spread_bps'))} bps"))
    if decile := (evidence.get("deciles") or {}).get("spread"):
        rows.append(fact("evidence", "decile spread", f"{_figure(decile.get('mean'))}  t {_figure(decile.get('t'))}"))
    if holdout := evidence.get("holdout"):
        opened = holdout.get("opened")
        rows.append(fact("evidence", "holdout", f"{holdout.get('sessions')} sessions, opened {opened} times"))
    rows += [fact("evidence", "warning", text) for text in evidence.get("warnings") or ()]
    return rows


def _size(evidence: dict[str, Any]) -> list[ViewRow]:
    """What the policy's own book earned walking forward, and how large a book that supports."""
    book = _object(evidence.get("policy_book"))
    t = book.get("t")
    known = isinstance(t, (int, float))
    told = f"{_share(book.get('annual_return'))} a year, t {_figure(t)}, gross {_share(book.get('gross'))}"
    share = evidence_share(float(t)) if known else 0.0  # type: ignore[arg-type]  # a number where known
    return [
        fact("evidence", "net walk-forward book", told if known else "unknown: made by an older trainer"),
        fact("evidence", "supports", f"{share:.2f} of the book that Kelly and the caps allow"),
    ]


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "-"


def _share(value: object) -> str:
    return f"{value:+.1%}" if isinstance(value, (int, float)) else "-"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _document(path: Path) -> dict[str, Any]:
    return _parsed(_bytes(path))


def _parsed(content: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else: a fault shows as what does not match, never as a traceback."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
