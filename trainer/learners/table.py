"""The table of learners; each row imports its library on first use.

`LEARNERS` holds the built-in ones and those that installed packages offer in the group `trademl.learners`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from signals.config import Config
from signals.errors import BadConfig, FixInput
from signals.models.heads import Head
from signals.plugins import PluginTable
from signals.views import VIEWS
from trainer.learners.base import Capabilities, FitDevice, Learner, Model, on_cpu_alone
from trainer.learners.networks.parameters import MlpConfig
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.parameters import (
    BlendingConfig,
    BoostedConfig,
    CatBoostConfig,
    EnsembleConfig,
    FoundationConfig,
    LightGbmConfig,
    LogisticConfig,
    Objective,
    RandomForestConfig,
    RidgeConfig,
    StackingConfig,
    SvmConfig,
    VotingConfig,
    XgBoostConfig,
)
from trainer.learners.row import ONE_SCORE, LearnerRow, Making

GROUP = "trademl.learners"
WITH_GPU = Capabilities(devices=frozenset({FitDevice.CPU, FitDevice.CUDA}))
OF_CLASSES = Capabilities(heads=frozenset({"score", "classes"}))
OF_CLASSES_WITH_GPU = replace(OF_CLASSES, devices=WITH_GPU.devices)
IMPUTES = Capabilities(takes_missing=False)
IMPUTES_CLASSES = replace(OF_CLASSES, takes_missing=False)


def _lightgbm(config: LightGbmConfig, making: Making) -> Learner:
    from trainer.learners.lgbm import LightGbm, lightgbm_device

    return LightGbm(config, making.seed, device=lightgbm_device(making.device), classes=making.classes)


def _read_lightgbm(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.lgbm import LightGbmModel

    return LightGbmModel(text, names)


def _catboost(config: CatBoostConfig, making: Making) -> Learner:
    from trainer.learners.catb import CatBoost, catboost_device

    return CatBoost(config, making.seed, catboost_device(making.device), making.classes)


def _read_catboost(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.catb import CatBoostModel

    return CatBoostModel(text, names)


def _xgboost(config: XgBoostConfig, making: Making) -> Learner:
    from trainer.learners.tabular.xgb import XgBoost

    return XgBoost(config, making.seed, on_cpu_alone(making.device, "XGBoost"), making.classes)


def _read_xgboost(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.tabular.xgb import XgBoostModel

    return XgBoostModel(text, names)


def _random_forest(config: RandomForestConfig, making: Making) -> Learner:
    from trainer.learners.tabular.random_forest import RandomForest

    return RandomForest(config, making.seed, on_cpu_alone(making.device, "random_forest"), making.classes)


def _read_random_forest(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.tabular.random_forest import read_forest

    return read_forest(text)


def _svm(config: SvmConfig, making: Making) -> Learner:
    from trainer.learners.tabular.svm import Svm

    return Svm(config, on_cpu_alone(making.device, "svm"), making.classes)


def _read_svm(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.tabular.svm import read_svm

    return read_svm(text)


def _ridge(config: RidgeConfig, making: Making) -> Learner:
    from trainer.learners.linear import Ridge

    return Ridge(config, on_cpu_alone(making.device, "ridge"))


def har(config: RidgeConfig) -> Learner:
    """The HAR learner: least squares on logs with a small penalty, because its windows overlap."""
    from trainer.learners.har import ExpectedVariance
    from trainer.learners.linear import Ridge

    return ExpectedVariance(Ridge(config))


def _logistic(config: LogisticConfig, making: Making) -> Learner:
    from trainer.learners.linear import Logistic

    return Logistic(config, on_cpu_alone(making.device, "logistic"), making.classes)


def _read_linear(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.linear import read_linear

    return read_linear(text)


def _ensemble(config: EnsembleConfig, making: Making) -> Learner:
    from trainer.learners.ensembles.learners import Ensemble

    if making.member is None:
        raise BadConfig("an ensemble without the recipe of its members", where="members", fix="Make it by the recipe")
    return Ensemble(config, tuple(making.member(name) for name in config.members), making.head)


def _read_ensemble(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.ensembles.learners import read_ensemble

    return read_ensemble(text, names, lambda kind, member, columns: LEARNERS[kind].read(member, columns))


def _zero_shot(name: str) -> LearnerRow:
    """Row of a foundation model."""

    def make(config: FoundationConfig, making: Making) -> Learner:
        from trainer.learners.foundation.zero_shot import ZeroShot

        return ZeroShot(name, config, making.head, on_cpu_alone(making.device, name))

    def read(text: str, names: tuple[str, ...]) -> Model:
        from trainer.learners.foundation.zero_shot import read_zero_shot

        return read_zero_shot(text, names)

    views = frozenset({"windows", "several_windows"})
    can = Capabilities(views, frozenset({"score", "quantiles"}), takes_missing=False)
    return LearnerRow(name, FoundationConfig, make, read, can, by_chance=False)


def with_weights(config: Parameters, names: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Return sections for those of the learners that are foundation models, with the checkpoint of the folder and its hash.

    Raises
    ------
    FixInput
        None of them is one, or the folder holds no checkpoint.
    """
    from trainer.learners.foundation.zero_shot import digest_of

    kinds = [name for name in names if LEARNERS[name].config is FoundationConfig]
    if len(kinds) != 1:
        raise FixInput(f"{len(kinds)} foundation models among the learners", where="--weights", fix="Compare one at a time")
    return {kinds[0]: {**config.of(kinds[0]).model_dump(), "weights": str(folder.absolute()), "sha256": digest_of(folder)}}


