"""The JSON document in which a device exports the multipliers that its plans drew in shadow, with the book that each would have sized.

Entry points: `SizeLog` (the device fills it), `read_size_log` (the trainer reads it), `drawn_level` (both draw by it).
"""

from datetime import date
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from signals.bundle.seal import Document
from signals.errors import FixInput
from signals.events.arms import draw, uniform

FIX = "Export it again by `appliance sizes --to FILE`"
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def drawn_level(seed: str, asof: date, levels: int) -> tuple[int, float]:
    """Return the level of a plan and its propensity; all levels are as likely, which makes the fewest sessions suffice."""
    return draw(np.full(levels, 1.0 / levels), uniform(seed, asof, "size"))


class SizeDecision(Document):
    """One plan's draw.

    Attributes
    ----------
    asof, session : date
        Of the state, and of the plan.
    before, multiplier : float
        The draw of the plan of the session before, 1 where that drew none, and this one.
    state : tuple of float
        Of the whole book.
    book : mapping of symbol to float
        Signed weights of the whole book after the plan's step, under the names of `session`.
    """

    asof: date
    session: date
    before: Share
    multiplier: Share
    propensity: float = Field(gt=0.0, le=1.0)
    seed: str = Field(min_length=1, max_length=64)
    state: tuple[float, ...] = Field(min_length=1, max_length=64)
    book: dict[str, float]


class SizeLog(Document):
    """Every draw of a device, oldest first; `names` are those of the state's numbers, `grid` the multipliers."""

    format: Literal["trademl-sizes-1"] = "trademl-sizes-1"
    venue: str
    is_rehearsal: bool
    grid: tuple[Share, ...] = Field(min_length=2, max_length=16)
    names: tuple[str, ...]
    decisions: tuple[SizeDecision, ...]

    @model_validator(mode="after")
    def _was_drawn(self) -> Self:
        for one in self.decisions:
            level, propensity = drawn_level(one.seed, one.asof, len(self.grid))
            if (one.multiplier, one.propensity) != (self.grid[level], propensity):
                raise ValueError(f"the plan of {one.session} did not draw {one.multiplier} with its seed")
            if one.before not in self.grid or len(one.state) != len(self.names):
                raise ValueError(f"the plan of {one.session} has another grid or state")
        if len({one.asof for one in self.decisions}) != len(self.decisions):
            raise ValueError("a session is there twice")
        return self


def read_size_log(content: bytes, *, where: str) -> SizeLog:
    """Parse an exported log.

    Raises
    ------
    FixInput
        It is not one, or a draw in it is not what its seed gives.
    """
    try:
        return SizeLog.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FixInput(f"not a log of sizes: {place or 'content'}: {first['msg']}", where=where, fix=FIX) from None
