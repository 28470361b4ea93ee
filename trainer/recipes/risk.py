"""The recipe of `risk`: HAR for volatility, boosted trees for its quantiles and for drawdowns."""

from __future__ import annotations

from pydantic import Field, model_validator

from signals.config import Config
from signals.sleeves.risk import RISK as SLEEVE
from trainer.learners.parameters import LightGbmConfig, Objective, RidgeConfig
from trainer.recipes.base import CpcvConfig


class RiskConfig(Config):
    """Everything about a training of the sleeve `risk` that a person may choose.

    Attributes
    ----------
    horizons : tuple of int, sessions
        Of the volatility forecasts; the sleeve's own, which devices use, is among them.
    interval : float
        Share of outcomes that the band of the trees shall hold.
    drawdown_sessions, drawdown_level
        The drawdown that is exceeded with probability 1 - level within so many sessions.
    har : RidgeConfig
        Its penalty is small: the windows overlap, nothing needs to be left out.
    lightgbm : LightGbmConfig
        Of the quantiles; its objective and quantile are set for each of them.
    cpcv : CpcvConfig
    """

    horizons: tuple[int, ...] = (5, 21)
    interval: float = Field(default=0.90, gt=0.0, lt=1.0)
    drawdown_sessions: int = Field(default=21, ge=2, le=252)
    drawdown_level: float = Field(default=0.95, gt=0.5, lt=1.0)
    har: RidgeConfig = RidgeConfig(alpha=1e-4)
    lightgbm: LightGbmConfig = LightGbmConfig(
        trees=60, learning_rate=0.1, num_leaves=15, min_data_in_leaf=2000, bagging_fraction=0.5, lambda_l2=1.0
    )
    cpcv: CpcvConfig = CpcvConfig()

    @model_validator(mode="after")
    def _forecasts_what_devices_use(self) -> RiskConfig:
        if SLEEVE.horizon_sessions not in self.horizons or len(set(self.horizons)) != len(self.horizons):
            raise ValueError(f"horizons are distinct and hold {SLEEVE.horizon_sessions}, which devices use")
        if min(self.horizons) < 1:
            raise ValueError("a horizon is at least one session")
        return self

    def quantile(self, q: float) -> LightGbmConfig:
        """Return the parameters of the trees that fit the q-quantile."""
        return self.lightgbm.model_copy(update={"objective": Objective.QUANTILE, "quantile": q})

    @property
    def band(self) -> tuple[float, float]:
        """Levels of the band's two edges."""
        return (1.0 - self.interval) / 2.0, (1.0 + self.interval) / 2.0
