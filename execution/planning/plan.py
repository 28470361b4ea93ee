"""Turns target weights and positions into the frozen orders of a session. Pure and deterministic.

Entry point: `plan`.

Invariants
----------
1. Quantities are whole shares (fractions of long positions, where they are configured) that lead nearest to the unrounded
   path (`execution.planning.rounding`); side and quantity never enter an order's id.
2. An order never crosses zero: a flip is a closing order and an opening `day` order that waits for it.
3. Orders for the auction fit the buying power of the account without counting what they themselves sell; an opening
   order that does not fit becomes a `day` order, sent after the auction's sells are filled.
   In the closing auction, which nothing follows, it is refused, and so is the second half of a flip.
4. Orders through the day are cut into steps of the frozen plan: whole shares that sum to the order but for what the
   participation cap leaves over, and a name never opens before every closing step of it.
5. Nothing is dropped in silence: every difference between targets and orders is a refusal with its reason, or rounding,
   which is measured. A target book that whole shares miss by more than the limit opens nothing: only what lowers a
   position is planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from execution.brokers.base import Account, Asset
from execution.orders import BOOK, FIRST_STEP, Intent, IntentKey, OrderType, Plan, Provenance, Side, TimeInForce
from execution.planning.config import EntryConfig, EntryStyle, PlanningConfig, PretradeConfig
from execution.planning.pretrade import CHECKS, Circumstances, PretradeRefusal, reserved, screen
from execution.planning.rounding import ONE_SHARE, PATH_STEP, ZERO, nearest, of_target, with_plan
from execution.planning.slicing import remaining, whole_shares
from portfolio.weights import TargetWeights
from signals.errors import TripwireSkip
from signals.market.bars import Floats

if TYPE_CHECKING:
    from execution.planning.volume_curve import StepShares, StepSharesOf

TIMES = {EntryStyle.OPG: TimeInForce.OPG, EntryStyle.CLS: TimeInForce.CLS}  # day orders serve the others
OPENING_SLICE = 1  # of a flip; its closing half is slice 0
# Buying power decides which orders leave for the auction, not which are planned.
PLAN_CHECKS = tuple(check for check in CHECKS if check.name != "BUYING_POWER")


@dataclass(frozen=True)
class Trade:
    """Trade of one name: signed whole shares, from a holding, at a reference price."""

    symbol: str
    held: Decimal
    shares: Decimal
    price: Decimal

    @property
    def is_flip(self) -> bool:
        """Whether the holding would change its sign."""
        return (self.held + self.shares) * self.held < 0


def no_curve(symbol: str) -> None:
    """No volume curve is known."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """How a plan's orders leave: the entry, and by symbol the usual dollar volume, the shares of it that the steps meet, and urgencies."""

    entry: EntryConfig
    adv_usd: Mapping[str, Decimal]
    curves: Mapping[str, StepShares]
    urgencies: Mapping[str, float]

    def urgency(self, symbol: str) -> float:
        """Return that of the symbol's order."""
        return 0.0 if self.entry.kind is EntryStyle.TWAP else self.urgencies.get(symbol, self.entry.urgency)


@dataclass(frozen=True, eq=False)
class PlanInputs:
    """Holdings and prices on the morning of D, under the names of D.

    Attributes
    ----------
    account : Account
        Equity scales the weights; its buying power bounds the auction.
    positions : mapping of symbol to signed shares
        As the broker reports them, after its corporate actions.
    prices : mapping of symbol to USD
        Closes of `asof`, restated for actions effective on D.
    assets : mapping of symbol to Asset
    adv_usd : mapping of symbol to USD
        Average dollar volume of 20 sessions.
    marks : mapping of symbol to USD
        The broker's own prices of holdings: they measure the exposure of a name that has no reference price.
    step_shares : callable
        Of a symbol: the share of a session's volume that each step meets, None where no curve is known.
    volatility : mapping of symbol to float
        Of one session, a fraction.
    """

    account: Account
    positions: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    assets: Mapping[str, Asset]
    adv_usd: Mapping[str, Decimal]
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    step_shares: StepSharesOf = no_curve
    volatility: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def references(self) -> dict[str, Decimal]:
        """Reference prices, and the broker's own where there is none."""
        return {**self.marks, **{symbol: price for symbol, price in self.prices.items() if _is_price(price)}}

    def circumstances(self) -> Circumstances:
        """Return the facts that the pre-trade checks use before anything is sent."""
        return Circumstances(
            equity=self.account.equity,
            buying_power=self.account.buying_power,
            shorting_enabled=self.account.shorting_enabled,
            positions={symbol: held for symbol, held in self.positions.items() if held != 0},
            pending=(),
            references=self.references,
            market={},
            adv_usd=self.adv_usd,
            assets=self.assets,
        )


