"""The definition of a recipe: labels, learner, validation, limits of leaks, minutes and search of one sleeve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from signals.config import Config
from signals.features.treatment import Treatment
from signals.minutes.grid import Hours
from signals.minutes.stretch import RUNGS
from signals.models.heads import Head
from signals.sleeves import bars
from signals.sleeves.base import Sleeve
from signals.views import TableView, View
from trainer.labels.horizon import EntryPrice
from trainer.labels.weights import WeightConfig
from trainer.learners.base import FitDevice, Learner
from trainer.learners.networks.rows import RATES
from trainer.learners.row import ONE_SCORE
from trainer.learners.table import CATBOOST, LEARNERS, LIGHTGBM, LOGISTIC, RIDGE, Parameters, gives_log_odds, learner_named, read_sections

if TYPE_CHECKING:
    from trainer.tasks.base import Task


class LeakConfig(Config):
    """Limits of the leak battery.

    Attributes
    ----------
    baselines : tuple of str
        Features of prices alone, each a rule without learning: how their IC falls with a later entry, or with what was
        known a session before, is honest.
    max_excess_drop : float
        IC that the model may lose beyond the baselines when it enters one session, or one label, later (less two
        standard errors).
    max_lagged_drop : float
        IC that a model of features one session old may lose beyond the baselines (less two standard errors of the
        difference).
    max_shifted_t : float
        |t| of the IC of a model of other names' labels.
    replaced_sessions : int
        Sessions of which the bars are replaced; no feature of an earlier session may change.
    compared : int
        Name-sessions compared with a second vendor.
    min_compared : int
        With fewer in common the comparison says nothing, and fails.
    min_agreement : float
        Share of the compared returns and gaps that must agree, and of the volumes whose ratio is the usual one.
    """

    baselines: tuple[str, ...] = ("momentum_5", "momentum_20", "momentum_12_1", "zscore_20")
    max_excess_drop: float = Field(default=0.01, ge=0, le=1)
    max_lagged_drop: float = Field(default=0.015, ge=0, le=1)
    max_shifted_t: float = Field(default=4.0, gt=0)
    replaced_sessions: int = Field(default=3, ge=1, le=20)
    compared: int = Field(default=300, ge=100)
    min_compared: int = Field(default=100, ge=50)
    min_agreement: float = Field(default=0.9, gt=0.5, le=1)


class MinutesConfig(Config):
    """Settings of a decision on minutes: timeframe, indicators and hours.

    Attributes
    ----------
    timeframe : int
        Minutes of a decision's bar, a rung of the ladder.
    hours : Hours or None
        None is the exchange's own: regular hours of New York, all hours elsewhere.
    indicators : tuple of str
        Of the training timeframe, names of the catalogue.
    features : str
        A feature set that is chosen inside each training fold from the whole catalogue; empty takes `indicators` as they are.
    length, session_minutes : int or None
        Of a bar as it comes in, and of a session of the usual length; None is what the data say.
    test_share : float
        Of the history that is sealed; 0 leaves `cpcv` as it is written. With it the embargo is min(1440 bars, 5 sessions), and
        1440 where a session has 24 hours.
    """

    timeframe: int = 5
    strategy: bars.Strategy = bars.Strategy.SINGLE
    hours: Hours | None = None
    indicators: tuple[str, ...] = bars.TABLE
    features: Literal["", "boosting_optimal", "neural_optimal", "transformer_raw", "ensemble_base"] = ""
    length: int | None = Field(default=None, ge=1)
    session_minutes: int | None = Field(default=None, ge=1)
    test_share: float = Field(default=0.15, ge=0.0, lt=0.5)

    @field_validator("timeframe")
    @classmethod
    def _is_a_rung(cls, minutes: int) -> int:
        if minutes not in RUNGS:
            raise ValueError(f"a timeframe is one of {', '.join(str(rung) for rung in RUNGS)} minutes")
        return minutes


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


HORIZON = "horizon"
TABLE = TableView()
VIEW: TypeAdapter[View] = TypeAdapter(View)


def _of_document(view: object) -> object:
    """Read a view's document as JSON, which its strict fields ask for."""
    return VIEW.validate_json(json.dumps(view)) if isinstance(view, Mapping) else view


AnyView = Annotated[View, BeforeValidator(_of_document)]


class LabelConfig(Config):
    """The label: its kind, which chooses the task, k, the sessions from entry to exit, and where in a session both happen.

    The device refuses a bundle whose entry is not that of its own schedule (`execution.entry`): `opg` for the opening
    auction, `cls` for the closing one, `day` for steps through the session.
    """

    kind: str = HORIZON
    k: int = Field(default=5, ge=1, le=252)
    entry: EntryPrice = EntryPrice.OPG


