"""Settings of the trade that an event proposes, which the tasks of events share."""

from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from signals.events.outcomes import OutcomeRules
from trainer.labels.horizon import EntryPrice
from trainer.learners.parameters import LightGbmConfig, Objective
from trainer.recipes.base import LabelConfig

TREES = LightGbmConfig(objective=Objective.REGRESSION, trees=80, num_leaves=7, min_data_in_leaf=300)


class EventTrade(LabelConfig):
    """The trade of an event: entry at the next open, stop in ATR, target in R, k sessions of patience.

    `cost_bps` is what a way in and out costs, spread and impact together, of the value traded.
    """

    k: int = Field(default=30, ge=1, le=252)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    stop_atr: float = Field(default=1.0, gt=0.0)
    target_r: float = Field(default=1.0, gt=0.0)
    cost_bps: float = Field(default=10.0, ge=0.0)

    @property
    def rules(self) -> OutcomeRules:
        """As outcomes are played."""
        return OutcomeRules(self.stop_atr, self.target_r, self.k)


class AnalogTrade(EventTrade):
    """An event's trade that is forecast with what past events like it made.

    `analogs` is the folder of a run of the sleeve `patterns`, whose net says what is alike; empty for none.
    """

    analogs: str = ""

    @model_serializer(mode="wrap")
    def _without_default(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what is not asked for: recipes from before it keep their hash."""
        document: dict[str, object] = write(self)
        return {key: value for key, value in document.items() if key != "analogs" or value}
