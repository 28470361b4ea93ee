"""Settings of a recipe that forecasts volatility."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from trainer.learners.parameters import LightGbmConfig, Objective, RidgeConfig
from trainer.recipes.base import LabelConfig, RecipeConfig

FORMER = ("horizons", "interval", "drawdown_sessions", "drawdown_level")  # stood at the top of the file once


class VolatilityLabel(LabelConfig):
    """The forecast horizons, quantiles and intervals.

    Attributes
    ----------
    k : int, sessions
        Of the volatility that devices use.
    horizons : tuple of int, sessions
        Of all volatility forecasts; k is among them.
    interval : float
        Share of outcomes that the band of the trees shall hold.
    drawdown_sessions, drawdown_level
        The drawdown that is exceeded with probability 1 - level within so many sessions.
    """

    kind: Literal["volatility"] = "volatility"
    horizons: tuple[int, ...] = (5, 21)
    interval: float = Field(default=0.90, gt=0.0, lt=1.0)
    drawdown_sessions: int = Field(default=21, ge=2, le=252)
    drawdown_level: float = Field(default=0.95, gt=0.5, lt=1.0)

    @model_validator(mode="after")
    def _forecasts_what_devices_use(self) -> VolatilityLabel:
        if self.k not in self.horizons or len(set(self.horizons)) != len(self.horizons):
            raise ValueError(f"horizons are distinct and hold {self.k}, which devices use")
        if min(self.horizons) < 1:
            raise ValueError("a horizon is at least one session")
        return self

    @property
    def band(self) -> tuple[float, float]:
        """Levels of the band's two edges."""
        return (1.0 - self.interval) / 2.0, (1.0 + self.interval) / 2.0


class VolatilityRecipe(RecipeConfig):
    """Everything about a forecast of volatility that a person may choose.

    The learner forecasts volatility, restated to the expected variance: with `ridge`, whose penalty is small because the
    windows overlap and nothing needs to be left out, it is HAR. `lightgbm` fits the quantiles, whatever the learner; its
    objective and quantile are set for each of them.
    """

    label: VolatilityLabel = VolatilityLabel()
    learner: str = "ridge"
    ridge: RidgeConfig = RidgeConfig(alpha=1e-4)
    lightgbm: LightGbmConfig = LightGbmConfig(
        trees=60, learning_rate=0.1, num_leaves=15, min_data_in_leaf=2000, bagging_fraction=0.5, lambda_l2=1.0
    )

    @model_validator(mode="before")
    @classmethod
    def _of_the_form_before(cls, given: Any) -> Any:
        """Read a file that has the label's settings at its top, and the penalty of HAR under its own name."""
        if not isinstance(given, Mapping) or not {"har", *FORMER} & set(given):
            return given
        document = {key: value for key, value in given.items() if key not in ("har", *FORMER)}
        document["label"] = {**document.get("label", {}), **{key: given[key] for key in FORMER if key in given}}
        return document | ({"ridge": given["har"]} if "har" in given else {})

    def quantile(self, q: float) -> LightGbmConfig:
        """Return the parameters of the trees that fit the q-quantile."""
        return self.lightgbm.model_copy(update={"objective": Objective.QUANTILE, "quantile": q})
