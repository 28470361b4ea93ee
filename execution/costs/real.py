"""Estimated real-world NAV: paper NAV plus dividends, minus borrow, fees and market impact.

    real_t = real_{t-1} + (paper_t - paper_{t-1}) + dividends_t + borrow_t + fees_t + impact_t

with the last three never positive. Dividends are credited to longs and debited to shorts on the ex-date, from what was
held before the open. Impact is half the name's spread (`execution.costs.spread`) plus the square root of participation,
per order's fills; borrow goes by the name's own liquidity (`execution.costs.borrow`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from execution.brokers.base import Position
from execution.costs.borrow import borrow_cost, borrow_days, borrow_tier
from execution.costs.fees import regulatory_fees
from execution.costs.impact import impact_cost_usd
from execution.costs.spread import DEFAULT_SPREAD, estimated_bps, spread_bps, spread_cost
from execution.orders import CENT, Fill
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis

ZERO = Decimal(0)
VOLATILITY_SESSIONS = 21


@dataclass(frozen=True)
class Liquidity:
    """Of one name: daily volatility (fraction), average dollar volume (USD), full spread (bps) and price as traded."""

    daily_volatility: float
    adv_usd: Decimal
    spread_bps: Decimal = DEFAULT_SPREAD
    price: Decimal | None = None

    @property
    def borrow_bps(self) -> Decimal:
        """Annual cost of a short position, basis points."""
        price = float("nan") if self.price is None else float(self.price)
        return borrow_tier(self.adv_usd, price, self.daily_volatility).annual_bps


@dataclass(frozen=True)
class RealCosts:
    """A session's parts of real minus paper, USD to the cent, credits positive.

    Attributes
    ----------
    unpriced : tuple of str
        Names traded or shorted without a known volume or volatility: their impact and borrow are not in the figures.
    """

    dividends: Decimal
    borrow: Decimal
    fees: Decimal
    impact: Decimal
    unpriced: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        """Sum of the parts."""
        return self.dividends + self.borrow + self.fees + self.impact


def dividends_due(held: Mapping[str, Decimal], actions: Iterable[Action], basis: PriceBasis) -> Decimal:
    """USD credited for what was held before the open of the ex-date; 0 where prices already contain dividends."""
    if basis is PriceBasis.TOTAL_RETURN:
        return ZERO
    due = [
        held.get(action.symbol, ZERO) * action.cash for action in actions if action.kind is ActionKind.DIVIDEND and action.cash is not None
    ]
    return sum(due, ZERO).quantize(CENT, ROUND_HALF_EVEN)


def fees_due(fills: Iterable[Fill], session: date) -> Decimal:
    """USD of regulatory fees on the session's fills."""
    return sum((regulatory_fees(f.side, f.quantity, f.price, session).total for f in fills), ZERO)


def spread_due(fills: Iterable[Fill], liquidity: Mapping[str, Liquidity]) -> Decimal:
    """USD of half spreads, one trade a name: the part of `impact_due` that does not grow with size."""
    traded = sorted(_traded(fills).items())
    return sum((spread_cost(value, _spread(liquidity.get(symbol))) for symbol, value in traded), ZERO)


def impact_due(fills: Iterable[Fill], liquidity: Mapping[str, Liquidity]) -> tuple[Decimal, tuple[str, ...]]:
    """USD of half spreads and impact, one trade a name, and the names whose liquidity is not known."""
    cost, unknown = ZERO, []
    for symbol, value in sorted(_traded(fills).items()):
        known = liquidity.get(symbol)
        cost += spread_cost(value, _spread(known))
        if known is None or not np.isfinite(known.daily_volatility) or known.adv_usd <= 0:
            unknown.append(symbol)
            continue
        cost += Decimal(repr(float(impact_cost_usd(float(value), known.daily_volatility, float(known.adv_usd)))))
    return cost.quantize(CENT, ROUND_HALF_EVEN), tuple(unknown)


def borrow_due(
    positions: Iterable[Position], liquidity: Mapping[str, Liquidity], session: date, next_session: date
) -> tuple[Decimal, tuple[str, ...]]:
    """USD of borrow for shorts held over the close, and the shorts whose tier is not known."""
    days = borrow_days(session, next_session)
    cost, unknown = ZERO, []
    for held in positions:
        if held.quantity >= 0 or held.current_price is None:
            continue
        known = liquidity.get(held.symbol)
        if known is None:
            unknown.append(held.symbol)
            continue
        cost += borrow_cost(-held.quantity * held.current_price, known.borrow_bps, days)
    return cost.quantize(CENT, ROUND_HALF_EVEN), tuple(unknown)


@dataclass(frozen=True, eq=False)
class TradedSession:
    """Holdings and trades of one session.

    Attributes
    ----------
    fills : sequence of Fill
        Of the session.
    held_before : mapping of symbol to signed shares
        Before the open, under the names of the session.
    closing : sequence of Position
        At the close.
    actions : sequence of Action
        Effective on the session.
    """

    session: date
    next_session: date
    fills: Sequence[Fill]
    held_before: Mapping[str, Decimal]
    closing: Sequence[Position]
    actions: Sequence[Action]
    basis: PriceBasis


def real_costs(of: TradedSession, liquidity: Mapping[str, Liquidity]) -> RealCosts:
    """Return every part of real minus paper of one session; `liquidity` is what was known before it, by symbol."""
    impact, unknown = impact_due(of.fills, liquidity)
    borrow, untiered = borrow_due(of.closing, liquidity, of.session, of.next_session)
    return RealCosts(
        dividends=dividends_due(of.held_before, of.actions, of.basis),
        borrow=-borrow,
        fees=-fees_due(of.fills, of.session),
        impact=-impact,
        unpriced=tuple(sorted({*unknown, *untiered})),
    )


def liquidity_of(
    bars: Bars, adv_usd: Mapping[str, Decimal], quoted_bps: Mapping[str, Decimal], closes: Mapping[str, Decimal]
) -> dict[str, Liquidity]:
    """Return the liquidity of each name with a volume at the close of the panel's last session.

    Parameters
    ----------
    bars : Bars
        `SPREAD_SESSIONS` sessions, fewer where the data begin later. Volatility is that of the total returns of the
        last `VOLATILITY_SESSIONS` (ddof 1, NaN under two).
    adv_usd, quoted_bps : mapping of symbol to USD, to basis points
    closes : mapping of symbol to USD
        As traded; empty where such prices are not known.
    """
    recent, shown, found = bars.total_return[-VOLATILITY_SESSIONS:], estimated_bps(bars), {}
    for column, symbol in enumerate(bars.symbols):
        if symbol in adv_usd:
            returns = recent[np.isfinite(recent[:, column]), column]
            volatility = float(returns.std(ddof=1)) if returns.size > 1 else float("nan")
            price = closes.get(symbol)
            spread = spread_bps(quoted_bps.get(symbol), float(shown[column]), price)
            found[symbol] = Liquidity(volatility, adv_usd[symbol], spread, price)
    return found


def _spread(known: Liquidity | None) -> Decimal:
    return known.spread_bps if known is not None else DEFAULT_SPREAD


def _traded(fills: Iterable[Fill]) -> dict[str, Decimal]:
    traded: dict[str, Decimal] = {}
    for fill in fills:
        traded[fill.symbol] = traded.get(fill.symbol, ZERO) + fill.quantity * fill.price
    return traded