def plan(
    targets: TargetWeights,
    inputs: PlanInputs,
    provenance: Provenance,
    config: PlanningConfig,
    limits: PretradeConfig,
    *,
    reduce_only: bool = False,
    entry: EntryConfig | None = None,
) -> Plan:
    """Turn targets into the frozen orders of their session.

    Parameters
    ----------
    targets : TargetWeights
        Under the names of D.
    reduce_only : bool
        Keep only what lowers an absolute position.
    entry : EntryConfig, optional
        When the orders leave; the opening auction unless given.

    Raises
    ------
    TripwireSkip
        Equity is not positive.
    """
    account, now = inputs.account, inputs.circumstances()
    if not account.equity.is_finite() or account.equity <= 0:
        raise TripwireSkip(f"equity is {account.equity} USD", where="ACCOUNT", fix="Look at the account")
    wanted = _by_symbol(targets.symbols, targets.weights)
    symbols = sorted({*wanted, *now.positions})
    priced = {symbol: price for symbol in symbols if _is_price(price := inputs.prices.get(symbol))}
    aim = {s: weight for s, weight in _by_symbol(targets.symbols, targets.aim).items() if s in priced}
    lots = _lots(symbols, wanted, inputs) if config.fractions else {}
    rounding = of_target(aim, priced, account.equity, limits.max_name, lots)
    trades, unpriced, path = _trades(symbols, wanted, inputs, priced, config, limits.max_name, lots)
    entry = entry or EntryConfig()
    curves = {trade.symbol: found for trade in trades if entry.is_stepped and (found := inputs.step_shares(trade.symbol))}
    schedule = Schedule(entry, inputs.adv_usd, curves, _urgencies(trades, entry, curves, inputs))
    orders = [_orders(trade, targets, account.number, schedule) for trade in trades]
    left = [refusal for _, refusals in orders for refusal in refusals]
    intents = _closings_first([intent for made, _ in orders for intent in made])
    held_back: list[PretradeRefusal] = []
    is_coarse = rounding.share > config.max_rounding
    if reduce_only or is_coarse:
        held_back = [_only_reducing(intent, is_coarse) for intent in intents if not intent.reduces]
        intents = [intent for intent in intents if intent.reduces]
    standing, refused = screen(intents, now, limits, PLAN_CHECKS)
    fitted, unfunded = _fitted(standing, now, limits)
    refusals = (*unpriced, *left, *held_back, *refused, *unfunded)
    return Plan(
        session=targets.session,
        asof=targets.asof,
        account=account.number,
        equity=account.equity,
        intents=tuple(sorted(fitted, key=lambda intent: intent.key)),
        provenance=provenance,
        refusals=tuple((r.symbol, r.check, r.reason) for r in refusals),
        rounding=with_plan(rounding, _with_filled(inputs.positions, fitted), aim, priced, account.equity),
        references={symbol: inputs.references[symbol] for symbol in symbols if symbol in inputs.references},
        adv_usd={i.key.symbol: inputs.adv_usd[i.key.symbol] for i in standing if i.key.symbol in inputs.adv_usd},
        path=path,
        step_shares={symbol: curve for symbol, curve in curves.items() if any(i.key.symbol == symbol for i in standing)},
        urgencies={symbol: one for symbol, one in schedule.urgencies.items() if any(i.key.symbol == symbol for i in standing)},
        multiplier=targets.multiplier,
    )


def _by_symbol(symbols: Sequence[str], weights: Floats) -> dict[str, Decimal]:
    return {symbol: Decimal(repr(float(weight))) for symbol, weight in zip(symbols, weights, strict=True)}


def _with_filled(positions: Mapping[str, Decimal], intents: Sequence[Intent]) -> dict[str, Decimal]:
    """Positions with every intent filled."""
    planned = dict(positions)
    for intent in intents:
        symbol = intent.key.symbol
        planned[symbol] = planned.get(symbol, ZERO) + intent.side.sign * intent.quantity
    return planned


def _lots(symbols: Sequence[str], wanted: Mapping[str, Decimal], inputs: PlanInputs) -> dict[str, Decimal]:
    """Return the smallest trade of each name that may be held in fractions: one that is, stays and becomes no short."""
    return {
        symbol: PATH_STEP
        for symbol in symbols
        if (asset := inputs.assets.get(symbol)) is not None
        and asset.is_fractionable
        and min(wanted.get(symbol, ZERO), inputs.positions.get(symbol, ZERO)) >= 0
    }