class CpcvConfig(Config):
    """Cross-validation: N groups of which `test_groups` are tested, and what is kept apart.

    Attributes
    ----------
    embargo_sessions : int
        Sessions after a test segment's last label that no training label may touch.
    long_embargo_sessions : int
        A second cross-validation with this embargo (at least the longest look-back) shows whether features that look
        back into test sessions helped; 0 leaves it out.
    holdout_sessions : int
        The sealed holdout; 0 for none, which no promotion accepts.
    """

    groups: int = Field(default=8, ge=2, le=20)
    test_groups: int = Field(default=2, ge=1)
    embargo_sessions: int = Field(default=10, ge=0)
    long_embargo_sessions: int = Field(default=0, ge=0)
    holdout_sessions: int = Field(default=252, ge=0)

    @model_validator(mode="after")
    def _leaves_groups_to_train_on(self) -> CpcvConfig:
        if self.test_groups >= self.groups:
            raise ValueError(f"{self.test_groups} of {self.groups} groups tested leaves none to train on")
        return self


class RecipeConfig(Parameters):
    """Everything about a training that a person may choose, one YAML per sleeve.

    `seeds` models are fitted wherever one is, each with a seed of its own, and averaged; a search's trials and learners
    without chance (ridge, logistic) fit one.
    `sleeve` is the one that the recipe is for, empty where whoever reads it says so; it changes no fingerprint either, for a
    trial names its sleeve by itself. `view` is how a sample looks to the learner; `minutes` what a sleeve of minutes sees.
    `regime` adds the market's probability of being wild, as known at the close, to the features, and its states to the bundle.
    `features` winsorises and smooths those that differ between names.
    `window_sessions` are the newest sessions that every training of it learns from, so that a lineage's history rolls with it; 0 takes all.
    `cadence` says how often `trainer run` trains its lineage again, the service's own where it is empty; it changes no fingerprint.
    `study` names the search that the parameters came from, empty where a person chose them. It is no part of what is
    learned, so it changes no fingerprint; a training asks that the study be on record.
    """

    label: LabelConfig = LabelConfig()
    window_sessions: int = Field(default=0, ge=0)
    regime: bool = False
    features: Treatment | None = Field(default=None, exclude_if=lambda treatment: treatment is None)
    learner: str = "lightgbm"
    seeds: int = Field(default=1, ge=1, le=50)
    weighting: WeightConfig = WeightConfig()
    cpcv: CpcvConfig = CpcvConfig()
    search: SearchConfig = SearchConfig()
    study: str = ""
    cadence: Literal["", "nightly", "weekly", "manual"] = Field(default="", exclude=True)
    sleeve: str = Field(default="", exclude=True)
    view: AnyView = TABLE
    minutes: MinutesConfig | None = None

    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON of `identity`."""
        return RecipeConfig.hash_of(self.identity())

    def identity(self) -> dict[str, object]:
        """Return every value but the study, and what a recipe without it is: earlier recipes keep their hash."""
        is_default = {"view": self.view == TABLE, "minutes": self.minutes is None}
        is_default |= {"window_sessions": not self.window_sessions, "regime": not self.regime}
        left_out = ("study", *(name for name, holds in is_default.items() if holds))
        return {key: value for key, value in self.document().items() if key not in left_out}

    def document(self) -> dict[str, object]:
        """Every value as JSON has it, with the chosen learner's parameters even where they are the defaults."""
        return {**self.model_dump(mode="json"), self.learner: self.of(self.learner).model_dump(mode="json")}

    @field_validator("learner")
    @classmethod
    def _is_a_learner(cls, name: str) -> str:
        if name not in LEARNERS:
            raise ValueError(f"no learner {name!r}; choose from: {', '.join(LEARNERS)}")
        return name

    @model_validator(mode="after")
    def _searches_what_learners_have(self) -> RecipeConfig:
        for name in LEARNERS:
            section = self.of(name)
            for parameter, values in self.search.of(name).items():
                if parameter not in type(section).model_fields:
                    raise ValueError(f"search.{name} names {parameter!r}, which is no parameter of it")
                for value in values:
                    type(section).model_validate({**section.model_dump(), parameter: value})
        return self


def learner_of(config: RecipeConfig, seed: int, device: FitDevice, *, head: Head = ONE_SCORE, checkpoints: Path | None = None) -> Learner:
    """Return what the recipe fits: its learner, averaged over its seeds where chance has a part in it.

    `checkpoints` is a folder in which networks keep their epochs, so that an interrupted fit goes on from there.
    """
    from trainer.learners.averaged import Averaged, seeds_of  # brings in what writes graphs

    count = config.seeds if LEARNERS[config.learner].by_chance else 1
    made = tuple(learner_named(config.learner, config, one, device, head=head, checkpoints=checkpoints) for one in seeds_of(seed, count))
    return made[0] if count == 1 else Averaged(made)


def scores_log_odds(config: RecipeConfig) -> bool:
    """Whether the learner's score is a log-odds, of the session's top against its bottom share."""
    return gives_log_odds(config.learner, config)


@dataclass(frozen=True)
class Recipe:
    """The training half of a sleeve.

    Attributes
    ----------
    config : RecipeConfig
        Used where no file overrides it.
    leaks : LeakConfig
        Limits of the leak battery for this task; no file overrides them.
    """

    sleeve: Sleeve
    task: Task
    config: RecipeConfig
    leaks: LeakConfig = field(default_factory=LeakConfig)


__all__ = ["LEARNERS", "CpcvConfig", "LabelConfig", "Recipe", "RecipeConfig", "learner_of"]
