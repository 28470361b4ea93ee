"""The part of a model's evidence that a device reads: its figures, its sealed sessions, and the policy's own book.

A training writes the whole document (`trainer/runs/evidence.py`); a bundle carries it. The screens read this part of it,
so that nothing heavier than the standard library is loaded here.
"""

import math
from dataclasses import dataclass, fields

NAN = math.nan


@dataclass(frozen=True)
class Mean:
    """A mean with its uncertainty; t is NaN when the standard error is 0 or undefined."""

    mean: float = NAN
    standard_error: float = NAN
    t: float = NAN
    sessions: int = 0


@dataclass(frozen=True)
class Capacity:
    """Returns of the decile book after costs, and its capacity.

    Attributes
    ----------
    gross_annual, net_of_spread_annual : float, fraction of equity a year
    break_even_spread_bps : float
        Full quoted spread at which nothing is left; negative when nothing was earned.
    equity_usd : float
        Equity at which impact halves the rest; 0 when nothing is left to halve.
    equity_low_usd, equity_high_usd : float
        The same at the ends of the spread's 95 % interval.
    """

    gross_annual: float = NAN
    net_of_spread_annual: float = NAN
    break_even_spread_bps: float = NAN
    equity_usd: float = NAN
    equity_low_usd: float = NAN
    equity_high_usd: float = NAN


@dataclass(frozen=True)
class Deciles:
    """Mean label by score decile in excess of the session's mean, the top less the bottom, and labels beyond 100 %."""

    curve: tuple[float, ...] = ()
    spread: Mean = Mean()
    extreme_labels: int = 0


@dataclass(frozen=True)
class Holdout:
    """The sealed sessions: ISO dates of the first and last, how many, their labelled rows, how often they were opened."""

    first: str = ""
    last: str = ""
    sessions: int | None = None
    rows: int | None = None
    opened: int = 0


@dataclass(frozen=True)
class PolicyBook:
    """The policy's own book on walk-forward scores, after spread, impact and borrow, before it is sized by evidence.

    Attributes
    ----------
    sessions : int
        From the first trade on; 0 of a book that never traded.
    block_sessions : int
        Of the bootstrap.
    annual_return, annual_volatility : float
        Arithmetic, fractions of equity.
    annual_sharpe, sharpe_low, sharpe_high : float
        With its 95 % interval.
    t : float
        Mean net return over its block-bootstrap standard error; 0 of a book that never traded.
    gross : float
        Mean gross of the book, fraction of equity.
    growth, growth_low, growth_high : float
        Annual log growth at the Kelly fraction of the policy, and at the ends of the Sharpe ratio's interval.
    """

    sessions: int
    block_sessions: int
    annual_return: float
    annual_volatility: float
    annual_sharpe: float
    sharpe_low: float
    sharpe_high: float
    t: float
    gross: float
    growth: float
    growth_low: float
    growth_high: float

    def __post_init__(self) -> None:
        if unknown := [one.name for one in fields(self) if not math.isfinite(getattr(self, one.name))]:
            raise ValueError(f"{unknown[0]} is no number")
        if self.sessions < 0 or self.block_sessions < 1 or self.annual_volatility < 0 or self.gross < 0:
            raise ValueError("sessions, volatility and gross are not negative, and a block has a session")


@dataclass(frozen=True)
class BundleEvidence:
    """Evidence of a bundle as a device displays it; a part that an older or another training left out is None."""

    capacity: Capacity | None = None
    deciles: Deciles | None = None
    holdout: Holdout | None = None
    policy_book: PolicyBook | None = None
    warnings: tuple[str, ...] = ()