def _mixes(name: str, config: type[EnsembleConfig], *heads: str) -> LearnerRow:
    """Row of an ensemble; `capabilities_of` says what the members leave of its capabilities."""
    every = Capabilities(frozenset(VIEWS), frozenset(heads), devices=WITH_GPU.devices)
    return LearnerRow(name, config, _ensemble, _read_ensemble, every)


TREES = {"learning_rate": (0.01, 0.05, 0.1)}
LIGHTGBM = {
    "num_leaves": (31, 63, 127),
    "max_depth": (-1, 7, 11),
    **TREES,
    "min_data_in_leaf": (50, 200),
    "feature_fraction": (0.6, 0.9),
    "bagging_fraction": (0.6, 0.9),
    "lambda_l1": (0, 10),
    "lambda_l2": (0, 10),
}
CATBOOST = {"depth": (5, 6, 7), **TREES, "rsm": (0.6, 0.9), "subsample": (0.6, 0.9), "l2_leaf_reg": (0, 10)}
XGBOOST = {
    "max_depth": (3, 5, 7),
    **TREES,
    "min_child_weight": (50, 200),
    "subsample": (0.6, 0.9),
    "colsample_bytree": (0.6, 0.9),
    "reg_lambda": (0, 10),
}
RANDOM_FOREST = {"max_depth": (5, 8, 11), "min_leaf": (50, 200), "feature_share": (0.2, 0.4)}
SVM = {"inverse_penalty": (0.1, 0.3, 1.0), "width": (1.0, 2.0, 4.0)}
RIDGE = {"alpha": (0.001, 0.01, 0.1, 1.0, 10.0)}
LOGISTIC = {"inverse_penalty": (1e-5, 1e-4, 1e-3, 1e-2), "share": (0.1, 0.2, 0.3)}

LEARNERS: Mapping[str, LearnerRow] = PluginTable(
    GROUP,
    LearnerRow,
    {
        "lightgbm": LearnerRow("lightgbm", LightGbmConfig, _lightgbm, _read_lightgbm, OF_CLASSES_WITH_GPU, LIGHTGBM),
        "catboost": LearnerRow("catboost", CatBoostConfig, _catboost, _read_catboost, OF_CLASSES_WITH_GPU, CATBOOST),
        "xgboost": LearnerRow("xgboost", XgBoostConfig, _xgboost, _read_xgboost, OF_CLASSES, XGBOOST),
        "random_forest": LearnerRow(
            "random_forest", RandomForestConfig, _random_forest, _read_random_forest, IMPUTES_CLASSES, RANDOM_FOREST
        ),
        "svm": LearnerRow("svm", SvmConfig, _svm, _read_svm, IMPUTES_CLASSES, SVM, by_chance=False),
        "ridge": LearnerRow("ridge", RidgeConfig, _ridge, _read_linear, IMPUTES, RIDGE, by_chance=False),
        "logistic": LearnerRow("logistic", LogisticConfig, _logistic, _read_linear, IMPUTES_CLASSES, LOGISTIC, by_chance=False),
        **NETWORKS,
        "chronos_bolt": _zero_shot("chronos_bolt"),
        "timesfm": _zero_shot("timesfm"),
        "voting": _mixes("voting", VotingConfig, "score", "classes", "quantiles"),
        "blending": _mixes("blending", BlendingConfig, "score", "classes"),
        "stacking": _mixes("stacking", StackingConfig, "score", "classes"),
    },
)


