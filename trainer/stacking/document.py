"""The document of a stack, `stack.json`: its members, weights, figures and verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from trainer.stacking.budgets import BudgetFigures
from trainer.stacking.verdict import Condition
from trainer.validation.ic import Mean

FORMAT = "trademl-stack-1"


@dataclass(frozen=True)
class StackedMember:
    """The run of one member."""

    name: str
    sleeve: str
    snapshot_id: str
    config_hash: str
    code_version: str


@dataclass(frozen=True)
class RecordFigures:
    """Performance of one set of scores; Sharpe ratios are annual."""

    ic: Mean
    forward_ic: Mean
    tries: int
    sharpe: float | None
    sharpe_interval: tuple[float, float]
    sessions: int


@dataclass(frozen=True)
class StackFigures:
    """The whole document.

    Attributes
    ----------
    weights : mapping of member to weight, or None
        Of the whole set of members; None for trees, as each of `weights_by_group`.
    device_weights : mapping of sleeve to weight
        With which a device counts the sleeves as they were learned; empty of trees, or of two runs of one sleeve.
    budgets : mapping of member to share
        Of the risk, by hierarchical risk parity over the members' walk-forward books: a number beside the weights, which decides nothing.
    firmness : BudgetFigures
        Of the budgets: under redrawn histories, and from month to month.
    rows : tuple of Condition
        What the stack has to exceed.
    """

    learner: str
    seed: int
    code_version: str
    members: tuple[StackedMember, ...]
    groups: int
    horizon: int
    sessions: int
    first: date
    last: date
    weights: Mapping[str, float] | None
    device_weights: Mapping[str, float]
    weights_by_group: tuple[Mapping[str, float] | None, ...]
    records: Mapping[str, RecordFigures]
    best: str
    rows: tuple[Condition, ...]
    promotable: bool
    format: str = FORMAT
    budgets: Mapping[str, float] = field(default_factory=dict)
    firmness: BudgetFigures = field(default_factory=BudgetFigures)
