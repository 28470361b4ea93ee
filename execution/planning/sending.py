"""The sending order of a frozen plan: batches, dependencies and follow-up orders. Pure.

The device's order path and the backtest ask the same questions here; how an answer is journaled is the device's affair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from execution.brokers.base import Account, Asset, Position
from execution.orders import FIRST_STEP, Intent, IntentKey, Plan, TimeInForce
from execution.planning.config import EntryConfig
from execution.planning.plan import step_cap
from execution.planning.pretrade import Circumstances, Pending

ZERO = Decimal(0)


@dataclass(frozen=True)
class BatchReports:
    """A plan, and the broker's reports fetched together before a batch of its orders.

    Attributes
    ----------
    assets : mapping of symbol to Asset
    latest : mapping of symbol to USD, or None
        The newest prices of the plan's names; None where nobody is asked for them, as in a backtest.
    """

    plan: Plan
    account: Account
    positions: tuple[Position, ...]
    assets: Mapping[str, Asset]
    latest: Mapping[str, Decimal] | None = None


def circumstances(reports: BatchReports, pending: Iterable[Pending], leaving: Intent, spent: Decimal) -> Circumstances:
    """Return what `leaving` is judged in right before it leaves.

    Parameters
    ----------
    pending : iterable of Pending
        Shares that every other order of the session may still fill; neither its own nor those of what it waits for.
    spent : Decimal
        USD of buying power that orders took since the account was asked.
    """
    plan, account, positions, latest = reports.plan, reports.account, reports.positions, reports.latest
    marks = {p.symbol: p.current_price for p in positions if p.current_price is not None}
    return Circumstances(
        equity=account.equity,
        buying_power=account.buying_power - spent,
        shorting_enabled=account.shorting_enabled,
        positions={p.symbol: p.quantity for p in positions if p.quantity != 0},
        pending=tuple(pending),
        references={**marks, **plan.references},
        # an order that waits for an auction meets a price that nobody knows yet: the newest one shows its scale
        market=marks if leaving.time_in_force is TimeInForce.DAY else {},
        latest={} if latest is None else {**latest, **marks},
        adv_usd=plan.adv_usd,
        assets=reports.assets,
    )


def follow_up(expired: Intent, rest: Decimal, min_residual_usd: Decimal) -> Intent | None:
    """Return the `day` order for what an expired opening order left unfilled; None where that is not worth one."""
    if expired.time_in_force is not TimeInForce.OPG or rest * expired.reference_price < min_residual_usd:
        return None
    return expired.next_attempt(rest, TimeInForce.DAY)


def room(plan: Plan, entry: EntryConfig, late: Intent, step: int) -> Decimal:
    """Shares of an earlier step's rest that may leave with `step` under the participation cap; at least 0."""
    symbol = late.key.symbol
    if symbol not in plan.adv_usd:
        return ZERO
    planned = sum((i.quantity for i in plan.intents if i.key.symbol == symbol and i.step == step), ZERO)
    curve = plan.step_shares.get(symbol)
    if curve and step > len(curve):  # more steps are configured by now than the plan was made for
        return ZERO
    return max(step_cap(plan.adv_usd[symbol], late.reference_price, entry, curve[step - 1] if curve else None) - planned, ZERO)


def remainder(plan: Plan, intent: Intent, taken: Iterable[tuple[IntentKey, Decimal]]) -> Decimal:
    """Shares of the planned order behind `intent` that none of its attempts has filled or may still fill.

    Parameters
    ----------
    taken : iterable of (IntentKey, Decimal)
        Shares that attempts have filled or may still fill, of whatever orders.
    """
    place = (intent.key.symbol, intent.key.slice)
    planned = sum((i.quantity for i in plan.intents if (i.key.symbol, i.key.slice) == place), ZERO)
    return planned - sum((shares for key, shares in taken if (key.symbol, key.slice) == place), ZERO)


def renewal(last: Intent, rest: Decimal, room_left: Decimal, least_usd: Decimal) -> Decimal | None:
    """Shares of a cancelled step's rest that leave again now; 0 where it has to wait for room, None where it is worth no order."""
    if rest * last.reference_price < least_usd:
        return None
    shares = min(rest, room_left)
    return shares if shares > 0 and shares * last.reference_price >= least_usd else ZERO


def is_filled(plan: Plan, filled: Iterable[tuple[IntentKey, Decimal]], key: IntentKey) -> bool:
    """Whether the planned order `key` is filled to its last share, over all its attempts, and every step before it too.

    Parameters
    ----------
    filled : iterable of (IntentKey, Decimal)
        Shares filled, of every order of the session.
    """
    first = FIRST_STEP if key.slice >= FIRST_STEP else key.slice
    wanted = [i for i in plan.intents if i.key.symbol == key.symbol and first <= i.key.slice <= key.slice]
    done = [shares for made, shares in filled if made.symbol == key.symbol and first <= made.slice <= key.slice]
    has_leader = any(intent.key == key for intent in wanted)
    return has_leader and sum(done, ZERO) == sum((intent.quantity for intent in wanted), ZERO)
