"""Rules that a retraining must pass to replace its predecessor. Pure.

The bound is set by chance (`trainer/validation/likeness.py`): a retraining that ranks names less like its predecessor,
or like the model that was accepted, than one seed's model would differ from another's, is no longer that model.
Averages of seeds differ less among themselves; held to that, honest retrainings on a week more of noise were refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from signals.config import Config, load_section
from trainer.promotion.bars.case import BarResult, at_least, get, number

SECTION = "lineage"
RECIPE = ("config_hash", "spec_hash", "horizon")


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


def due(facts: Mapping[str, Any], rules: LineageConfig) -> tuple[BarResult, ...]:
    """What can be said before anything is fitted: `apart`, `age` in sessions, and the `red` sessions of the week."""
    apart, age, red = number(facts, "apart"), number(facts, "age"), facts.get("red")
    rows = [at_least("week", apart, float(rules.min_sessions_apart), "sessions more than its predecessor learned from")]
    why = f"sessions since the model that was accepted; after {rules.max_sessions} a full promotion is asked"
    passed = age is not None and age <= rules.max_sessions
    rows.append(BarResult("age", age, float(rules.max_sessions), passed, why))
    known = [str(day) for day in red] if isinstance(red, list) else None
    told = "no RED session since its predecessor" if known == [] else f"RED: {', '.join(known or ['not known'])}"
    return (*rows, BarResult("data", None if known is None else float(len(known)), 0.0, known == [], told))


def judge(facts: Mapping[str, Any], rules: LineageConfig) -> tuple[BarResult, ...]:
    """Every row of a retraining: what is due, the same recipe, and both differences inside their bounds."""
    same = [name for name in RECIPE if get(facts, "recipe", name) != get(facts, "accepted", name)]
    told = "the recipe that was accepted" if not same else f"another {', '.join(same)} than the accepted model's"
    rows = [*due(facts, rules), BarResult("recipe", None, "unchanged", not same, told)]
    low = number(get(facts, "null", "single"), "low")
    bound = min(rules.sure_correlation, low) if low is not None else rules.sure_correlation
    for name in ("predecessor", "ancestor"):
        why = f"rank correlation of the newest sessions' scores with the {name}'s"
        why += "; the bound is the 1 % quantile of models with other seeds" * (low is not None)
        rows.append(at_least(name, number(get(facts, name), "rank_correlation"), bound, why))
    return tuple(rows)
