"""Settings of a plan: its entry style (an auction, or steps through the session), what is worth an order, checks, second opinions.

Every process reads them, and few plan: so they are in a module without what applies them.
"""

from decimal import Decimal
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


class PlanningConfig(Config):
    """How targets become orders.

    Attributes
    ----------
    min_trade_usd : Decimal
        Smaller changes are not worth an order; a position that is to end is closed whatever it is worth.
    max_rounding : float
        Largest share of the target book that its nearest whole shares may miss. A quarter of the ordinary gross at
        25,000 USD misses about a fifth.
    fractions : bool
        Trade fractions of long positions in assets that the broker trades so; only a `day` entry can.
    """

    min_trade_usd: Decimal = Field(default=Decimal(25), ge=0)
    max_rounding: float = Field(default=0.25, gt=0, le=1)
    fractions: bool = False


class PretradeConfig(Config):
    """Limits on orders; fractions of equity unless the name says otherwise.

    Attributes
    ----------
    max_order_equity, max_order_adv : Decimal
        Largest order, of equity and of the 20-session average dollar volume.
    collar, cheap_collar : Decimal
        Largest relative distance of an order's price from the market's, above and below `cheap_below_usd`.
    gap_collar : Decimal
        The same where a price of the session before is compared with one of this morning: honest gaps are wide, and a
        price of another scale is wider.
    max_gross, max_net, max_name : Decimal
        `max_net` binds a book that may be short; a long-only book is bound by its gross.
    min_short_equity_usd : Decimal
        Alpaca's floor for short selling.
    reserve : Decimal
        Share by which the buying power that an opening order takes may exceed its notional: Alpaca reserves 2.5 to
        4 % above the price of a market order.
    """

    max_order_equity: Decimal = Field(default=Decimal("0.05"), gt=0, le=1)
    max_order_adv: Decimal = Field(default=Decimal("0.01"), gt=0, le=1)
    collar: Decimal = Field(default=Decimal("0.05"), gt=0, lt=1)
    cheap_collar: Decimal = Field(default=Decimal("0.10"), gt=0, lt=1)
    cheap_below_usd: Decimal = Field(default=Decimal(5), ge=0)
    gap_collar: Decimal = Field(default=Decimal("0.30"), gt=0, lt=1)
    max_gross: Decimal = Field(default=Decimal("1.02"), gt=0, le=2)
    max_net: Decimal = Field(default=Decimal("0.04"), gt=0, le=1)
    max_name: Decimal = Field(default=Decimal("0.06"), gt=0, le=1)
    allow_short: bool = True
    min_short_equity_usd: Decimal = Field(default=Decimal(2000), ge=0)
    reserve: Decimal = Field(default=Decimal("0.04"), ge=0, le=1)


class OpinionConfig(Config):
    """How far dataset and broker may differ before a size is not believed.

    Attributes
    ----------
    collar, cheap_collar : Decimal
        Largest relative distance of the plan's price from the broker's close, above and below `cheap_below_usd`.
    max_names : float
        Largest share of the compared names that may be left out of a plan.
    max_gross : float
        Largest share of the gross exposure, held or wanted, that may be left out.
    max_equity : float
        Largest share of the account's value that the agreed cash and holdings need not explain.
    """

    collar: Decimal = Field(default=Decimal("0.05"), gt=0, lt=1)
    cheap_collar: Decimal = Field(default=Decimal("0.10"), gt=0, lt=1)
    cheap_below_usd: Decimal = Field(default=Decimal(5), ge=0)
    max_names: float = Field(default=0.05, ge=0, le=1)
    max_gross: float = Field(default=0.10, ge=0, le=1)
    max_equity: float = Field(default=0.03, gt=0, le=1)
