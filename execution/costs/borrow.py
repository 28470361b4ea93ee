"""What a short position costs to hold.

    cost = value x rate x days / 360        value: USD short; rate: annual fraction; days: calendar days

Borrow accrues for every calendar day between two sessions, so that a weekend counts three days and a long one four.
Without a lender's quote the rate comes from a tier by liquidity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from execution.fills import PRICE_STEP
from signals.errors import InvariantBroken

DAYS_PER_YEAR = 360
"""Money-market convention of stock loan."""
BPS = Decimal("0.0001")


@dataclass(frozen=True)
class BorrowTier:
    """One row of the rate table: names that trade at least `min_adv_usd` a day cost `annual_bps`."""

    name: str
    min_adv_usd: Decimal
    annual_bps: Decimal


TIERS = (
    BorrowTier("easy", Decimal("100_000_000"), Decimal(50)),
    BorrowTier("general", Decimal("10_000_000"), Decimal(100)),
    BorrowTier("hard", Decimal(0), Decimal(200)),
)


def borrow_tier(adv_usd: Decimal) -> BorrowTier:
    """Return the cheapest tier whose volume the name reaches."""
    if not adv_usd >= 0:
        raise InvariantBroken(f"an average daily volume of {adv_usd} USD")
    return next(tier for tier in TIERS if adv_usd >= tier.min_adv_usd)


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
