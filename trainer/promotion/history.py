r"""The registry of champions and holdout openings: two hash-chained files, and the cases that they name by their hash.

`champions.jsonl` and `openings.jsonl` are chains with their anchors (`trainer/runs/chain.py`). Nothing is ever rewritten: a
rollback is one more record.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from signals.errors import FixInput
from signals.text.strict_json import JsonObject
from trainer.runs import chain
from trainer.runs.chain import Chain, ChainAnchor, Record
from trainer.runs.run_folder import read_hashed

CHAMPIONS, OPENINGS, CASES = "champions.jsonl", "openings.jsonl", "cases"
FIX = "Restore the folder from a backup; what happened cannot be taken back"


class ChampionEvent(StrEnum):
    """Event of a record of `champions.jsonl`."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"


def read(path: Path) -> Chain:
    """Read and verify; raises as `chain.read`."""
    return chain.read(path, fix=FIX)


def append(path: Path, record: Record) -> ChainAnchor:
    """Add one record behind those that are there, durably; raises as `chain.read`.

    The caller holds the folder (`held`), so that nobody writes in between.
    """
    return chain.append(path, {**record, "number": len(read(path).records) + 1}, fix=FIX)


def champion(known: Chain, sleeve: str, at: datetime | None = None) -> Record | None:
    """Return the record that made the sleeve's champion of now, or of the instant `at` (UTC); None before the first."""
    made = [r for r in known.records if r["sleeve"] == sleeve and r["event"] != ChampionEvent.REFUSED]
    made = [r for r in made if at is None or datetime.fromisoformat(r["at"]) <= at]
    return made[-1] if made else None


def next_version(known: Chain, sleeve: str, *, spec_hash: str, horizon: int, config_hash: str) -> str:
    """Semantic version of the sleeve's next champion, above every one that it ever had.

    Other features or another horizon than the champion's change what a device must compute or hold: the major number.
    Another recipe: the minor. The same recipe on later data: the patch.
    """
    now = champion(known, sleeve)
    if now is None:
        return "1.0.0"
    promoted = [r for r in known.records if r["sleeve"] == sleeve and r["event"] == ChampionEvent.PROMOTED]
    major, minor, patch = max(tuple(map(int, str(r["version"]).split("."))) for r in promoted)
    if (now["spec_hash"], now["horizon"]) != (spec_hash, horizon):
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if now["config_hash"] != config_hash else f"{major}.{minor}.{patch + 1}"


def case_path(registry: Path, sha256: str) -> Path:
    """Return where everything that a verdict was given on is kept."""
    return registry / CASES / f"{sha256}.json"


def read_case(registry: Path, record: Record) -> tuple[Path, JsonObject]:
    """Return what the verdict of `record` was given on, and where it is; raise `FixInput` where it is no longer that."""
    path = case_path(registry, str(record["case_sha256"]))
    case, sha256 = read_hashed(path) if path.exists() else ({}, "")
    if sha256 != record["case_sha256"]:
        raise FixInput("a case was removed or changed", where=str(path), fix=FIX)
    return path, case
