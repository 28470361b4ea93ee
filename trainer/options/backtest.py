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
from trainer.options.chains import DAYS_A_YEAR
from trainer.options.positions import SHARES, Legs, positions
from trainer.options.surface import Surface

CENT, ZERO = Decimal("0.01"), Decimal(0)
COSTS = ("spreads", "fees", "hedging")


class OptionBacktestConfig(Config):
    """Traded template, sizes and costs.

    A leg that expires before `hold_sessions` have passed is settled. `fee_usd` is of a contract and side, none at expiry;
    `hedge_half_spread_bps` of the underlier's price, for each share traded. American shorts without time value are exercised against us.
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


def option_backtest(evenings: Sequence[Surface], config: OptionBacktestConfig) -> tuple[OptionDay, ...]:
    """Trade from the first evening to the last, on which everything is closed, as before a split: at the last quote where it has none."""
    book, found = _OptionBook(config), list[OptionDay]()
    for last, evening, coming in zip((*evenings[:1], *evenings), evenings, (*evenings[1:], None), strict=False):
        must_close = coming is None or not evening.chain.carries_to(coming.chain)  # no position is held over a split
        parts = book.parts(last, evening)
        book.costs, book.events = dict.fromkeys(COSTS, ZERO), []
        book.see(evening)
        book.settle(evening)
        is_quoted = book.see(evening)
        if book.legs and (must_close or (book.held >= config.hold_sessions and is_quoted)):
            book.events.append("closed" if is_quoted else "closed at its last quote")
            book.trade(-1.0)
            book.legs, book.held = (), 0
        if not book.legs and not must_close:
            book.open(evening)
        book.hedge(evening)
        mid, liquidation = book.values(evening)
        residual = mid - (found[-1].mid if found else ZERO) + sum(book.costs.values(), ZERO) - sum(parts, ZERO)
        given = {**book.costs, "mid": mid, "liquidation": liquidation}
        found.append(OptionDay(evening.chain.day, *parts, residual, **given, shares=book.shares, events=tuple(book.events)))
        book.held += 1
    return tuple(found)


def _cents(value: float) -> Decimal:
    return Decimal(str(value)).quantize(CENT, ROUND_HALF_EVEN)


@dataclass
class _OptionBook:
    """Cash, shares, legs with their quantity in contracts, sessions held, touches last seen; and the day's costs and events."""

    config: OptionBacktestConfig
    cash: Decimal = ZERO
    shares: int = 0
    legs: Legs = ()
    held: int = 0
    touches: dict[tuple[np.datetime64, float, bool], tuple[float, float]] = field(default_factory=dict)
    costs: dict[str, Decimal] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def see(self, evening: Surface) -> bool:
        """Remember the quotes of the legs, and return whether all have one: a leg that has none keeps its last."""
        seen = {leg.option: quote for leg in self.legs if (quote := evening.quote(leg)) is not None}
        self.touches |= seen
        return len(seen) == len(self.legs)

    def parts(self, last: Surface, now: Surface) -> tuple[Decimal, Decimal, Decimal]:
        """Gamma, theta and vega of the position held since the close before."""
        known, vega = last.greeks(self.legs), 0.0
        moved, years = now.chain.spot - last.chain.spot, (now.chain.day - last.chain.day).days / DAYS_A_YEAR
        for leg in self.legs:
            before, after = last.smile(leg.expiration), now.smile(leg.expiration)
            if before is not None and after is not None:
                vega += last.greeks((leg,)).vega * (after.volatility_at(leg.strike) - before.volatility_at(leg.strike))
        return _cents(SHARES * 0.5 * known.gamma * moved**2), _cents(SHARES * known.theta * years), _cents(SHARES * vega)

    def settle(self, evening: Surface) -> None:
        """Settle what expires today or has expired, and what is exercised against us: an American short quoted without time value."""
        spot, today, kept = evening.chain.spot, np.datetime64(evening.chain.day, "D"), []
        for leg in self.legs:
            inside = max(spot - leg.strike if leg.is_call else leg.strike - spot, 0.0)
            is_short = self.config.style == "american" and leg.quantity < 0 and inside > 0.0
            if leg.expiration > today and not (is_short and 0.5 * sum(evening.touch(leg) or (np.inf,)) <= inside):
                kept.append(leg)
                continue
            word = "expired" if leg.expiration <= today else "exercised early"
            self.events.append(f"{word}: {leg.quantity:+g} {leg.strike:g} {'C' if leg.is_call else 'P'}, worth {inside:.2f}")
            count = int(leg.quantity) * SHARES
            if self.config.settlement == "shares" and inside > 0.0:
                delivered = count if leg.is_call else -count  # a call delivers shares to its holder, a put takes them
                self.cash -= _cents(leg.strike) * delivered
                self.shares += delivered
            else:
                self.cash += _cents(inside) * count
        self.legs = tuple(kept)

    def open(self, evening: Surface) -> None:
        """Open the template where all of it is quoted and the underlier has a close."""
        legs = positions(evening)[0].get(self.config.template)
        if legs is None or not evening.chain.spot > 0.0:
            return
        size = self.config.contracts * (1.0 if self.config.side == "buy" else -1.0)
        self.legs, self.held = tuple(replace(leg, quantity=size * leg.quantity) for leg in legs), 0
        self.see(evening)
        self.trade(1.0)
        self.events.append(f"opened {self.config.side} {self.config.template}")

    def trade(self, side: float) -> None:
        """Open every leg, or with -1 close it, at the touch last seen: at the ask what is bought; half spread and fee are costs."""
        for leg in self.legs:
            bid, ask = map(_cents, self.touches[leg.option])
            count, fee = int(side * leg.quantity) * SHARES, _cents(self.config.fee_usd * abs(leg.quantity))
            self.cash -= (ask if count > 0 else bid) * count + fee
            self.costs["spreads"] += (ask - bid) * abs(count) / 2
            self.costs["fees"] += fee

    def hedge(self, evening: Surface) -> None:
        """Trade shares to the whole number nearest to a delta of nothing; none where a leg that was kept has no curve."""
        is_known = bool(self.events) or all(evening.smile(leg.expiration) for leg in self.legs)
        target = -round(SHARES * evening.greeks(self.legs).delta)
        if is_known and (traded := target - self.shares):
            cost = self._half_spread(evening, traded)
            self.costs["hedging"] += cost
            self.cash -= _cents(evening.chain.spot) * traded + cost
            self.shares = target

    def values(self, evening: Surface) -> tuple[Decimal, Decimal]:
        """Value at mid and at liquidation."""
        mid = liquidation = self.cash + _cents(evening.chain.spot) * self.shares
        liquidation -= self._half_spread(evening, self.shares)
        for leg in self.legs:
            bid, ask = map(_cents, self.touches[leg.option])
            count = int(leg.quantity) * SHARES
            mid += (bid + ask) * count / 2
            liquidation += (bid if count > 0 else ask) * count
        return mid, liquidation

    def _half_spread(self, evening: Surface, shares: int) -> Decimal:
        return _cents(float(_cents(evening.chain.spot)) * abs(shares) * self.config.hedge_half_spread_bps / 1e4)
