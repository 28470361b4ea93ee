"""Rules that a retraining must pass to replace its predecessor. Pure.

The bound is set by chance (`trainer/validation/likeness.py`): a retraining that ranks names less like its predecessor,
or like the model that was accepted, than one seed's model would differ from another's, is no longer that model.
Averages of seeds differ less among themselves; held to that, honest retrainings on a week more of noise were refused.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import Field

from signals.config import Config, load_section
from trainer.runs.evidence import BarResult, at_least
from trainer.validation.likeness import Likeness, SeedNull

SECTION = "lineage"


class LineageConfig(Config):
    """The section `lineage` of the trainer's configuration.

    Attributes
    ----------
    max_sessions : int
        Sessions from the accepted model's last one to a retraining's; after them a full promotion is asked.
    min_sessions_apart : int
        Sessions that a retraining must have learned more than its predecessor: once a week, holidays included.
    sure_correlation : float
        Enough likeness whatever chance says; for learners without chance it is the bound itself.
    """

    max_sessions: int = Field(default=504, ge=1)
    min_sessions_apart: int = Field(default=4, ge=1)
    sure_correlation: float = Field(default=0.95, ge=0.9, le=1)


def read_rules(path: Path | None) -> LineageConfig:
    """Read the section of a trainer configuration; no file or no section means the defaults."""
    return load_section(path, SECTION, LineageConfig)


@dataclass(frozen=True)
class RecipeUsed:
    """Hashes of a model's settings and features, and its horizon in sessions."""

    config_hash: str
    spec_hash: str
    horizon: int


@dataclass(frozen=True)
class Facts:
    """Facts of a retraining before it is made.

    Sessions that it learns from beyond its predecessor, its age since the accepted model, and RED sessions since then.
    """

    apart: int
    age: int
    red: tuple[str, ...]


@dataclass(frozen=True)
class JudgedFacts(Facts):
    """The same with the model that was made: how alike both forebears are, what seeds alone do, and both recipes."""

    predecessor: Likeness
    ancestor: Likeness
    null: SeedNull | None
    recipe: RecipeUsed
    accepted: RecipeUsed


def due(facts: Facts, rules: LineageConfig) -> tuple[BarResult, ...]:
    """What can be said before anything is fitted: the distance to both models, and RED sessions."""
    age = facts.age
    rows = [at_least("week", facts.apart, float(rules.min_sessions_apart), "sessions more than its predecessor learned from")]
    why = f"sessions since the model that was accepted; after {rules.max_sessions} a full promotion is asked"
    rows.append(BarResult("age", age, float(rules.max_sessions), age <= rules.max_sessions, why))
    why = f"RED: {', '.join(facts.red)}" if facts.red else "no RED session since its predecessor"
    return (*rows, BarResult("data", float(len(facts.red)), 0.0, not facts.red, why))


def judge(facts: JudgedFacts, rules: LineageConfig) -> tuple[BarResult, ...]:
    """Every row of a retraining: what is due, the same recipe, and both differences inside their bounds."""
    changed = [one.name for one in fields(RecipeUsed) if getattr(facts.recipe, one.name) != getattr(facts.accepted, one.name)]
    why = "the recipe that was accepted" if not changed else f"another {', '.join(changed)} than the accepted model's"
    rows = [*due(facts, rules), BarResult("recipe", None, "unchanged", not changed, why)]
    low = facts.null.single.low if facts.null else None
    bound = min(rules.sure_correlation, low) if low is not None else rules.sure_correlation
    for name, found in (("predecessor", facts.predecessor), ("ancestor", facts.ancestor)):
        why = f"rank correlation of the newest sessions' scores with the {name}'s"
        why += "; the bound is the 1 % quantile of models with other seeds" * (low is not None)
        rows.append(at_least(name, found.rank_correlation, bound, why))
    if (kept := facts.predecessor.importance_kept) is not None:
        seeds = facts.null.importance if facts.null else None
        usual = f"; models with other seeds keep {seeds.mean:.0%}, {seeds.low:.0%} at least" if seeds else ""
        rows.append(BarResult("importance", kept, "reported", True, f"of the features' importance is where the predecessor had it{usual}"))
    return tuple(rows)
