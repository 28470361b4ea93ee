r"""Trades a template on an underlier's chains, day by day, and accounts for it to the cent.

At each close, in this order: options that expire are settled, shorts whose holders gain by it are exercised, what has been held long
enough is closed and the next position opened, all at the touch, and shares are traded to the whole share nearest to a delta of nothing.

    gross_t = gamma + theta + vega + residual          of the position held over the day, from the close before
    net_t   = gross_t - costs_t                        the change of cash, options at mid and shares

    gamma = 1/2 G (dS)^2,  theta = T dt,  vega = sum of legs V dsigma,  residual = what is left

Invariants
----------
1. Every amount is whole cents; gross is the sum of its parts and net the change of value, exactly.
2. Value at liquidation (longs at the bid, shorts at the ask, shares beyond their half spread) is never above value at mid.
3. After the last day nothing is held: a settled or closed position leaves cash alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

import numpy as np
from pydantic import Field

from signals.config import Config
from trainer.options.chains.chain import DAYS_A_YEAR
from trainer.options.research.templates import OptionEvening, OptionLeg, positions
from trainer.options.structures import SHARES, greeks_of

CENT = Decimal("0.01")
ZERO = Decimal(0)
Touches = dict[OptionLeg, tuple[float, float]]  # last known bid and ask of each option, by a single one of it


class OptionBacktestConfig(Config):
    """Traded template, sizes and costs.

    Attributes
    ----------
    contracts : int
        Of each leg.
    hold_sessions : int
        Sessions from entry to exit; a leg that expires earlier is settled.
    fee_usd : float
        A contract and side; none at expiry.
    hedge_half_spread_bps : float
        Of the underlier's price, for each share traded.
    style : european or american
        American shorts without time value are exercised against us.
    settlement : cash or shares
    """

    template: Literal["straddle", "vertical", "calendar"] = "straddle"
    side: Literal["buy", "sell"] = "sell"
    contracts: int = Field(default=1, ge=1, le=1_000)
    hold_sessions: int = Field(default=5, ge=1, le=252)
    fee_usd: float = Field(default=0.65, ge=0)
    hedge_half_spread_bps: float = Field(default=0.5, ge=0, le=100)
    style: Literal["european", "american"] = "european"
    settlement: Literal["cash", "shares"] = "cash"


@dataclass(frozen=True)
class OptionDay:
    """One close: parts of the day's profit, costs and events, and both values; USD in whole cents."""

    day: date
    gamma: Decimal
    theta: Decimal
    vega: Decimal
    residual: Decimal
    spreads: Decimal
    fees: Decimal
    hedging: Decimal
    mid: Decimal
    liquidation: Decimal
    shares: int
    events: tuple[str, ...] = ()

    @property
    def gross(self) -> Decimal:
        """Profit before costs."""
        return self.gamma + self.theta + self.vega + self.residual

    @property
    def costs(self) -> Decimal:
        """Half spreads, fees and the hedge's half spreads."""
        return self.spreads + self.fees + self.hedging

    @property
    def net(self) -> Decimal:
        """Profit after costs."""
        return self.gross - self.costs


@dataclass(frozen=True)
class _OptionBook:
    """Cash, shares, legs with their quantity in contracts, and the sessions that the position has been held."""

    cash: Decimal = ZERO
    shares: int = 0
    legs: tuple[OptionLeg, ...] = ()
    held: int = 0


@dataclass
class _Costs:
    spreads: Decimal = ZERO
    fees: Decimal = ZERO
    hedging: Decimal = ZERO
    events: list[str] = field(default_factory=list)


