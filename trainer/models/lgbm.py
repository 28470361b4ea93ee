"""LightGBM on float32 features: deterministic, and exact when exported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import lightgbm
import numpy as np
from pydantic import Field

from signals.bars import Floats
from signals.config import Config
from signals.errors import InvariantBroken
from trainer.models.base import Matrix
from trainer.models.trees import read_trees, trees_to_onnx, with_float32_thresholds


class LightGbmConfig(Config):
    """Parameters of gradient-boosted regression trees with squared loss.

    The defaults are for per-session ranks of stock returns, where a rank correlation of 0.02 is a good result: slow,
    shallow and heavily averaged.
    """

    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    num_leaves: int = Field(default=31, ge=2)
    max_depth: int = Field(default=-1, ge=-1)
    min_data_in_leaf: int = Field(default=500, ge=1)
    feature_fraction: float = Field(default=0.6, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=0.6, gt=0.0, le=1.0)
    lambda_l1: float = Field(default=0.0, ge=0.0)
    lambda_l2: float = Field(default=10.0, ge=0.0)
    max_bin: int = Field(default=63, ge=2)


@dataclass(frozen=True)
class LightGbm:
    """The learner. `threads` changes speed alone: LightGBM's deterministic mode sums in a fixed order."""

    config: LightGbmConfig
    seed: int
    threads: int = 1

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...]) -> LightGbmModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        if features.dtype != np.float32 or features.shape != (len(target), len(names)):
            raise InvariantBroken(f"features are {features.dtype} {features.shape}, not float32 per target and name")
        data = lightgbm.Dataset(
            features, target, weight=weight, feature_name=list(names), params=self._parameters(), free_raw_data=True
        )
        booster = lightgbm.train(self._parameters(), data, num_boost_round=self.config.trees)
        exact = lightgbm.Booster(model_str=_canonical(booster.model_to_string(num_iteration=-1)))
        return LightGbmModel(exact.model_to_string(num_iteration=-1), names, self.threads)

    def _parameters(self) -> dict[str, object]:
        shape = self.config.model_dump(exclude={"trees"})
        return {
            **shape, "objective": "regression", "bagging_freq": 1, "seed": self.seed, "deterministic": True,
            "force_col_wise": True, "num_threads": self.threads, "verbosity": -1,
        }  # fmt: skip


@dataclass(frozen=True)
class LightGbmModel:
    """Fitted trees, held as LightGBM's text with thresholds that float32 can express."""

    text: str
    names: tuple[str, ...]
    threads: int = 1

    def __reduce__(self) -> tuple[type[LightGbmModel], tuple[str, tuple[str, ...], int]]:
        """Pickle the text alone: the same bytes whether or not the model has predicted."""
        return LightGbmModel, (self.text, self.names, self.threads)

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,)."""
        if features.dtype != np.float32 or features.shape[1] != len(self.names):
            raise InvariantBroken(f"features are {features.dtype} {features.shape}, not float32 [n, {len(self.names)}]")
        if len(features) == 0:
            return np.zeros(0)
        return np.asarray(self._booster.predict(features, num_threads=self.threads), dtype=np.float64)

    def to_onnx(self) -> bytes:
        """ONNX graph of the same trees."""
        return trees_to_onnx(read_trees(self.text), len(self.names))

    def to_text(self) -> str:
        """LightGBM's own text form."""
        return self.text

    def importance(self) -> Floats:
        """Share of the total gain per feature."""
        gain = np.asarray(self._booster.feature_importance("gain"), dtype=np.float64)
        total = float(gain.sum())
        shares: Floats = gain / total if total > 0.0 else np.zeros(len(self.names))
        return shares


def _canonical(text: str) -> str:
    """Thresholds that float32 can express, and no trace of the thread count, which changes nothing else."""
    lines = with_float32_thresholds(text).split("\n")
    return "\n".join(line for line in lines if not line.startswith("[num_threads:"))
