"""Search spaces of learners and parameters, and search settings."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from signals.config import Config
from trainer.learners.networks.rows import RATES
from trainer.learners.table import CATBOOST, LEARNERS, LIGHTGBM, LOGISTIC, RIDGE, read_sections

Number = int | float
Choices = Mapping[str, tuple[Number, ...]]
CHOICES = TypeAdapter(Choices)


class SearchConfig(Config):
    """A search.

    Attributes
    ----------
    startup_trials : int
        Trials drawn at random before the sampler learns from them.
    batch : int
        Trials that are chosen together and fitted side by side. It changes what is chosen next, so it belongs to the
        recipe; how many workers fit them does not.
    warmup_folds, pruning_trials : int
        No trial is given up before this many walk-forward folds, nor before this many trials are complete.
    rules : mapping of feature to 1 or -1
        Baselines that need no learning: the names with the most, or the least, of a feature.
    lightgbm, catboost, ridge, logistic, mlp, and every other learner's name : mapping of parameter to its values
        An empty one cannot be searched.
    """

    model_config = ConfigDict(extra="allow")

    startup_trials: int = Field(default=10, ge=1)
    batch: int = Field(default=2, ge=1)
    warmup_folds: int = Field(default=3, ge=1)
    pruning_trials: int = Field(default=5, ge=1)
    rules: dict[str, Literal[-1, 1]] = Field(default={"momentum_12_1": 1, "zscore_20": -1})
    lightgbm: Choices = Field(default=LIGHTGBM)
    catboost: Choices = Field(default=CATBOOST)
    ridge: Choices = Field(default=RIDGE)
    logistic: Choices = Field(default=LOGISTIC)
    mlp: Choices = Field(default=RATES)

    @model_validator(mode="before")
    @classmethod
    def _reads_sections(cls, document: Any) -> Any:
        return read_sections(document, cls, lambda row, section: CHOICES.validate_python(section))

    def of(self, name: str) -> Choices:
        """Return what is tried of the learner of that name."""
        found: Choices | None = getattr(self, name, None)
        return LEARNERS[name].space if found is None else found