def _trades(
    symbols: Sequence[str],
    wanted: Mapping[str, Decimal],
    inputs: PlanInputs,
    prices: Mapping[str, Decimal],
    config: PlanningConfig,
    max_name: Decimal,
    lots: Mapping[str, Decimal],
) -> tuple[list[Trade], list[PretradeRefusal], dict[str, Decimal]]:
    """Return the trades in whole lots, the names that cannot be priced, and the unrounded path that the trades follow."""
    trades: list[Trade] = []
    refusals: list[PretradeRefusal] = []
    path: dict[str, Decimal] = {}
    equity = inputs.account.equity
    for symbol in symbols:
        held, weight, price = inputs.positions.get(symbol, ZERO), wanted.get(symbol, ZERO), prices.get(symbol)
        if price is None:
            if weight != 0 or held != 0:
                refusals.append(PretradeRefusal(symbol, "NO_PRICE", "it has no reference price"))
            continue
        exact = (weight * equity / price).quantize(PATH_STEP, ROUND_HALF_EVEN)
        path |= {symbol: exact} if exact != 0 else {}
        trade = Trade(symbol, held, nearest(exact, held, max_name * equity / price, lots.get(symbol, ONE_SHARE)), price)
        if weight != 0 and abs(trade.shares) * price < config.min_trade_usd:
            trade = replace(trade, shares=ZERO)
        if trade.is_flip and held != _whole(held):
            trade = replace(trade, shares=-_whole(held))
            refusals.append(PretradeRefusal(symbol, "FRACTION", "a fraction is held; it cannot be turned round"))
        if trade.shares != 0:
            trades.append(trade)
    return trades, refusals, path


def _is_price(price: Decimal | None) -> TypeGuard[Decimal]:
    return price is not None and price.is_finite() and price > 0


def _whole(shares: Decimal) -> Decimal:
    """Cut off the fraction of a share, toward zero."""
    return shares.quantize(ONE_SHARE, ROUND_DOWN)


def _orders(trade: Trade, targets: TargetWeights, account: str, schedule: Schedule) -> tuple[list[Intent], list[PretradeRefusal]]:
    """Return the orders of one name, and what of it is left over."""
    entry = schedule.entry
    key = IntentKey(account, targets.session, BOOK, trade.symbol)
    side = Side.BUY if trade.shares > 0 else Side.SELL
    lowered = abs(trade.held + trade.shares) < abs(trade.held)
    whole = Intent(
        key=key,
        side=side,
        quantity=abs(trade.shares),
        type=OrderType.MARKET,
        time_in_force=TIMES.get(entry.kind, TimeInForce.DAY),
        reference_price=trade.price,
        reduces=lowered and not trade.is_flip,
    )
    if entry.is_stepped:
        return _stepped(trade, whole, schedule)
    if not trade.is_flip:
        return [whole], []
    closing = replace(whole, quantity=abs(trade.held), reduces=True)
    if entry.kind is EntryStyle.CLS:
        return [closing], [PretradeRefusal(trade.symbol, "FLIP", "nothing follows the closing auction: it opens next session")]
    opening = replace(
        whole,
        key=replace(key, slice=OPENING_SLICE),
        quantity=abs(trade.held + trade.shares),
        time_in_force=TimeInForce.DAY,
        reduces=False,
        waits_for=key,
    )
    return [closing, opening], []


def _stepped(trade: Trade, whole: Intent, schedule: Schedule) -> tuple[list[Intent], list[PretradeRefusal]]:
    """Cut one order into steps, each within the participation cap (invariant 4)."""
    entry, adv_usd, curve = schedule.entry, schedule.adv_usd.get(trade.symbol), schedule.curves.get(trade.symbol)
    if adv_usd is None or not adv_usd.is_finite() or adv_usd <= 0:
        return [], [PretradeRefusal(trade.symbol, "PARTICIPATION", "its usual volume is unknown")]
    caps = [step_cap(adv_usd, whole.reference_price, entry, curve[step] if curve else None) for step in range(entry.steps)]
    urgency = schedule.urgency(trade.symbol)
    intents = _halves_in_steps(trade, whole, urgency, caps) if trade.is_flip else _steps(whole, urgency, caps, 0, entry.steps)
    left = whole.quantity - sum((intent.quantity for intent in intents), ZERO)
    if left <= 0:
        return intents, []
    reason = f"{left} of {whole.quantity} shares are left: {entry.participation:.1%} of its usual volume is the most"
    return intents, [PretradeRefusal(trade.symbol, "PARTICIPATION", reason)]


