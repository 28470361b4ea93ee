"""Configuration models of the learners, importable without their libraries."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from signals.config import Config

Scaling = Literal["moments", "quartiles"]


class Objective(StrEnum):
    """Objective of boosted trees on the target, the label's inverse-normal rank within its session.

    `regression` fits it by squared error, `quantile` one quantile of it, `rank` orders each session's names by its
    grades (LambdaRank, YetiRank), and `extremes` tells the top from the bottom share of each session, leaving out the
    middle; its score is the log-odds, never a probability.
    """

    REGRESSION = "regression"
    QUANTILE = "quantile"
    RANK = "rank"
    EXTREMES = "extremes"


class ApartConfig(Config):
    """The newest `validation_share` of the sessions fitted on, and the gap before them, which must cover the label's sessions."""

    validation_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    gap_sessions: int = Field(default=10, ge=1)


class StoppingConfig(ApartConfig):
    """When to stop: of trees, or of a network's epochs.

    Attributes
    ----------
    patience : int, trees or epochs
        0 fits all of them. Otherwise their number is the one after which the newest `validation_share` of the sessions
        fitted on got no better for so many, and all rows are then fitted with that number. Nothing outside the rows of
        the fold is looked at; `gap_sessions` before the validation sessions are left out, which must cover the label's.
    """

    patience: int = Field(default=0, ge=0)


class BoostedConfig(StoppingConfig):
    """Parameters that both boosting libraries share.

    Attributes
    ----------
    objective, quantile, grades, share
        The objective and what belongs to one of them: the quantile, the grades of `rank`, the share of `extremes`.
    monotone : mapping of feature to 1 or -1
        The score may only rise (1) or fall (-1) with it.
    """

    objective: Objective = Objective.REGRESSION
    quantile: float = Field(default=0.5, gt=0.0, lt=1.0)
    grades: int = Field(default=10, ge=2, le=31)
    share: float = Field(default=0.2, gt=0.0, le=0.5)
    monotone: dict[str, Literal[-1, 1]] = Field(default={})


BOOSTED_FIELDS = frozenset(BoostedConfig.model_fields)


LIGHTGBM_CHILD = 1e-3  # LightGBM's own; a recipe from before the choice keeps its hash


class LightGbmConfig(BoostedConfig):
    """Parameters of gradient-boosted trees; `min_child_weight` is LightGBM's `min_sum_hessian_in_leaf`, as `XgBoostConfig` has it.

    The defaults are for per-session ranks of stock returns, where a rank correlation of 0.02 is a good result: slow,
    shallow and heavily averaged.
    """

    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    num_leaves: int = Field(default=31, ge=2)
    max_depth: int = Field(default=-1, ge=-1)
    min_data_in_leaf: int = Field(default=500, ge=1)
    min_child_weight: float = Field(default=LIGHTGBM_CHILD, ge=0.0, exclude_if=lambda weight: weight == LIGHTGBM_CHILD)
    feature_fraction: float = Field(default=0.6, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=0.6, gt=0.0, le=1.0)
    lambda_l1: float = Field(default=0.0, ge=0.0)
    lambda_l2: float = Field(default=10.0, ge=0.0)
    max_bin: int = Field(default=63, ge=2)


class CatBoostConfig(BoostedConfig):
    """Parameters of CatBoost's symmetric trees; a depth of 5, 6 or 7 is 32, 64 or 128 leaves."""

    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    depth: int = Field(default=5, ge=1, le=10)
    rsm: float = Field(default=0.6, gt=0.0, le=1.0)
    subsample: float = Field(default=0.6, gt=0.0, le=1.0)
    l2_leaf_reg: float = Field(default=10.0, ge=0.0)
    border_count: int = Field(default=63, ge=2, le=254)


class XgBoostConfig(BoostedConfig):
    """Parameters of XGBoost's trees; `min_child_weight` is the least sum of second derivatives (rows, for squares) in a leaf."""

    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    max_depth: int = Field(default=5, ge=1, le=12)
    min_child_weight: float = Field(default=200.0, ge=0.0)
    subsample: float = Field(default=0.6, gt=0.0, le=1.0)
    colsample_bytree: float = Field(default=0.6, gt=0.0, le=1.0)
    reg_lambda: float = Field(default=10.0, ge=0.0)
    max_bin: int = Field(default=63, ge=2)


class RandomForestConfig(Config):
    """Parameters of a random forest: each tree sees `row_share` of the rows, each split `feature_share` of the features."""

    trees: int = Field(default=100, ge=1, le=1000)
    max_depth: int = Field(default=8, ge=1, le=16)
    min_leaf: int = Field(default=100, ge=1)
    row_share: float = Field(default=0.5, gt=0.0, le=1.0)
    feature_share: float = Field(default=0.3, gt=0.0, le=1.0)


class ScaledConfig(Config):
    """Scaling of the first layer, by the training rows.

    Attributes
    ----------
    scaling : str
        `moments` (mean and deviation) or `quartiles` (median and the distance between the quartiles, for features with wild
        tails); a recipe from before the choice keeps its hash.
    """

    scaling: Scaling = Field(default="moments", exclude_if=lambda scaling: scaling == "moments")


class RidgeConfig(ScaledConfig):
    """Linear least squares; `alpha` is the penalty per unit of total weight, on standardised features.

    `features` are the ones with a coefficient, all where it is empty; a recipe that names none says nothing of it.
    """

    alpha: float = Field(default=0.1, ge=0.0)
    features: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)


class LogisticConfig(ScaledConfig):
    """Linear log-odds of a session's top against its bottom `share`; `inverse_penalty` is scikit-learn's C."""

    share: float = Field(default=0.2, gt=0.0, le=0.5)
    inverse_penalty: float = Field(default=1e-3, gt=0.0)


class SvmConfig(ScaledConfig):
    """Parameters of the support vector machine; `share` as of the logistic regression.

    Attributes
    ----------
    inverse_penalty, width : float
        C, and the kernel exp(-d2 / (width x features)) of the squared distance d2.
    max_rows : int
        At most so many rows are learned from, evenly spaced: time grows with their square, and so does nothing else.
    """

    share: float = Field(default=0.2, gt=0.0, le=0.5)
    inverse_penalty: float = Field(default=0.3, gt=0.0)
    width: float = Field(default=2.0, gt=0.0)
    max_rows: int = Field(default=8000, ge=100, le=20000)


class EnsembleConfig(Config):
    """Names of the learners that an ensemble is made of, each with the recipe's section of its name."""

    members: tuple[str, ...] = Field(default=("lightgbm", "catboost", "xgboost"), min_length=2, max_length=16)


class VotingConfig(EnsembleConfig):
    """Parameters of voting: its members alone."""


class BlendingConfig(EnsembleConfig, ApartConfig):
    """Parameters of blending: the newest sessions, for which members that have not seen them are weighed."""


class StackingConfig(EnsembleConfig):
    """Parameters of stacking: folds of sessions, the gap around each, which must cover the label's sessions, and the penalty."""

    folds: int = Field(default=5, ge=2, le=20)
    gap_sessions: int = Field(default=10, ge=1)
    penalty: float = Field(default=1e-3, gt=0.0)


class FoundationConfig(Config):
    """Parameters of a foundation model, of which nothing is fitted.

    Attributes
    ----------
    weights, sha256 : str
        Folder of the checkpoint and the hash that it must have; an empty one takes what is there, and the model keeps it.
    series : str
        The feature of one-step returns that is forecast.
    horizon : int
        Steps ahead whose returns are summed.
    """

    weights: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    series: str = "return_1"
    horizon: int = Field(default=5, ge=1, le=64)