def learner_named(
    name: str,
    parameters: Parameters,
    seed: int,
    device: FitDevice = FitDevice.AUTO,
    *,
    head: Head = ONE_SCORE,
    checkpoints: Path | None = None,
) -> Learner:
    """Return the learner of that name with its parameters."""
    capabilities_of(name, parameters)

    def member(one: str) -> Learner:
        return learner_named(one, parameters, seed, device, head=head, checkpoints=checkpoints)

    return LEARNERS[name].make(parameters.of(name), Making(seed, device, head, checkpoints, member))


def capabilities_of(name: str, parameters: Parameters) -> Capabilities:
    """Return the capabilities of a learner with these parameters; of an ensemble, those that all its members share.

    Raises
    ------
    BadConfig
        A member is no learner or an ensemble itself, or the members share no view, no head, or no unit of their scores.
    """
    found, section = LEARNERS[name].capabilities, parameters.of(name)
    if not isinstance(section, EnsembleConfig):
        return found
    for one in section.members:
        if one not in LEARNERS or issubclass(LEARNERS[one].config, EnsembleConfig):
            raise BadConfig(f"{one!r} is no learner that an ensemble can hold", where=f"{name}.members", fix="Name other members")
    members = [LEARNERS[one].capabilities for one in section.members]
    shared = Capabilities(
        views=found.views.intersection(*(one.views for one in members)),
        heads=found.heads.intersection(*(one.heads for one in members)),
        takes_missing=all(one.takes_missing for one in members),
        devices=found.devices.intersection(*(one.devices for one in members)),
    )
    odds = {gives_log_odds(one, parameters) for one in section.members}
    has_one_unit = len(odds) == 1 or isinstance(section, StackingConfig)
    if not (shared.views and shared.heads and has_one_unit):
        lacking = "rows" if not shared.views else "heads" if not shared.heads else "units of their scores"
        raise BadConfig(f"{', '.join(section.members)} have no equal {lacking}", where=f"{name}.members", fix="Name members of one kind")
    return shared


def gives_log_odds(name: str, parameters: Parameters) -> bool:
    """Whether a learner's one score is a log-odds, of the session's top against its bottom share."""
    section = parameters.of(name)
    if isinstance(section, EnsembleConfig):
        return not isinstance(section, StackingConfig) and gives_log_odds(section.members[0], parameters)
    if isinstance(section, BoostedConfig):
        return section.objective is Objective.EXTREMES
    return isinstance(section, LogisticConfig | SvmConfig)


def read_sections(document: Any, model: type[Config], read: Callable[[LearnerRow, Any], object]) -> Any:
    """Read the keys of a document that `model` has no field for as sections of learners.

    Raises
    ------
    ValidationError
        A key is no learner's name, or its section is not what `read` takes.
    """
    if not isinstance(document, Mapping):
        return document
    sections, errors = dict[str, object](), list[InitErrorDetails]()
    for name, section in document.items():
        if name in model.model_fields:
            continue
        if name not in LEARNERS:
            errors.append(InitErrorDetails(type="extra_forbidden", loc=(name,), input=section))
            continue
        try:
            sections[name] = read(LEARNERS[name], section)
        except ValidationError as error:
            errors += [
                InitErrorDetails(
                    type=PydanticCustomError("section", "{reason}", {"reason": part["msg"]}), loc=(name, *part["loc"]), input=None
                )
                for part in error.errors()
            ]
    if errors:
        raise ValidationError.from_exception_data("sections of learners", errors)
    return {**document, **sections}


class Parameters(Config):
    """The parameters of every learner, each under its own name; the chosen one's are used.

    Learners without a field here have a section of their name all the same, and their defaults where there is none.
    """

    model_config = ConfigDict(extra="allow")

    lightgbm: LightGbmConfig = LightGbmConfig()
    catboost: CatBoostConfig = CatBoostConfig()
    ridge: RidgeConfig = RidgeConfig()
    logistic: LogisticConfig = LogisticConfig()
    mlp: MlpConfig = MlpConfig()

    @model_validator(mode="before")
    @classmethod
    def _reads_sections(cls, document: Any) -> Any:
        return read_sections(document, cls, lambda row, section: row.config.model_validate(section))

    def of(self, name: str) -> Config:
        """Return the parameters of the learner of that name."""
        section, config = getattr(self, name, None), LEARNERS[name].config
        return section if isinstance(section, config) else config()
