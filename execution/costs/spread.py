r"""The half spread of each name: quoted, else estimated from bars, at least half a tick.

cost = value x s / 2        value: USD traded; s: full spread, fraction of price, (ask - bid) / mid

A name without quotes is estimated from open, high, low and close by EDGE (Ardia, Guidotti & Kroencke 2024, "Efficient
estimation of bid-ask spreads from open, high, low, and close prices", Journal of Financial Economics 161, section 3).
With log prices o, h, l, c, m = (h + l) / 2, ' the session before, and returns

    r1 = m - o    r2 = o - m'    r3 = m - c'    r4 = c' - m'    r5 = o - c'

of which r1, r3 and r5 are less their mean over the sessions with trades (tau = 1), the two moments

    x1 = -4/po r1 r2 - 4/pc r3 r4        x2 = -4/po r1 r5 - 4/pc r5 r4

both have the mean s^2; po (pc) is the chance that an open (close) is not the high, plus that it is not the low, where
there was trading. They are weighted by each other's variance. o - c' is the overnight return, dividends and splits
taken out, so that no price of another session is compared.

A year of daily bars does not show the spread of a liquid name: its s^2 is lost in the variance of returns. Over 150
large names in 2019 the root of what is positive is 27 bps on average, by chance: two of them are sure. Where s^2 is
under `SURE` standard errors the name is given the spread that is assumed of names without a quote.
"""

from decimal import Decimal

import numpy as np

from execution.orders import CENT, tick_of
from signals.market.bars import Bars, Floats

DEFAULT_SPREAD_BPS = 5.0
"""Full spread assumed where neither quotes nor bars show one, basis points."""
DEFAULT_SPREAD = Decimal(5)
"""The same, as money is counted."""
BPS = 1e-4
BPS_DECIMAL = Decimal("0.0001")
BPS_PLACES = Decimal("0.01")
SPREAD_SESSIONS = 252
"""Sessions of bars that an estimate reads."""
FEWEST = 60  # sessions with both bars, for an estimate
SURE = 2.0
SAME_PRICE = 1e-9  # log price that is rounding of a return


def tick_bps(price: Decimal) -> Decimal:
    """One tick at `price` USD as traded, basis points: no spread is smaller.

    Examples
    --------
    >>> tick_bps(Decimal("5")), tick_bps(Decimal("0.12"))
    (Decimal('20.00'), Decimal('8.33'))
    """
    return (tick_of(price) / price / BPS_DECIMAL).quantize(BPS_PLACES)


def spread_bps(quoted: Decimal | None, estimated: float, price: Decimal | None) -> Decimal:
    """Full spread of one name, basis points.

    Parameters
    ----------
    estimated : float
        Of `estimated_bps`; NaN where the bars show none.
    price : Decimal or None
        USD as traded; None where unknown, and then no tick is known either.

    Examples
    --------
    An estimate of 7 bps at 8 USD, where a tick is 12.5; nothing known at 100 USD:

    >>> spread_bps(None, 7.0, Decimal(8)), spread_bps(None, float("nan"), Decimal(100))
    (Decimal('12.50'), Decimal('5'))
    """
    shown = Decimal(repr(estimated)).quantize(BPS_PLACES) if np.isfinite(estimated) else DEFAULT_SPREAD
    known = shown if quoted is None else quoted
    return known if price is None or price <= 0 else max(known, tick_bps(price))


def estimated_bps(bars: Bars) -> Floats:
    """Spread that the bars of each name show for sure, basis points, shape (N,); NaN where they do not."""
    square, error = squared_spread(bars)
    with np.errstate(invalid="ignore"):
        sure = square > SURE * error
        return np.where(sure, np.sqrt(np.where(sure, square, 0.0)) / BPS, np.nan)


def squared_spread(bars: Bars) -> tuple[Floats, Floats]:
    """EDGE's s^2 of each name over the panel, which may be negative, and its standard error; shape (N,) each.

    NaN under `FEWEST` sessions that have a bar and one the session before.
    """
    log = {name: np.log(getattr(bars, name)) for name in ("open", "high", "low", "close")}
    middle = (log["high"] + log["low"]) / 2.0
    gap = np.log1p(bars.overnight_return[1:])  # r5
    high, low, opened = (log[name][1:] for name in ("high", "low", "open"))
    r1, r4 = middle[1:] - opened, log["close"][:-1] - middle[:-1]
    r2, r3 = gap + r4, r1 + gap
    known = np.isfinite(r1) & np.isfinite(r4) & np.isfinite(gap)

    def mean(values: Floats) -> Floats:
        total: Floats = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        return total

    def centred(values: Floats) -> Floats:
        found: Floats = values - mean(values) / share * traded
        return found

    count = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        traded = ((high != low) | (np.abs(low - opened + gap) > SAME_PRICE)).astype(float)
        share = mean(traded)
        at_open = mean(traded * (opened != high)) + mean(traded * (opened != low))
        before = {name: log[name][:-1] for name in ("high", "low", "close")}
        at_close = mean(traded * (before["close"] != before["high"])) + mean(traded * (before["close"] != before["low"]))
        d1, d3, d5 = centred(r1), centred(r3), centred(gap)
        first = -4.0 / at_open * d1 * r2 - 4.0 / at_close * d3 * r4
        second = -4.0 / at_open * d1 * gap - 4.0 / at_close * d5 * r4
        moments = mean(first), mean(second)
        variances = mean(first**2) - moments[0] ** 2, mean(second**2) - moments[1] ** 2
        total = variances[0] + variances[1]
        weight = np.where(total > 0, variances[1] / total, 0.5)
        square = weight * moments[0] + (1.0 - weight) * moments[1]
        both = weight * first + (1.0 - weight) * second
        error = np.sqrt(np.maximum(mean(both**2) - square**2, 0.0) / np.maximum(count, 1))
    enough = (count >= FEWEST) & np.isfinite(square) & np.isfinite(error)
    return np.where(enough, square, np.nan), np.where(enough, error, np.nan)


def half_spread(spread_bps: float | Floats = DEFAULT_SPREAD_BPS) -> float | Floats:
    """Fraction of the traded value that one side pays."""
    return spread_bps * BPS / 2.0


def spread_cost(value_usd: Decimal, spread_bps: Decimal = DEFAULT_SPREAD) -> Decimal:
    """USD that one trade of `value_usd` pays, to the cent, half-even.

    Examples
    --------
    >>> spread_cost(Decimal("-10000"))
    Decimal('2.50')
    """
    return (abs(value_usd) * spread_bps * BPS_DECIMAL / 2).quantize(CENT)
