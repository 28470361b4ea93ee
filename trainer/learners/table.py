"""The table of learners; each row imports its library on first use.

A row turns parameters, seed and wished device into a `Learner`, and a written text form back into a `Model`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from signals.config import Config
from signals.errors import FixInput
from trainer.learners.base import FitDevice, Learner, Model, on_cpu_alone
from trainer.learners.capabilities import Capabilities
from trainer.learners.parameters import CatBoostConfig, LightGbmConfig, LogisticConfig, MlpConfig, RidgeConfig


class LearnerKind(StrEnum):
    """What learns."""

    LIGHTGBM = "lightgbm"
    CATBOOST = "catboost"
    RIDGE = "ridge"
    LOGISTIC = "logistic"
    MLP = "mlp"


class Parameters(Config):
    """The parameters of every learner, each under its own name; the chosen one's are used."""

    lightgbm: LightGbmConfig = LightGbmConfig()
    catboost: CatBoostConfig = CatBoostConfig()
    ridge: RidgeConfig = RidgeConfig()
    logistic: LogisticConfig = LogisticConfig()
    mlp: MlpConfig = MlpConfig()


TABLES = Capabilities()


@dataclass(frozen=True)
class LearnerRow:
    """How one kind of learner is made, and how its written model is read."""

    make: Callable[[Parameters, int, FitDevice], Learner]
    read: Callable[[str, tuple[str, ...]], Model]
    capabilities: Capabilities = TABLES

    def __call__(self, parameters: Parameters, seed: int, device: FitDevice = FitDevice.AUTO) -> Learner:
        """Return the learner."""
        return self.make(parameters, seed, device)


def _lightgbm(parameters: Parameters, seed: int, device: FitDevice) -> Learner:
    from trainer.learners.lgbm import LightGbm

    return LightGbm(parameters.lightgbm, seed, device=on_cpu_alone(device, "LightGBM"))


def _read_lightgbm(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.lgbm import LightGbmModel

    return LightGbmModel(text, names)


def _catboost(parameters: Parameters, seed: int, device: FitDevice) -> Learner:
    from trainer.learners.catb import CatBoost, catboost_device

    return CatBoost(parameters.catboost, seed, catboost_device(device))


def _read_catboost(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.catb import CatBoostModel

    return CatBoostModel(text, names)


def _ridge(parameters: Parameters, seed: int, device: FitDevice) -> Learner:
    from trainer.learners.linear import Ridge

    return Ridge(parameters.ridge, on_cpu_alone(device, "ridge"))


def har(config: RidgeConfig) -> Learner:
    """The HAR learner: least squares on logs with a small penalty, because its windows overlap."""
    from trainer.learners.har import ExpectedVariance
    from trainer.learners.linear import Ridge

    return ExpectedVariance(Ridge(config))


def _logistic(parameters: Parameters, seed: int, device: FitDevice) -> Learner:
    from trainer.learners.linear import Logistic

    return Logistic(parameters.logistic, on_cpu_alone(device, "logistic"))


def _read_linear(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.linear import read_linear

    return read_linear(text)


def _mlp(parameters: Parameters, seed: int, device: FitDevice) -> Learner:
    if find_spec("torch") is None:
        raise FixInput("the learner mlp needs torch", where="mlp", fix="Run `make test-deep`, which installs it")
    from trainer.learners.mlp import Mlp, chosen_device

    return Mlp(parameters.mlp, seed, chosen_device(device))


def _read_mlp(text: str, names: tuple[str, ...]) -> Model:
    from trainer.learners.mlp import read_mlp

    return read_mlp(text, names)


BOTH = frozenset({FitDevice.CPU, FitDevice.CUDA})
IMPUTES = Capabilities(takes_missing=False)
LEARNERS: Mapping[LearnerKind, LearnerRow] = {
    LearnerKind.LIGHTGBM: LearnerRow(_lightgbm, _read_lightgbm),
    LearnerKind.CATBOOST: LearnerRow(_catboost, _read_catboost, Capabilities(devices=BOTH)),
    LearnerKind.RIDGE: LearnerRow(_ridge, _read_linear, IMPUTES),
    LearnerKind.LOGISTIC: LearnerRow(_logistic, _read_linear, IMPUTES),
    LearnerKind.MLP: LearnerRow(_mlp, _read_mlp, Capabilities(takes_missing=False, devices=BOTH)),
}
