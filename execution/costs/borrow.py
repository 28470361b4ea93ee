"""Borrow cost of short positions.

    cost = value x rate x days / 360        value: USD short; rate: annual fraction; days: calendar days

Borrow accrues for every calendar day between two sessions, so that a weekend counts three days and a long one four.
Without a lender's quote the rate is assumed by name, from what is known of it at the close before: how much of it
trades, at what price, and how much it moves. Most stocks are lent for under 1 % a year; small, cheap and wild ones are
special (D'Avolio 2002, "The market for borrowing stock", Journal of Financial Economics 66, section 3: 4.3 % on
average, far above for some). Whether a name can be borrowed at all is the broker's flag, which pre-trade checks ask.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from execution.orders import PRICE_STEP
from signals.errors import InvariantBroken
from signals.market.bars import Floats

DAYS_PER_YEAR = 360
"""Money-market convention of stock loan."""
BPS = Decimal("0.0001")


@dataclass(frozen=True)
class BorrowTier:
    """One row of the rate table: what a name must have to cost no more than `annual_bps`.

    Attributes
    ----------
    min_adv_usd : Decimal
        USD that trade in a session, mean of 20.
    min_price : float
        USD as traded; a name whose price is not known passes.
    max_volatility : float
        Of a session, fraction; a name whose volatility is not known passes where any will do.
    """

    name: str
    min_adv_usd: Decimal
    min_price: float
    max_volatility: float
    annual_bps: Decimal


TIERS = (
    BorrowTier("easy", Decimal("100_000_000"), 5.0, 0.04, Decimal(50)),
    BorrowTier("general", Decimal("10_000_000"), 5.0, 0.08, Decimal(100)),
    BorrowTier("hard", Decimal("1_000_000"), 1.0, float("inf"), Decimal(200)),
    BorrowTier("special", Decimal(0), 0.0, float("inf"), Decimal(1000)),
)


def borrow_tier(adv_usd: Decimal, price: float = float("nan"), volatility: float = float("nan")) -> BorrowTier:
    """Return the cheapest tier whose conditions the name meets; see `tier_places`."""
    if not adv_usd >= 0:
        raise InvariantBroken(f"an average daily volume of {adv_usd} USD")
    figures = (np.array(float(figure)) for figure in (adv_usd, price, volatility))
    return TIERS[int(tier_places(*figures))]


def tier_places(adv_usd: Floats, price: Floats, volatility: Floats) -> NDArray[np.int64]:
    """Place in `TIERS` of the cheapest tier that each name meets.

    Parameters
    ----------
    adv_usd, price, volatility : float64, of one shape
        NaN where unknown: an unknown volume meets the last tier only.
    """
    places = np.full(np.shape(adv_usd), len(TIERS) - 1, dtype=np.int64)
    for place in reversed(range(len(TIERS) - 1)):
        tier = TIERS[place]
        is_calm = (volatility <= tier.max_volatility) | np.isposinf(tier.max_volatility)
        is_dear = np.isnan(price) | (price >= tier.min_price)
        places = np.where((adv_usd >= float(tier.min_adv_usd)) & is_dear & is_calm, place, places)
    return places


def annual_rates(adv_usd: Floats, price: Floats, volatility: Floats) -> Floats:
    """Borrow rate of each name, fraction a year; the arguments are those of `tier_places`."""
    rates = np.array([float(tier.annual_bps * BPS) for tier in TIERS])
    found: Floats = rates[tier_places(adv_usd, price, volatility)]
    return found


def borrow_days(session: date, next_session: date) -> int:
    """Calendar days for which a position held over `session`'s close pays until `next_session`."""
    days = (next_session - session).days
    if days < 1:
        raise InvariantBroken(f"{next_session} does not follow {session}")
    return days


def borrow_cost(short_value_usd: Decimal, annual_bps: Decimal, days: int) -> Decimal:
    """USD due for `days` calendar days, to 4 decimals, half-even; the cent is rounded where it is booked.

    Examples
    --------
    100 bp on $10,000 from Friday to Monday:

    >>> borrow_cost(Decimal("10000"), Decimal("100"), 3)
    Decimal('0.8333')
    """
    return (abs(short_value_usd) * annual_bps * BPS * days / DAYS_PER_YEAR).quantize(PRICE_STEP)
