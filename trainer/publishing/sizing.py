"""The evidence that sizes a book: walk-forward IC, and the t statistic of the policy's book."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput
from signals.monitoring.expectation import read_policy_book

MEND = "Train again with this version, on a longer range"


@dataclass(frozen=True)
class Measured:
    """A mean rank IC with its t and standard error."""

    mean: float
    t: float
    standard_error: float


def walk_forward_ic(evidence: Mapping[str, Any], where: str) -> Measured:
    """Return the IC by which a book is sized: the walk-forward one; of risk forecasts, which size none, their own.

    Raises
    ------
    FixInput
        The evidence has none, as after too short a range.
    """
    forward, own = evidence.get("walk_forward"), evidence.get("ic")
    found = forward.get("ic") if isinstance(forward, Mapping) else own
    found = found if isinstance(found, Mapping) else {}
    mean, t, error = found.get("mean"), found.get("t", found.get("t_newey_west")), found.get("standard_error")
    for value, what in ((mean, "mean"), (t, "t"), (error, "standard error")):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise FixInput(f"the walk-forward IC has no {what}", where=where, fix=MEND)
    return Measured(float(mean), float(t), float(error))  # type: ignore[arg-type]  # numbers by now


def sizing(evidence: Mapping[str, Any], where: str) -> SizingCoefficient:
    """Return what sizes the book of a run."""
    ic, book = walk_forward_ic(evidence, where), read_policy_book(evidence, where)
    return SizingCoefficient(ic.mean, ic.t, book.t if book else None)
