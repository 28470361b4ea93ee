"""The JSON document in which a device exports the arms that events drew in shadow, and what each would have made.

Entry points: `ArmLog` (the device fills it), `read_arm_log` (the trainer reads it).
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from signals.bundle.seal import Document
from signals.errors import FixInput
from signals.events.arms import ARMS, drawn
from signals.events.clusters import LiquidityThird
from signals.events.panel import Kind

FIX = "Export it again by `appliance arms --to FILE`"
KINDS, THIRDS = (tuple(member.name.lower().replace("_", "-") for member in words) for words in (Kind, LiquidityThird))


class ArmDecision(Document):
    """One event, the arm that it drew, and the R that the arm's trade made before costs; an open trade has no exit."""

    asof: date
    symbol: str = Field(min_length=1, max_length=32)
    kind: str
    third: str
    arm: int = Field(ge=0, lt=len(ARMS))
    propensity: float = Field(gt=0.0, le=1.0)
    seed: str = Field(min_length=1, max_length=64)
    exit: str | None
    realised_r: float | None = Field(allow_inf_nan=False)

    @property
    def cell(self) -> int:
        """Number of its kind and third of liquidity, which is what a model of its worth reads."""
        return KINDS.index(self.kind) * len(THIRDS) + THIRDS.index(self.third)

    @model_validator(mode="after")
    def _was_drawn(self) -> ArmDecision:
        if self.kind not in KINDS or self.third not in THIRDS:
            raise ValueError(f"{self.kind} or {self.third} is no word of an event")
        if (self.arm, self.propensity) != drawn(self.seed, self.asof, self.symbol):
            raise ValueError(f"{self.symbol} of {self.asof} did not draw arm {self.arm} with its seed")
        if self.exit is None and self.realised_r is not None:
            raise ValueError(f"{self.symbol} of {self.asof} has a result and no exit")
        return self


class ArmLog(Document):
    """Every draw of a device, oldest first; `arms` are (target, size), as the numbers mean them."""

    format: Literal["trademl-arms-1"] = "trademl-arms-1"
    venue: str
    is_rehearsal: bool
    arms: tuple[tuple[float, float], ...]
    decisions: tuple[ArmDecision, ...]

    @model_validator(mode="after")
    def _is_of_these_arms(self) -> ArmLog:
        if self.arms != tuple((arm.target, arm.size) for arm in ARMS):
            raise ValueError("the arms are others than this version's")
        if len({(one.asof, one.symbol) for one in self.decisions}) != len(self.decisions):
            raise ValueError("an event is there twice")
        return self


def read_arm_log(content: bytes, *, where: str) -> ArmLog:
    """Parse an exported log.

    Raises
    ------
    FixInput
        It is not one, or a draw in it is not what its seed gives.
    """
    try:
        return ArmLog.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FixInput(f"not a log of arms: {place or 'content'}: {first['msg']}", where=where, fix=FIX) from None