def option_backtest(evenings: Sequence[OptionEvening], config: OptionBacktestConfig) -> tuple[OptionDay, ...]:
    """Trade from the first evening to the last, on which everything is closed."""
    book, found, before = _OptionBook(), [], ZERO
    quotes: Touches = {}
    last: OptionEvening | None = None
    for number, evening in enumerate(evenings):
        costs = _Costs()
        parts = _parts(book, last, evening) if last is not None else (ZERO, ZERO, ZERO)
        book = _settled(book, evening, config, costs, quotes)
        is_last = number == len(evenings) - 1
        if book.legs and (is_last or book.held >= config.hold_sessions) and _is_quoted(book.legs, evening):
            book = _closed(book, evening, config, costs)
        if not book.legs and not is_last:
            book = _opened(book, evening, config, costs)
        quotes |= {_single(leg): touch for leg in book.legs if (touch := evening.touch(leg)) is not None}
        book = _hedged(book, evening, config, costs, is_flat=is_last)
        if is_last and book.legs:  # no quote to close at: the last known one, at its worse side
            book = _at_last_quote(book, quotes, config, costs)
        mid, liquidation = _values(book, evening, quotes, config)
        gross = mid - before + costs.spreads + costs.fees + costs.hedging
        found.append(
            OptionDay(
                evening.chain.day,
                *parts,
                gross - sum(parts, ZERO),
                costs.spreads,
                costs.fees,
                costs.hedging,
                mid,
                liquidation,
                book.shares,
                tuple(costs.events),
            )
        )
        book, before, last = replace(book, held=book.held + 1), mid, evening
    return tuple(found)


def cents(value: float | Decimal) -> Decimal:
    """Round to whole cents."""
    return Decimal(str(value)).quantize(CENT, ROUND_HALF_EVEN)


def _parts(book: _OptionBook, last: OptionEvening, now: OptionEvening) -> tuple[Decimal, Decimal, Decimal]:
    """Gamma, theta and vega of the position held since the close before."""
    legs = tuple(leg for leg in book.legs if last.surface.smile(leg.expiration) is not None)
    known = greeks_of(legs, last)
    moved = now.chain.spot - last.chain.spot
    years = (now.chain.day - last.chain.day).days / DAYS_A_YEAR
    vega = 0.0
    for leg in legs:
        smiles = (last.surface.smile(leg.expiration), now.surface.smile(leg.expiration))
        if smiles[0] is None or smiles[1] is None:
            continue
        vols = [one.volatility_at(leg.strike) for one in smiles if one is not None]
        vega += greeks_of((leg,), last)["vega"] * (vols[1] - vols[0])
    return cents(SHARES * 0.5 * known["gamma"] * moved**2), cents(SHARES * known["theta"] * years), cents(SHARES * vega)


def _settled(book: _OptionBook, evening: OptionEvening, config: OptionBacktestConfig, costs: _Costs, quotes: Touches) -> _OptionBook:
    """Settle what expires today or has expired, and what is exercised against us."""
    spot, today = evening.chain.spot, np.datetime64(evening.chain.day, "D")
    kept = []
    for leg in book.legs:
        inside = max(spot - leg.strike if leg.is_call else leg.strike - spot, 0.0)
        touch = evening.touch(leg) or quotes.get(_single(leg))
        is_exercised = (
            config.style == "american" and leg.quantity < 0 and inside > 0.0 and touch is not None and 0.5 * (touch[0] + touch[1]) <= inside
        )
        if leg.expiration > today and not is_exercised:
            kept.append(leg)
            continue
        word = "expired" if leg.expiration <= today else "exercised early"
        costs.events.append(f"{word}: {leg.quantity:+g} {leg.strike:g} {'C' if leg.is_call else 'P'}, worth {inside:.2f}")
        count = int(leg.quantity) * SHARES
        if config.settlement == "shares" and inside > 0.0:
            side = 1 if leg.is_call else -1  # a call delivers shares to its holder, a put takes them
            book = replace(book, cash=book.cash - cents(leg.strike) * count * side, shares=book.shares + count * side)
        else:
            book = replace(book, cash=book.cash + cents(inside) * count)
    return replace(book, legs=tuple(kept))


