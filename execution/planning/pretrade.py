"""Pre-trade checks on single orders: a table of named pure functions.

Entry points: `CHECKS` (the table), `refusal` (the first row that refuses one order), `screen` (a list of orders, each
judged with the others filled). The backtest, the planner and the live path run the same table; the live path runs it
again on every order right before that order is journaled.

Invariants
----------
1. Every limit is judged on the book with every open and still unsent order filled, at the plan's reference prices.
2. GROSS, NET and NAME refuse an order only when the book breaks the limit and the order makes it worse.
3. An order that can only lower the absolute position it finds is never refused by GROSS, NET, NAME, ORDER_NOTIONAL or
   BUYING_POWER.
4. A missing or non-finite input refuses every order that needs it: fail closed.
5. No order makes a position short unless shorts are allowed, by configuration, account and asset; never a fraction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property

from execution.brokers.base import Asset
from execution.orders import Intent, IntentKey, Side
from execution.planning.config import PretradeConfig

ZERO = Decimal(0)


@dataclass(frozen=True)
class Pending:
    """Signed shares of an order that is not filled yet: at the broker, or in the plan and still to be sent."""

    symbol: str
    quantity: Decimal


@dataclass(frozen=True)
class Circumstances:
    """Facts by which an order is checked.

    Attributes
    ----------
    equity, buying_power : Decimal
        USD; `buying_power` is what is left for orders that are not at the broker yet.
    shorting_enabled : bool
        By the account.
    positions : mapping of symbol to signed shares
    pending : tuple of Pending
        Every other order that is open or still to be sent.
    references : mapping of symbol to USD
        The plan's reference prices; every symbol held or pending needs one.
    market : mapping of symbol to USD
        The market's own price while it trades, where one is known.
    latest : mapping of symbol to USD
        The broker's newest price, of before the open or delayed; compared where `market` has none, with `gap_collar`.
        Where the broker has no price at all the reference, which the plan had confirmed, is used.
    adv_usd : mapping of symbol to USD
        Average dollar volume of 20 sessions.
    assets : mapping of symbol to Asset
    """

    equity: Decimal
    buying_power: Decimal
    shorting_enabled: bool
    positions: Mapping[str, Decimal]
    pending: tuple[Pending, ...]
    references: Mapping[str, Decimal]
    market: Mapping[str, Decimal]
    adv_usd: Mapping[str, Decimal]
    assets: Mapping[str, Asset]
    latest: Mapping[str, Decimal] = field(default_factory=dict)

    def held(self, symbol: str) -> Decimal:
        """Signed shares held now."""
        return self.positions.get(symbol, ZERO)

    @cached_property
    def filled_book(self) -> Mapping[str, Decimal] | None:
        """Signed USD by symbol with every pending order filled; None when a price is missing."""
        shares = dict(self.positions)
        for order in self.pending:
            shares[order.symbol] = shares.get(order.symbol, ZERO) + order.quantity
        values: dict[str, Decimal] = {}
        for symbol, quantity in shares.items():
            value = _value(symbol, quantity, self.references)
            if value is None:
                return None
            values[symbol] = value
        return values


@dataclass(frozen=True)
class PretradeRefusal:
    """Why an order may not leave."""

    symbol: str
    check: str
    reason: str


Judge = Callable[[Intent, Circumstances, PretradeConfig], str | None]


@dataclass(frozen=True)
class Check:
    """One row: its name and the function that answers a reason to refuse, or None."""

    name: str
    judge: Judge


def lowers(intent: Intent, held: Decimal) -> bool:
    """Whether the order only lowers the absolute position `held`, without crossing zero."""
    after = held + signed(intent)
    return abs(after) < abs(held) and after * held >= 0


def signed(intent: Intent) -> Decimal:
    """Shares that the order adds to the position."""
    return intent.side.sign * intent.quantity


def reserved(intent: Intent, held: Decimal, config: PretradeConfig) -> Decimal:
    """USD of buying power that the order takes until it is filled; 0 for one that lowers the position."""
    return ZERO if lowers(intent, held) else abs(intent.notional) * (1 + config.reserve)


def _inputs(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    figures = {"equity": now.equity, "buying power": now.buying_power, "reference price": intent.reference_price}
    for name, figure in figures.items():
        if not figure.is_finite():
            return f"{name} is {figure}"
    return None if now.equity > 0 else f"equity is {now.equity} USD"


def _reduce_only(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    if not intent.reduces or lowers(intent, now.held(intent.key.symbol)):
        return None
    return f"it should lower a position of {now.held(intent.key.symbol)} shares and would not"


def _asset(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    asset = now.assets.get(intent.key.symbol)
    if asset is None:
        return "the broker does not list it"
    return None if asset.is_tradable else "the broker does not trade it"


def _short(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    after = now.held(intent.key.symbol) + signed(intent)
    if intent.side is Side.BUY or after >= 0:
        return None
    asset = now.assets[intent.key.symbol]
    if not (config.allow_short and now.shorting_enabled):
        return "shorts are not allowed"
    if after != after.to_integral_value() or intent.quantity != intent.quantity.to_integral_value():
        return "a fraction cannot be sold short"
    if now.equity < config.min_short_equity_usd:
        return f"equity {now.equity} USD is below the {config.min_short_equity_usd} USD that shorts need"
    return None if asset.is_shortable and asset.is_easy_to_borrow else "it cannot be borrowed easily"


def _collar(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    price = intent.reference_price if intent.limit_price is None else intent.limit_price
    symbol = intent.key.symbol
    is_gap = symbol not in now.market and symbol in now.latest
    market = now.latest[symbol] if is_gap else now.market.get(symbol, now.references.get(symbol))
    if market is None or not market.is_finite() or market <= 0 or not price.is_finite():
        return f"no market price to compare {price} with"
    limit = config.cheap_collar if market < config.cheap_below_usd else config.collar
    limit = config.gap_collar if is_gap else limit
    distance = abs(price / market - 1)
    return None if distance <= limit else f"{price} is {distance:.2%} from the market's {market}, limit {limit:.0%}"


def _order_notional(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    if lowers(intent, now.held(intent.key.symbol)):
        return None
    volume = now.adv_usd.get(intent.key.symbol)
    if volume is None or not volume.is_finite():
        return "its average dollar volume is not known"
    limit = min(config.max_order_equity * now.equity, config.max_order_adv * volume)
    size = abs(intent.notional)
    return None if size <= limit else f"{size:.2f} USD, limit {limit:.2f}"


def _value(symbol: str, quantity: Decimal, references: Mapping[str, Decimal]) -> Decimal | None:
    price = references.get(symbol)
    return None if price is None or not price.is_finite() or price <= 0 else quantity * price


def _book_with(intent: Intent, now: Circumstances) -> dict[str, Decimal] | None:
    """Return the filled book with `intent` filled too; None when a price is missing."""
    symbol = intent.key.symbol
    added = _value(symbol, signed(intent), now.references)
    if now.filled_book is None or added is None:
        return None
    return {**now.filled_book, symbol: now.filled_book.get(symbol, ZERO) + added}


def _limited(intent: Intent, now: Circumstances, limit: Decimal, measure: Callable[[Mapping[str, Decimal]], Decimal]) -> str | None:
    """Refuse when the measure of the filled book is past the limit and lower without this order (invariant 2)."""
    if lowers(intent, now.held(intent.key.symbol)):
        return None
    before, after = now.filled_book, _book_with(intent, now)
    if before is None or after is None:
        return "a name in the book has no reference price"
    share, otherwise = measure(after) / now.equity, measure(before) / now.equity
    return None if share <= limit or share <= otherwise else f"{share:.4f} of equity, limit {limit}"


def _gross(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    return _limited(intent, now, config.max_gross, lambda book: sum(map(abs, book.values()), ZERO))


def _net(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    if not config.allow_short:
        return None
    return _limited(intent, now, config.max_net, lambda book: abs(sum(book.values(), ZERO)))


def _name(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    symbol = intent.key.symbol
    return _limited(intent, now, config.max_name, lambda book: abs(book.get(symbol, ZERO)))


def _buying_power(intent: Intent, now: Circumstances, config: PretradeConfig) -> str | None:
    needed = reserved(intent, now.held(intent.key.symbol), config)
    return None if needed <= max(now.buying_power, ZERO) else f"needs {needed:.2f} USD of {now.buying_power:.2f}"


CHECKS: tuple[Check, ...] = (
    Check("INPUTS", _inputs),
    Check("REDUCE_ONLY", _reduce_only),
    Check("ASSET", _asset),
    Check("SHORT", _short),
    Check("PRICE_COLLAR", _collar),
    Check("ORDER_NOTIONAL", _order_notional),
    Check("GROSS", _gross),
    Check("NET", _net),
    Check("NAME", _name),
    Check("BUYING_POWER", _buying_power),
)


def refusal(intent: Intent, now: Circumstances, config: PretradeConfig, checks: Iterable[Check] = CHECKS) -> PretradeRefusal | None:
    """Return the first row that refuses the order, or None when it may leave."""
    for check in checks:
        reason = check.judge(intent, now, config)
        if reason is not None:
            return PretradeRefusal(intent.key.symbol, check.name, reason)
    return None


def screen(
    intents: Sequence[Intent], now: Circumstances, config: PretradeConfig, checks: Iterable[Check] = CHECKS
) -> tuple[tuple[Intent, ...], tuple[PretradeRefusal, ...]]:
    """Judge each order, in the given order, with all the others that remain, as if filled.

    The opening half of a flip is judged with its closing half filled, and falls with it. `now.pending` holds orders
    other than `intents`; buying power is used up as orders pass.
    """
    rows = tuple(checks)
    standing = {intent.key: intent for intent in intents}
    refusals: list[PretradeRefusal] = []
    for intent in intents:
        found = _judged(intent, standing, now, config, rows)
        if found is None:
            left = now.buying_power - reserved(intent, _held_before(intent, standing, now), config)
            now = replace(now, buying_power=left)
        else:
            del standing[intent.key]
            refusals.append(found)
    return tuple(standing.values()), tuple(refusals)


def _judged(
    intent: Intent, standing: Mapping[IntentKey, Intent], now: Circumstances, config: PretradeConfig, rows: tuple[Check, ...]
) -> PretradeRefusal | None:
    leader = intent.waits_for
    if leader is not None and leader not in standing:
        return PretradeRefusal(intent.key.symbol, "FLIP", "its closing half may not leave")
    others = tuple(
        Pending(other.key.symbol, signed(other)) for other in standing.values() if other.key != intent.key and other.key != leader
    )
    held = {**now.positions, intent.key.symbol: _held_before(intent, standing, now)}
    return refusal(intent, replace(now, positions=held, pending=now.pending + others), config, rows)


def _held_before(intent: Intent, standing: Mapping[IntentKey, Intent], now: Circumstances) -> Decimal:
    """Shares held when the order meets the market: a closing half has been filled before its opening half."""
    leader = standing.get(intent.waits_for) if intent.waits_for is not None else None
    return now.held(intent.key.symbol) + (ZERO if leader is None else signed(leader))
