"""Regulatory fees on sales (SEC section 31 and FINRA TAF).

    SEC  = proceeds x rate / 1,000,000           rate: USD per million (Securities Exchange Act, section 31)
    TAF  = min(shares x rate, cap)               rate: USD per share (FINRA By-Laws, Schedule A, section 1)

Both fall on sells only, short sales included, and each is rounded up to the cent per execution. Rates change by
notice, hence dated rows; a date before the first row pays the first row's rate.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal

from execution.orders import CENT, Side
from signals.errors import InvariantBroken

MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class SecRate:
    """USD per million of sale proceeds, for charge dates from `since` on."""

    since: date
    usd_per_million: Decimal


@dataclass(frozen=True)
class TafRate:
    """USD per share sold, and the most that one execution pays, for trade dates from `since` on."""

    since: date
    usd_per_share: Decimal
    cap_usd: Decimal


# Source: the SEC's fee rate advisories and FINRA's information notices on section 31.
SEC_RATES = (
    SecRate(date(2012, 4, 1), Decimal("22.40")),
    SecRate(date(2013, 5, 25), Decimal("17.40")),
    SecRate(date(2014, 3, 18), Decimal("22.10")),
    SecRate(date(2015, 2, 14), Decimal("18.40")),
    SecRate(date(2016, 2, 16), Decimal("21.80")),
    SecRate(date(2017, 7, 4), Decimal("23.10")),
    SecRate(date(2018, 5, 22), Decimal("13.00")),
    SecRate(date(2019, 4, 16), Decimal("20.70")),
    SecRate(date(2020, 2, 18), Decimal("22.10")),
    SecRate(date(2021, 2, 25), Decimal("5.10")),
    SecRate(date(2022, 5, 14), Decimal("22.90")),
    SecRate(date(2023, 2, 27), Decimal("8.00")),
    SecRate(date(2024, 5, 22), Decimal("27.80")),
    SecRate(date(2025, 5, 14), Decimal("0.00")),
    SecRate(date(2026, 4, 4), Decimal("20.60")),
)

# Source: FINRA By-Laws, Schedule A, section 1, and the notices that amend its rate for covered equity securities.
TAF_RATES = (
    TafRate(date(2012, 7, 1), Decimal("0.000119"), Decimal("5.95")),
    TafRate(date(2022, 1, 1), Decimal("0.000130"), Decimal("6.49")),
    TafRate(date(2023, 1, 1), Decimal("0.000145"), Decimal("7.27")),
    TafRate(date(2024, 1, 1), Decimal("0.000166"), Decimal("8.30")),
    TafRate(date(2026, 1, 1), Decimal("0.000195"), Decimal("9.79")),
)


@dataclass(frozen=True)
class Fees:
    """Regulatory fees of one execution, USD to the cent."""

    sec: Decimal
    taf: Decimal

    @property
    def total(self) -> Decimal:
        """Both fees."""
        return self.sec + self.taf


FREE = Fees(Decimal("0.00"), Decimal("0.00"))


def regulatory_fees(side: Side, quantity: Decimal, price: Decimal, session: date) -> Fees:
    """Fees of one execution.

    Parameters
    ----------
    side : Side
        A buy is free.
    quantity : Decimal
        Shares, positive.
    price : Decimal
        USD per share, positive.
    session : date
        Trade date.

    Examples
    --------
    1,000 shares at $50 in 2023: 50,000 x 8 / 1e6 = 0.40 and 1,000 x 0.000145 = 0.145, rounded up.

    >>> fees = regulatory_fees(Side.SELL, Decimal(1000), Decimal(50), date(2023, 6, 1))
    >>> fees.sec, fees.taf, fees.total
    (Decimal('0.40'), Decimal('0.15'), Decimal('0.55'))
    """
    if not (quantity > 0 and price > 0):
        raise InvariantBroken(f"an execution of {quantity} shares at {price} USD")
    if side is Side.BUY:
        return FREE
    sec, taf = sec_rate(session), taf_rate(session)
    return Fees(
        sec=(quantity * price * sec.usd_per_million / MILLION).quantize(CENT, ROUND_UP),
        taf=min(quantity * taf.usd_per_share, taf.cap_usd).quantize(CENT, ROUND_UP),
    )


def sec_rate(session: date) -> SecRate:
    """Return the section 31 rate in force on `session`."""
    return SEC_RATES[max(0, bisect_right([row.since for row in SEC_RATES], session) - 1)]


def taf_rate(session: date) -> TafRate:
    """Return the trading activity fee in force on `session`."""
    return TAF_RATES[max(0, bisect_right([row.since for row in TAF_RATES], session) - 1)]
