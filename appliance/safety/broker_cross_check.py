"""Cross-checks the plan's prices, positions and actions with the broker; disputed names are left out of the plan.

Entry points: `extreme_returns` (whether the broker's closes end a wait), `cross_check` (before the targets are final), `without_disputed`
(what is known of the morning without the disputed names) and `with_refusals` (the plan with its reasons). What is compared, and how, is
`execution.planning.opinions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from appliance.context import Deps
from appliance.controls.tripwires import TripwireFigures
from appliance.ledger import activities, snapshots
from appliance.ledger.snapshots import Phase
from appliance.market.snapshot import DataSnapshot
from appliance.market.vendor_curation import fresh_actions
from appliance.market.vendor_record import PriceSource
from execution.brokers.base import Position
from execution.morning import AccountReport, Morning, MorningTargets
from execution.orders import Plan
from execution.planning.opinions import (
    contradicted,
    disputed,
    in_shares_of_d,
    moved,
    shares_disputed,
    unexplained,
    unexplained_shares,
    unlike_actions,
)
from portfolio.policy.blend import on
from signals.audit.extremes import waiting_returns
from signals.errors import InvariantBroken
from signals.market.actions import Action, new_names
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis

CHECK, NO_PRICE = "SECOND_OPINION", "NO_PRICE"
NAMED = 10


@dataclass(frozen=True)
class CrossCheck:
    """The outcome of the cross-check.

    Attributes
    ----------
    reasons : mapping of symbol at D to str
        Why each disputed name is left out.
    figures : TripwireFigures
        For the tripwires.
    compared : int
        Names.
    """

    reasons: Mapping[str, str]
    figures: TripwireFigures
    compared: int

    def sentence(self) -> str:
        """In words, for a person."""
        reported = [f"{symbol}: {reason}" for symbol, reason in sorted(self.reasons.items())]
        more = f"; and {len(reported) - NAMED} more" if len(reported) > NAMED else ""
        return f"{len(reported)} of {self.compared} names are left out of the plan: {'; '.join(reported[:NAMED])}{more}"


@dataclass(frozen=True)
class ExtremeReturns:
    """The broker's closes for the extreme returns that held names wait for, by symbol at asof."""

    confirmed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        """In words, for a person."""
        found = [f"{symbol} waits: {reason}" for symbol, reason in sorted(self.waiting.items())]
        return "; ".join([*found, *(f"{symbol} is traded again: {words}" for symbol, words in sorted(self.confirmed.items()))])


def extreme_returns(deps: Deps, session: date, bars: Bars, snapshot: DataSnapshot, positions: Sequence[Position]) -> ExtremeReturns:
    """Ask the broker about the extreme returns that held names wait for; the others are not scored while they wait.

    Dataset and broker are two sources where the bars are of another vendor: not where this device took them from the broker
    itself, not in a dataset of the broker's own bars, and not at an exchange that replays the dataset. Raises as `cross_check`.
    """
    asof = deps.calendar.previous(session)
    before = {new: old for old, new in new_names(deps.market.actions(session, asof)).items()}
    held = {before.get(p.symbol, p.symbol) for p in positions if p.quantity != 0}
    asked = [one for one in waiting_returns(bars) if one.symbol in held]
    if not asked:
        return ExtremeReturns()
    source, own = _source(deps), {part.session for part in snapshot.completed}
    is_same = deps.config.venue.is_hosted or deps.sources.manifest(deps.folder).vendor == source.name
    confirmed, waits = {}, {}
    for one in asked:
        if is_same or own & {one.before, one.session}:
            waits[one.symbol] = f"{one.move:+.0%} on {one.session}, by bars that are the broker's own: no second source"
            continue
        then, now = (source.closes([one.symbol], day, deps.calendar).get(one.symbol) for day in (one.before, one.session))
        reason = contradicted(one, then, now, deps.config.execution.opinions)
        if reason:
            waits[one.symbol] = f"{reason} on {one.session}"
        else:
            confirmed[one.symbol] = f"{one.move:+.0%} on {one.session} by the data and by the broker's closes"
    return ExtremeReturns(confirmed, waits)


