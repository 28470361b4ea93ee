"""Search spaces of learners and parameters, and search settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from signals.config import Config

Number = int | float
Choices = dict[str, tuple[Number, ...]]

LIGHTGBM: Choices = {
    "num_leaves": (31, 63, 127),
    "max_depth": (-1, 7, 11),
    "learning_rate": (0.01, 0.05, 0.1),
    "min_data_in_leaf": (50, 200),
    "feature_fraction": (0.6, 0.9),
    "bagging_fraction": (0.6, 0.9),
    "lambda_l1": (0, 10),
    "lambda_l2": (0, 10),
}
CATBOOST: Choices = {
    "depth": (5, 6, 7),
    "learning_rate": (0.01, 0.05, 0.1),
    "rsm": (0.6, 0.9),
    "subsample": (0.6, 0.9),
    "l2_leaf_reg": (0, 10),
}
RIDGE: Choices = {"alpha": (0.001, 0.01, 0.1, 1.0, 10.0)}
LOGISTIC: Choices = {"inverse_penalty": (1e-5, 1e-4, 1e-3, 1e-2), "share": (0.1, 0.2, 0.3)}
MLP: Choices = {"learning_rate": (3e-4, 1e-3, 3e-3), "dropout": (0.0, 0.2, 0.4), "epochs": (3, 6, 12)}


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
    lightgbm, catboost, ridge, logistic, mlp : mapping of parameter to its values
        An empty one cannot be searched.
    """

    startup_trials: int = Field(default=10, ge=1)
    batch: int = Field(default=2, ge=1)
    warmup_folds: int = Field(default=3, ge=1)
    pruning_trials: int = Field(default=5, ge=1)
    rules: dict[str, Literal[-1, 1]] = Field(default={"momentum_12_1": 1, "zscore_20": -1})
    lightgbm: Choices = Field(default=LIGHTGBM)
    catboost: Choices = Field(default=CATBOOST)
    ridge: Choices = Field(default=RIDGE)
    logistic: Choices = Field(default=LOGISTIC)
    mlp: Choices = Field(default=MLP)
