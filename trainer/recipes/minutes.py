"""The part of a recipe that says what a decision sees of one instrument's minutes."""

from typing import Literal

from pydantic import Field, field_validator

from signals.config import Config
from signals.minutes.grid import Hours
from signals.minutes.stretch import RUNGS
from signals.sleeves.bars import TABLE, Strategy


class MinutesConfig(Config):
    """Settings of a decision on minutes: timeframe, indicators and hours.

    Attributes
    ----------
    timeframe : int
        Minutes of a decision's bar, a rung of the ladder.
    hours : Hours or None
        None is the exchange's own: regular hours of New York, all hours elsewhere.
    indicators : tuple of str
        Of the training timeframe, names of the catalogue.
    features : str
        A feature set that is chosen inside each training fold from the whole catalogue; empty takes `indicators` as they are.
    length, session_minutes : int or None
        Of a bar as it comes in, and of a session of the usual length; None is what the data say.
    test_share : float
        Of the history that is sealed; 0 leaves `cpcv` as it is written. With it the embargo is min(1440 bars, 5 sessions), and
        1440 where a session has 24 hours.
    """

    timeframe: int = 5
    strategy: Strategy = Strategy.SINGLE
    hours: Hours | None = None
    indicators: tuple[str, ...] = TABLE
    features: Literal["", "boosting_optimal", "neural_optimal", "transformer_raw", "ensemble_base"] = ""
    length: int | None = Field(default=None, ge=1)
    session_minutes: int | None = Field(default=None, ge=1)
    test_share: float = Field(default=0.15, ge=0.0, lt=0.5)

    @field_validator("timeframe")
    @classmethod
    def _is_a_rung(cls, minutes: int) -> int:
        if minutes not in RUNGS:
            raise ValueError(f"a timeframe is one of {', '.join(str(rung) for rung in RUNGS)} minutes")
        return minutes
