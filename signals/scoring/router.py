"""Weights by which several sleeves' scores are blended when no stacker is in force."""

from __future__ import annotations

from pydantic import Field, model_validator

from signals.config import Config


class RouterConfig(Config):
    """Which sleeves are blended, and how much each counts when no stacker is in force.

    Attributes
    ----------
    weights : mapping of str to float
        By sleeve; positive. A sleeve without scores at asof is left out and the others are rescaled.
    """

    weights: dict[str, float] = Field(default={"equities_xs": 1.0}, min_length=1)

    @model_validator(mode="after")
    def _positive(self) -> RouterConfig:
        if any(weight <= 0 for weight in self.weights.values()):
            raise ValueError("a sleeve's weight is positive; leave the sleeve out instead")
        return self