def _is_quoted(legs: tuple[OptionLeg, ...], evening: OptionEvening) -> bool:
    return all(evening.touch(leg) is not None for leg in legs)


def _closed(book: _OptionBook, evening: OptionEvening, config: OptionBacktestConfig, costs: _Costs) -> _OptionBook:
    costs.events.append("closed")
    for leg in book.legs:
        book = _traded(book, replace(leg, quantity=-leg.quantity), evening, config, costs)
    return replace(book, legs=(), held=0)


def _opened(book: _OptionBook, evening: OptionEvening, config: OptionBacktestConfig, costs: _Costs) -> _OptionBook:
    """Open the template where all of it is quoted and the underlier has a close."""
    known = positions(evening)
    legs = known[0].get(config.template) if known is not None else None
    if legs is None or not evening.chain.spot > 0.0:
        return book
    side = 1.0 if config.side == "buy" else -1.0
    signed = tuple(replace(leg, quantity=side * config.contracts * leg.quantity) for leg in legs)
    for leg in signed:
        book = _traded(book, leg, evening, config, costs)
    costs.events.append(f"opened {config.side} {config.template}")
    return replace(book, legs=signed, held=0)


def _traded(book: _OptionBook, leg: OptionLeg, evening: OptionEvening, config: OptionBacktestConfig, costs: _Costs) -> _OptionBook:
    """Buy a leg at its ask, or sell it at its bid; the half spread and the fee are costs."""
    touch = evening.touch(leg)
    assert touch is not None
    bid, ask = (cents(price) for price in touch)
    count = int(abs(leg.quantity)) * SHARES
    paid = ask * count if leg.quantity > 0 else -bid * count
    fee = cents(config.fee_usd * abs(leg.quantity))
    costs.spreads += (ask - bid) * count / 2
    costs.fees += fee
    return replace(book, cash=book.cash - paid - fee)


def _hedged(book: _OptionBook, evening: OptionEvening, config: OptionBacktestConfig, costs: _Costs, *, is_flat: bool) -> _OptionBook:
    legs = () if is_flat else book.legs
    target = -round(SHARES * greeks_of(legs, evening)["delta"])
    traded = target - book.shares
    if not traded:
        return book
    spot = cents(evening.chain.spot)
    cost = cents(float(spot) * abs(traded) * config.hedge_half_spread_bps / 1e4)
    costs.hedging += cost
    return replace(book, cash=book.cash - spot * traded - cost, shares=target)


def _at_last_quote(book: _OptionBook, quotes: Touches, config: OptionBacktestConfig, costs: _Costs) -> _OptionBook:
    for leg in book.legs:
        bid, ask = (cents(price) for price in quotes.get(_single(leg), (0.0, 0.0)))
        count = int(abs(leg.quantity)) * SHARES
        book = replace(book, cash=book.cash + (bid * count if leg.quantity > 0 else -ask * count))
        costs.spreads += (ask - bid) * count / 2
        costs.events.append(f"closed at its last quote: {leg.quantity:+g} {leg.strike:g}")
    return replace(book, legs=())


def _values(book: _OptionBook, evening: OptionEvening, quotes: Touches, config: OptionBacktestConfig) -> tuple[Decimal, Decimal]:
    """Value at mid and at liquidation; a leg without a quote keeps its last one."""
    spot = cents(evening.chain.spot)
    mid = liquidation = book.cash + spot * book.shares
    liquidation -= cents(float(spot) * abs(book.shares) * config.hedge_half_spread_bps / 1e4)
    for leg in book.legs:
        bid, ask = (cents(price) for price in quotes[_single(leg)])
        count = int(leg.quantity) * SHARES
        mid += (bid + ask) * count / 2
        liquidation += (bid if count > 0 else ask) * count
    return mid, liquidation


def _single(leg: OptionLeg) -> OptionLeg:
    return replace(leg, quantity=1.0)
