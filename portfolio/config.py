"""Configuration of the portfolio policy, with units."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from signals.config import Config


class BookSides(StrEnum):
    """Which sides the book may hold."""

    LONG_SHORT = "long_short"
    LONG_ONLY = "long_only"


class Weighting(StrEnum):
    """How a side's gross is shared among its names: by conviction, or by hierarchical risk parity."""

    SCORE = "score"
    HRP = "hrp"


class CvarMethod(StrEnum):
    """Where the tail of the book's one-session losses comes from; `portfolio.risk.cvar` has the formulas."""

    HISTORICAL = "historical"
    EVT = "evt"
    NORMAL = "normal"


class CvarBudget(Config):
    """The largest expected shortfall of a target over one session.

    Attributes
    ----------
    limit : float
        Fraction of equity; scales down only.
    level : float
        q: the mean of the worst 1 - q of sessions. 252 sessions hold two or three beyond 0.99: there, ask for `evt`.
    """

    limit: float = Field(gt=0, le=1)
    level: float = Field(0.95, ge=0.9, lt=1)
    method: CvarMethod = CvarMethod.HISTORICAL


class PortfolioConfig(Config):
    """The portfolio policy. Weights and limits are fractions of equity unless a name says otherwise.

    Attributes
    ----------
    names_per_side : int
        N: the book holds the top and bottom N names (long-only: at most 2 N), fewer when equity is small.
    min_position_usd : float
        The book holds at most equity / min_position_usd names.
    gross_target : float
        Largest sum of absolute weights of a target.
    name_cap : float
        Largest absolute weight of a target.
    net_limit, beta_limit : float
        |sum w| and |beta'w| of a long/short target.
    sector_limit : float or None
        |sum of w over a sector| of a long/short target; None leaves sectors free.
    kelly_fraction : float
        c: the share of the Kelly scalar that is used.
    fixed_ic : float or None
        Rehearsals only: stands in for the shrunk walk-forward IC and for its evidence, and the decisions say so.
    rehearsal_gross : float
        Gross of a book whose bundle a person accepted unproven: a declared size, never one by evidence.
    volatility_target : float
        Annualised, ex ante; scales down only.
    weighting : Weighting
        How a side's gross is shared among the chosen names.
    cvar : CvarBudget or None
        None leaves the tail to the volatility target.
    entry_quantile, exit_quantile : float
        Long-only: a name enters at or above the first and leaves below the second.
    step_sessions : int or None
        k: each session moves 1/k of the way to target; None takes the risk model's horizon.
    band_usd, band_share : float
        The smallest trade is max(band_usd, band_share x equity).
    round_trip_cost_bps : float
        Cost of entering and leaving: the full quoted spread, of which each side pays half.
    turnover_limit : float
        Largest sum |dw| / 2 of one session.
    stepped_gross_limit, stepped_net_limit, stepped_beta_limit, stepped_name_limit : float
        Bounds of the book between two targets: wider than a target's, inside the device's tripwires.
    """

    mode: BookSides = BookSides.LONG_SHORT
    names_per_side: int = Field(50, ge=1)
    min_position_usd: float = Field(500.0, gt=0)
    gross_target: float = Field(0.95, gt=0, le=1)
    name_cap: float = Field(0.045, gt=0, le=1)
    net_limit: float = Field(0.02, gt=0, le=1)
    beta_limit: float = Field(0.05, gt=0, le=1)
    sector_limit: float | None = Field(None, gt=0, le=1)
    kelly_fraction: float = Field(0.5, gt=0, le=1)
    fixed_ic: float | None = Field(None, ge=-1, le=1)
    rehearsal_gross: float = Field(0.25, gt=0, le=1)
    volatility_target: float = Field(0.10, gt=0, le=1)
    weighting: Weighting = Weighting.SCORE
    cvar: CvarBudget | None = None
    entry_quantile: float = Field(0.8, gt=0, lt=1)
    exit_quantile: float = Field(0.4, gt=0, lt=1)
    step_sessions: int | None = Field(None, ge=1)
    band_usd: float = Field(50.0, ge=0)
    band_share: float = Field(0.001, ge=0, lt=1)
    round_trip_cost_bps: float = Field(5.0, ge=0)
    turnover_limit: float = Field(0.35, gt=0)
    stepped_gross_limit: float = Field(1.0, gt=0)
    stepped_net_limit: float = Field(0.03, gt=0)
    stepped_beta_limit: float = Field(0.075, gt=0)
    stepped_name_limit: float = Field(0.055, gt=0)

    @model_validator(mode="after")
    def _limits_nest(self) -> Self:
        for inner, outer in (
            ("gross_target", "stepped_gross_limit"),
            ("rehearsal_gross", "stepped_gross_limit"),
            ("name_cap", "stepped_name_limit"),
            ("net_limit", "stepped_net_limit"),
            ("beta_limit", "stepped_beta_limit"),
            ("exit_quantile", "entry_quantile"),
        ):
            if getattr(self, inner) > getattr(self, outer):
                raise ValueError(f"{inner} must not exceed {outer}")
        return self

    def band(self, equity_usd: float) -> float:
        """Smallest trade worth sending, as a fraction of equity."""
        return max(self.band_usd / equity_usd, self.band_share)

    def max_names(self, equity_usd: float) -> int:
        """Most names the whole book holds at this equity."""
        return min(2 * self.names_per_side, int(equity_usd / self.min_position_usd))
