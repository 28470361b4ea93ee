"""One row of the table of learners: its parameters, what it can do, how it is made and how its written model is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signals.config import Config
from signals.models.heads import ClassesHead, Head, ScoreHead
from trainer.learners.base import Capabilities, FitDevice, Learner, Model

Space = Mapping[str, tuple[int | float, ...]]
ONE_SCORE = ScoreHead()
TABLES = Capabilities()


@dataclass(frozen=True)
class Making:
    """Arguments of a learner next to its parameters; `member` makes another learner of the same recipe, for ensembles."""

    seed: int
    device: FitDevice = FitDevice.AUTO
    head: Head = ONE_SCORE
    checkpoints: Path | None = None
    member: Callable[[str], Learner] | None = None

    @property
    def classes(self) -> int:
        """How many classes are told apart; 0 where the head is not one of classes."""
        return self.head.width if isinstance(self.head, ClassesHead) else 0


@dataclass(frozen=True)
class LearnerRow:
    """A kind of learner, as a plug-in offers it in the group `trademl.learners`.

    Attributes
    ----------
    config : type of Config
        Its parameters, all with defaults; a recipe's section of the learner's name is read as one.
    make : callable
        From parameters and `Making` to a `Learner`.
    read : callable
        From a written text form and feature names to a `Model`.
    space : mapping of parameter to values
        What a search tries unless a recipe says otherwise; an empty one cannot be searched.
    by_chance : bool
        Whether another seed gives another model.
    """

    name: str
    config: type[Config]
    make: Callable[[Any, Making], Learner]
    read: Callable[[str, tuple[str, ...]], Model]
    capabilities: Capabilities = TABLES
    space: Space = field(default_factory=dict)
    by_chance: bool = True
