"""Entry styles of a plan: an auction, or steps through the session."""

from enum import StrEnum

from pydantic import Field

from signals.config import Config
from signals.schedule.job_windows import When, step_when

MAX_STEPS = 12


class EntryStyle(StrEnum):
    """How a plan's orders are timed.

    `opg` and `cls` are the opening and the closing auction; `day` is one order a name right after the open, the only one
    of them that a fraction of a share may take; `twap` cuts every order into equal steps through the
    session, `almgren_chriss` into steps that start larger, the more so the higher the urgency, `least_cost` into those of the
    urgency among four whose modelled cost is least for that order (`execution.planning.urgency`).
    """

    OPG = "opg"
    CLS = "cls"
    DAY = "day"
    TWAP = "twap"
    ALMGREN_CHRISS = "almgren_chriss"
    LEAST_COST = "least_cost"


class EntryConfig(Config):
    """The schedule of a session's orders.

    Attributes
    ----------
    steps : int
        N, of a schedule through the day.
    urgency : float
        kappa T of Almgren and Chriss: 0 is TWAP; `trainer frontier` shows which urgency a risk aversion asks for. Under `least_cost`
        that of a name without a known volatility, or whose curve has a step without volume.
    risk_aversion : float
        lambda of `least_cost`, per unit of an order's value: what the variance of what is not traded yet costs.
    participation : float
        Largest share of a name's usual volume that a step may take: the volume that the name's trailing curve has for the step where
        there are minutes, else spread evenly over the steps.
    first_minutes, last_minutes : int
        The first step leaves so long after the open, the last one so long before the close.
    """

    kind: EntryStyle = EntryStyle.OPG
    steps: int = Field(default=6, ge=2, le=MAX_STEPS)
    urgency: float = Field(default=1.5, ge=0, le=50)
    risk_aversion: float = Field(default=0.0, ge=0, le=1000)
    participation: float = Field(default=0.05, gt=0, le=1)
    first_minutes: int = Field(default=15, ge=1, le=120)
    last_minutes: int = Field(default=35, ge=25, le=120)

    @property
    def is_stepped(self) -> bool:
        """Whether orders are cut into steps."""
        return self.kind in (EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS, EntryStyle.LEAST_COST)

    def whens(self) -> list[When]:
        """When each step leaves, the first one first."""
        return [step_when(self.first_minutes, self.last_minutes, number, self.steps) for number in range(1, self.steps + 1)]

    @property
    def in_manifest(self) -> str:
        """The word for it in a bundle's manifest: what was learned is what is traded."""
        return "day" if self.is_stepped else self.kind.value

    @property
    def equivalents(self) -> tuple[str, ...]:
        """Further words of a manifest that this entry serves: a `day` order fills next to the auction's price."""
        return (EntryStyle.OPG.value,) if self.kind is EntryStyle.DAY else ()
