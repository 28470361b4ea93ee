"""Limits of the leak battery, set per recipe."""

from pydantic import Field

from signals.config import Config


class LeakConfig(Config):
    """Limits of the leak battery.

    Attributes
    ----------
    baselines : tuple of str
        Features of prices alone, each a rule without learning: how their IC falls with a later entry, or with what was
        known a session before, is honest.
    max_excess_drop : float
        IC that the model may lose beyond the baselines when it enters one session, or one label, later (less two
        standard errors).
    max_lagged_drop : float
        IC that a model of features one session old may lose beyond the baselines (less two standard errors of the
        difference).
    max_shifted_t : float
        |t| of the IC of a model of other names' labels.
    replaced_sessions : int
        Sessions of which the bars are replaced; no feature of an earlier session may change.
    compared : int
        Name-sessions compared with a second vendor.
    min_compared : int
        With fewer in common the comparison says nothing, and fails.
    min_agreement : float
        Share of the compared returns and gaps that must agree, and of the volumes whose ratio is the usual one.
    """

    baselines: tuple[str, ...] = ("momentum_5", "momentum_20", "momentum_12_1", "zscore_20")
    max_excess_drop: float = Field(default=0.01, ge=0, le=1)
    max_lagged_drop: float = Field(default=0.015, ge=0, le=1)
    max_shifted_t: float = Field(default=4.0, gt=0)
    replaced_sessions: int = Field(default=3, ge=1, le=20)
    compared: int = Field(default=300, ge=100)
    min_compared: int = Field(default=100, ge=50)
    min_agreement: float = Field(default=0.9, gt=0.5, le=1)