def _urgencies(trades: Sequence[Trade], entry: EntryConfig, curves: Mapping[str, StepShares], inputs: PlanInputs) -> dict[str, float]:
    """Return the urgency of least modelled cost of each name that the model knows; a flip is one order there."""
    if entry.kind is not EntryStyle.LEAST_COST:
        return {}
    from execution.planning.urgency import least_cost, order_of  # brings in costs, which other entries do without

    known = {
        trade.symbol: order_of(
            abs(trade.shares) * trade.price,
            inputs.adv_usd.get(trade.symbol),
            inputs.volatility.get(trade.symbol),
            curves.get(trade.symbol),
            entry,
        )
        for trade in trades
    }
    return {symbol: least_cost(order, entry) for symbol, order in known.items() if order is not None}


def step_cap(adv_usd: Decimal, price: Decimal, entry: EntryConfig, share: Decimal | None = None) -> Decimal:
    """Return the most shares of a name that one step may take of its usual volume: of the step's `share`, or evenly."""
    of_session = Decimal(repr(entry.participation)) * adv_usd / price
    return _whole(of_session / entry.steps if share is None else of_session * share)


def _halves_in_steps(trade: Trade, whole: Intent, urgency: float, caps: Sequence[Decimal]) -> list[Intent]:
    """Close in the first steps and open in the others; a closing half that the cap cuts short is followed by none."""
    held, steps = abs(trade.held), len(caps)
    share = int((steps * held / whole.quantity).to_integral_value())
    closing_steps = min(max(share, 1), steps - 1)
    closings = _steps(replace(whole, quantity=held, reduces=True), urgency, caps, 0, closing_steps)
    if sum((intent.quantity for intent in closings), ZERO) < held:
        return closings
    opening = replace(whole, quantity=whole.quantity - held, reduces=False, waits_for=closings[-1].key)
    return [*closings, *_steps(opening, urgency, caps, closing_steps, steps - closing_steps)]


def _steps(whole: Intent, urgency: float, caps: Sequence[Decimal], first: int, count: int) -> list[Intent]:
    """Whole-share steps number `first` to `first + count - 1`; an empty step is none."""
    curve = remaining(urgency, count)
    shares = whole_shares(-np.diff(curve) * int(whole.quantity), int(whole.quantity)).tolist()
    quantities = [min(Decimal(step), cap) for step, cap in zip(shares, caps[first:], strict=False)]
    return [
        replace(whole, key=replace(whole.key, slice=FIRST_STEP + first + number), quantity=quantity)
        for number, quantity in enumerate(quantities)
        if quantity > 0
    ]


def _closings_first(intents: Sequence[Intent]) -> list[Intent]:
    """Order as they are judged and sent: what lowers risk, then what opens, then what waits; by key within."""
    return sorted(intents, key=lambda intent: (not intent.reduces, intent.waits_for is not None, intent.key))


def _only_reducing(intent: Intent, is_coarse: bool) -> PretradeRefusal:
    if is_coarse:
        return PretradeRefusal(intent.key.symbol, "ROUNDING", "the target book is too small for whole shares")
    return PretradeRefusal(intent.key.symbol, "REDUCE", "only orders that lower a position may leave")


def _fitted(intents: Sequence[Intent], now: Circumstances, limits: PretradeConfig) -> tuple[list[Intent], list[PretradeRefusal]]:
    """Send to the auction what fits the buying power (invariant 3); what does not fit follows it, or is refused."""
    left = now.buying_power
    fitted: list[Intent] = []
    unfunded: list[PretradeRefusal] = []
    for intent in intents:
        if intent.time_in_force is TimeInForce.DAY:
            fitted.append(intent)
            continue
        needed = reserved(intent, now.held(intent.key.symbol), limits)
        if needed > left and needed > 0:
            if intent.time_in_force is TimeInForce.CLS:
                reason = f"it needs {needed:.0f} USD of buying power, {left:.0f} are left for the closing auction"
                unfunded.append(PretradeRefusal(intent.key.symbol, "BUYING_POWER", reason))
            else:
                fitted.append(replace(intent, time_in_force=TimeInForce.DAY))
            continue
        left -= needed
        fitted.append(intent)
    return fitted, unfunded


def sending_order(intents: Sequence[Intent]) -> tuple[Intent, ...]:
    """Order in which a plan's intents leave: what lowers risk first."""
    return tuple(_closings_first(intents))