def cross_check(
    deps: Deps, session: date, seen: Morning, basis: PriceBasis, decided: MorningTargets, reported: AccountReport
) -> CrossCheck:
    """Compare every name that the plan may trade, and the account, with what the broker says of them.

    Raises
    ------
    BrokerUnreachable, BadBars
        The broker's market data do not answer, or not in the shape of prices: nothing is planned on one word.
    """
    asof, config = deps.calendar.previous(session), deps.config.execution
    actions = deps.market.actions(session, asof)
    names = {*seen.scores.symbols, *(p.symbol for p in reported.positions if p.quantity != 0)}
    prices = {symbol: price for symbol, price in seen.prices.items() if symbol in names}
    before = {new: old for old, new in new_names(actions).items()}
    at_asof = sorted(before.get(symbol, symbol) for symbol in names)
    theirs = in_shares_of_d(_closes(deps, asof, at_asof, before, reported.positions), actions, basis)
    reasons = disputed(prices, theirs, config.opinions)
    others = {
        **unlike_actions(actions, _reported(deps, session, asof, at_asof), config.opinions),
        **unexplained_shares(activities.since(deps.ledger, asof + timedelta(days=1)), actions),
    }
    renamed = new_names(actions)
    stated = {renamed.get(symbol, symbol): reason for symbol, reason in others.items()}
    reasons |= {symbol: reason for symbol, reason in stated.items() if symbol in prices}
    believed = {symbol: price for symbol, price in prices.items() if symbol not in reasons}
    return CrossCheck(reasons, _figures(deps, session, reasons, believed, decided, reported), len(prices))


def without_disputed(seen: Morning, reasons: Mapping[str, str]) -> Morning:
    """Return the morning without the disputed names: no target, no price; what is held of them stays as it is."""
    scores = on(seen.scores, set(seen.scores.symbols) - set(reasons))
    return replace(seen, scores=scores, prices={s: price for s, price in seen.prices.items() if s not in reasons})


def with_refusals(plan: Plan, reasons: Mapping[str, str]) -> Plan:
    """Return the plan with the reason of every disputed name among its refusals."""
    others = tuple(row for row in plan.refusals if row[0] not in reasons or row[1] != NO_PRICE)
    return replace(plan, refusals=(*others, *((symbol, CHECK, reason) for symbol, reason in sorted(reasons.items()))))


def _figures(
    deps: Deps, session: date, reasons: Mapping[str, str], believed: Mapping[str, Decimal], decided: MorningTargets, reported: AccountReport
) -> TripwireFigures:
    names, gross = shares_disputed(reasons, len(reasons) + len(believed), _exposure(decided))
    # a reconcile that ran after the open has named its agreement by the close
    agreed = snapshots.find(deps.ledger, session, Phase.OPEN) or snapshots.find(deps.ledger, session, Phase.CLOSE)
    if agreed is None:  # a reconcile that left nothing behind confirms nothing
        return TripwireFigures(disputed_names=names, disputed_gross=gross)
    gap = deps.config.execution.pretrade.gap_collar
    return TripwireFigures(
        disputed_names=names,
        disputed_gross=gross,
        moved_positions=float(len(moved(agreed.positions, reported.positions))),
        unexplained_equity=unexplained(agreed.cash, agreed.positions, reported.positions, reported.account.equity, believed, gap),
    )


def _exposure(decided: MorningTargets) -> dict[str, float]:
    """The larger of what is held and what is wanted of each name, as a share of equity."""
    wanted = dict(zip(decided.targets.symbols, decided.targets.weights.tolist(), strict=True))
    names = {*wanted, *decided.current}
    return {name: max(abs(wanted.get(name, 0.0)), abs(decided.current.get(name, 0.0))) for name in names}


def _closes(deps: Deps, asof: date, names: Sequence[str], before: Mapping[str, str], positions: Sequence[Position]) -> dict[str, Decimal]:
    """The broker's closes of asof: of what is held by the account, of the others by its market data."""
    held = {before.get(p.symbol, p.symbol): p.last_close for p in positions if p.quantity != 0 and p.last_close}
    return {**_source(deps).closes([name for name in names if name not in held], asof, deps.calendar), **held}


def _reported(deps: Deps, session: date, asof: date, names: Sequence[str]) -> list[Action]:
    """The corporate actions effective on D by the broker's data."""
    reported, _ = _source(deps).actions(names, asof + timedelta(days=1), session)
    return [action for action in fresh_actions(reported, (), deps.calendar, asof) if action.effective == session]


def _source(deps: Deps) -> PriceSource:
    if deps.prices is None:
        raise InvariantBroken("a device that plans was opened without market data to compare with")
    return deps.prices
