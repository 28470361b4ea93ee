"""Reconciles the ledger with the broker: fetch, update, compare, and record the agreement or the break.

Invariants
----------
1. Nothing is compared until every report has arrived whole; a report that could not be had raises.
2. Activities, fills and the new snapshot are recorded in one transaction, and only when both books agree.
3. A difference that another look settles is no break: reports are read again after each of the configured waits.
4. A book begins by taking what the broker has: while the device is not armed or the account is empty, and only what a
   person adopted of it. What a person keeps is no part of any book.
5. An order of this device's own family that its ledger does not know is another device's, or the ledger is not whole.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.ledger import activities, broker_orders, choices, fills, intents, snapshots
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import LIVE_AT_BROKER, IntentState, JournalEntry
from appliance.ledger.snapshots import AccountSnapshot, Phase
from appliance.orders.order_path import OrderPath, another_device
from appliance.orders.tracking import adopt, differs, track
from execution.brokers.base import Account, Activity, Position
from execution.orders import BrokerOrder, OrderStatus, is_of_family
from execution.reconcile import (
    FILL,
    AgreedBook,
    Cause,
    Difference,
    OrderState,
    Ours,
    OwnOrder,
    Reconciliation,
    Remedy,
    Theirs,
    fill_of,
    reconcile,
)
from signals.errors import FixInput, ReconBreak, TripwireHalt

LAST = "last_reconciliation"
ACCEPTED = "accepted_differences"
NAMED_IN_ERROR = 5
KEEP_OR_ACCEPT = "; before that, `appliance keep` leaves shares that came out of the book for good, `appliance accept` takes them into it"


@dataclass(frozen=True)
class Reports:
    """The broker's reports, all of them."""

    account: Account
    positions: tuple[Position, ...]
    orders: tuple[BrokerOrder, ...]
    activities: tuple[Activity, ...]
    listed_from: date


@dataclass(frozen=True)
class Agreement:
    """Both books agree, on this account and these positions; `notes` are the explained differences."""

    account: Account
    positions: tuple[Position, ...]
    notes: tuple[Difference, ...]


def agree(path: OrderPath, session: date, phase: Phase) -> Agreement:
    """Compare the ledger with the broker and record the agreement.

    Raises
    ------
    ReconBreak
        Something differs and nothing explains it; what was foreign is on record then.
    TripwireHalt
        It is another account than before, or another device trades it.
    BrokerUnreachable
        A report could not be had whole; nothing was recorded.
    """
    before = snapshots.latest(path.ledger)
    if before is None:
        return begin(path, session, phase)
    reports, result = _settled(path, session, before)
    _remember(path, session, phase, result)
    if result.is_clean:
        _record(path, session, phase, reports, result)
        return Agreement(reports.account, reports.positions, result.differences)
    _adopt_strangers(path, reports, result)
    foreign = [d.subject for d in result.breaks if d.cause is Cause.FOREIGN_ORDER]
    _require_alone(reports.account, foreign)
    shown = "; ".join(difference.sentence() for difference in result.breaks[:NAMED_IN_ERROR])
    causes = {difference.cause for difference in result.breaks}
    more = len(result.breaks) - NAMED_IN_ERROR
    raise ReconBreak(
        f"the ledger and the broker disagree: {shown}" + (f"; and {more} more" if more > 0 else ""),
        where=f"{session} {phase}",
        fix="Compare both, then re-arm with the reason" + (KEEP_OR_ACCEPT if Cause.FOREIGN_SHARES in causes else ""),
    )


def begin(path: OrderPath, session: date, phase: Phase) -> Agreement:
    """Take the broker's books as the ledger's beginning: holdings as they are, everything booked until then as processed.

    Also what a person accepts after a break that is understood.

    Raises
    ------
    ReconBreak
        The device is armed, its ledger is empty, and the account holds what no person has decided about: it was lost.
    TripwireHalt
        Orders of this device's own family are at the broker: another device trades the account.
    FixInput
        The account holds what no person has adopted or keeps, or an order works there; nothing was recorded.
    """
    reports = fetch(path, _looked_back(path, session))
    _refuse_anothers(path, reports)
    working = [order for order in reports.orders if not order.status.is_terminal]
    if path.latch.read().is_armed and (undecided(path, reports.positions) or working):
        raise ReconBreak(
            "the device is armed with an empty ledger, but the account holds positions or orders",
            where=f"{len(reports.positions)} positions, {len(working)} orders",
            fix="Restore the ledger from a backup, or re-arm to begin with what the account holds",
        )
    require_decided(path, reports.positions, working)
    accept(path, session, phase, reports)
    return Agreement(reports.account, reports.positions, ())


def undecided(path: OrderPath, positions: Sequence[Position]) -> tuple[Position, ...]:
    """Return the holdings that no agreement has and no person has decided about."""
    before = snapshots.latest(path.ledger)
    agreed = {position.symbol for position in before.positions} if before else set()
    known = agreed.union(*(choices.chosen(path.ledger, choice) for choice in choices.Choice))
    return tuple(p for p in positions if p.quantity != 0 and p.symbol not in known)


def require_decided(path: OrderPath, positions: Sequence[Position], working: Sequence[BrokerOrder]) -> None:
    """Raise `FixInput` while orders of others work in the account, or it holds what nobody has adopted or keeps."""
    if working:
        raise FixInput(
            "orders that this device did not send work in the account",
            fix="Cancel them at the broker",
            where=", ".join(order.client_order_id for order in working[:NAMED_IN_ERROR]),
        )
    if found := undecided(path, positions):
        raise FixInput(
            f"the account holds {len(found)} positions that are not this device's",
            where=", ".join(f"{p.symbol} {p.quantity}" for p in found[:NAMED_IN_ERROR]),
            fix="`appliance adopt` lets it trade them to its target, `appliance keep` never touches them; both list them first",
        )


def _refuse_anothers(path: OrderPath, reports: Reports) -> None:
    """Raise on orders of our family in a book that begins; they are on record then, so that it is said once."""
    known = {order.id for order in broker_orders.foreign(path.ledger)}
    account = reports.account.number
    found = [o for o in reports.orders if is_of_family(o.client_order_id, account) and o.id not in known]
    for order in found:
        broker_orders.save(path.ledger, order, path.clock.now())
    _require_alone(reports.account, [order.client_order_id for order in found])


def _require_alone(account: Account, foreign: Sequence[str]) -> None:
    found = sorted(cid for cid in foreign if is_of_family(cid, account.number))
    if found:
        raise another_device(f"{len(found)} orders that this ledger does not know bear this device's own ids", found[0])


def accept(path: OrderPath, session: date, phase: Phase, reports: Reports | None = None) -> None:
    """Record the broker's books as agreed, whatever ours said: for a new ledger, and for a person who decides so."""
    reports = fetch(path, session) if reports is None else reports
    at = path.clock.now()
    with path.ledger.transaction():
        for order in reports.orders:
            broker_orders.save(path.ledger, order, at)
        _book(path, reports, reports.activities)
        snapshots.save(path.ledger, session, phase, reports.account, reports.positions, at)
        snapshots.accept_multiplier(path.ledger, reports.account.multiplier)


def _settled(path: OrderPath, session: date, before: AccountSnapshot) -> tuple[Reports, Reconciliation]:
    """Compare, and compare again after each wait while something differs (invariant 3)."""
    since = oldest(path, min(before.session, session))
    waits = iter(path.config.submission.settle_seconds)
    while True:
        reports = fetch(path, since)
        if reports.account.number != before.account or reports.account.id != before.account_id:
            raise TripwireHalt(
                f"account {reports.account.number} answers, the ledger is of {before.account}",
                where="ACCOUNT",
                fix="Was the paper account reset? Then `appliance setup --account-reset`. Otherwise put its own credentials back",
            )
        _take_over(path, reports)
        result = compare(path, before, reports).knowing(_accepted(path))
        wait = next(waits, None)
        if result.is_clean or wait is None:
            return reports, result
        path.clock.sleep(wait)


def accept_break(path: OrderPath, session: date, phase: Phase, reports: Reports) -> tuple[Difference, ...]:
    """Record the broker's books as agreed, its orders among them; return what contradicts itself there all the same.

    For a person who decides so on a halted device. An order of ours is recorded as the broker reports it, under the id that
    it has there; a live one that the broker does not list is over. Nothing follows either. What still differs, an order
    against its fills say, is known from now on: the same difference is a note, any other is a break.
    """
    listed = {order.client_order_id: order for order in reports.orders}
    with path.ledger.transaction():
        for entry in intents.since(path.ledger, reports.listed_from):
            order = listed.get(entry.client_order_id)
            if order is None and entry.state in LIVE_AT_BROKER:
                _correct(path, entry, IntentState.LAPSED, entry.broker_order_id, entry.filled_quantity)
            elif order is not None and differs(entry, order):
                _correct(path, entry, _accepted_state(order), order.id, order.filled_quantity)
        accept(path, session, phase, reports)
        agreed = snapshots.latest(path.ledger)
        assert agreed is not None, "a snapshot was just saved"
        left = compare(path, agreed, reports).breaks
        for entry in intents.in_states(path.ledger, {IntentState.EXPIRED}):
            if entry.client_order_id in {difference.subject for difference in left}:
                _correct(path, entry, IntentState.CANCELED, entry.broker_order_id, entry.filled_quantity)
        path.ledger.write_meta(ACCEPTED, json.dumps([vars(difference) for difference in left]))
    return left


def _correct(path: OrderPath, entry: JournalEntry, to: IntentState, order_id: str | None, filled: Decimal) -> None:
    intents.correct(
        path.ledger,
        entry.client_order_id,
        to,
        path.clock.now(),
        "a person accepted what the broker has",
        broker_order_id=order_id,
        filled_quantity=filled,
    )


def _accepted_state(order: BrokerOrder) -> IntentState:
    """Return the state for an order as the broker has it; an ended one with a rest is one that nothing follows."""
    if not order.status.is_terminal:
        return IntentState.ACKED
    return IntentState.FILLED if order.status is OrderStatus.FILLED else IntentState.CANCELED


def _accepted(path: OrderPath) -> list[Difference]:
    rows = json.loads(path.ledger.read_meta(ACCEPTED) or "[]")
    return [Difference(Cause(row["cause"]), row["subject"], row["ours"], row["theirs"], Remedy(row["remedy"])) for row in rows]


def oldest(path: OrderPath, session: date) -> date:
    """Return the session from which orders are asked for: `session`, or an older one of an unfinished order."""
    return min([session, *(entry.intent.key.session for entry in intents.unfinished(path.ledger))])


def compare(path: OrderPath, before: AccountSnapshot, reports: Reports) -> Reconciliation:
    """Compare the ledger, which agreed on `before` last, with the broker's reports."""
    since = reports.listed_from
    return reconcile(_ours(path, before, since), _theirs(path, reports, since), cash_tolerance=path.config.reconcile.cash_tolerance_usd)


def fetch(path: OrderPath, since: date) -> Reports:
    """Ask for every report, orders from the session `since` on; raise `BrokerUnreachable` unless all arrive whole."""
    return Reports(
        orders=path.broker.orders(open_only=False, after=path.midnight(since)),
        activities=path.broker.activities(_looked_back(path, since)),
        positions=path.broker.positions(),
        account=path.broker.account(),
        listed_from=since,
    )


def _looked_back(path: OrderPath, since: date) -> date:
    """Return the session from which activities are asked for: one that is booked late may be of an order that ended before `since`.

    `since` may be a session that was struck from the calendar.
    """
    place = len(path.calendar.between(date.min, since)) - 1
    return path.calendar.days[max(0, place - path.config.reconcile.activity_sessions)]


def _take_over(path: OrderPath, reports: Reports) -> None:
    """Record what the broker reports of our live orders."""
    for order in reports.orders:
        entry = intents.find(path.ledger, order.client_order_id)
        if entry is not None and entry.state in LIVE_AT_BROKER and entry.broker_order_id == order.id:
            track(path, entry, order)


def _ours(path: OrderPath, before: AccountSnapshot, since: date) -> Ours:
    entries = intents.since(path.ledger, since)
    filled = {e.broker_order_id: Decimal(0) for e in entries if e.broker_order_id is not None}
    return Ours(
        book=AgreedBook(before.cash, {p.symbol: p.quantity for p in before.positions if p.quantity != 0}),
        booked=activities.booked_ids(path.ledger, date.min),
        orders=tuple(OwnOrder(e.client_order_id, _intent_states(e), e.intent.quantity, e.filled_quantity) for e in entries),
        known_foreign=frozenset(order.id for order in broker_orders.foreign(path.ledger)),
        filled={**filled, **fills.quantity_by_order(path.ledger)},
        keeps=bool(choices.chosen(path.ledger, choices.Choice.KEPT)),
    )


def _intent_states(entry: JournalEntry) -> OrderState:
    if entry.state in LIVE_AT_BROKER:
        return OrderState.LIVE
    return OrderState.ENDED if entry.state.is_at_broker else OrderState.UNSENT


def _theirs(path: OrderPath, reports: Reports, since: date) -> Theirs:
    return Theirs(
        cash=reports.account.cash,
        positions=reports.positions,
        orders=reports.orders,
        activities=reports.activities,
        listed_since=frozenset(entry.client_order_id for entry in intents.since(path.ledger, since)),
    )


def _record(path: OrderPath, session: date, phase: Phase, reports: Reports, result: Reconciliation) -> None:
    at = path.clock.now()
    with path.ledger.transaction():
        for order in reports.orders:
            broker_orders.save(path.ledger, order, at)
        _book(path, reports, result.news)
        snapshots.save(path.ledger, session, phase, reports.account, reports.positions, at)


def _book(path: OrderPath, reports: Reports, news: tuple[Activity, ...]) -> None:
    """Record activities, and the fills among them with the session and the order of ours that they belong to."""
    client_ids = {order.id: order.client_order_id for order in reports.orders}
    own = {cid for cid in client_ids.values() if intents.find(path.ledger, cid) is not None}
    activities.book(path.ledger, news, path.clock.now())
    executed = [activity for activity in news if activity.kind == FILL]
    fills.add(
        path.ledger,
        [
            BookedFill(fill_of(activity), activity.day, cid if (cid := client_ids.get(activity.order_id, "")) in own else "")
            for activity in executed
        ],
    )


def _adopt_strangers(path: OrderPath, reports: Reports, result: Reconciliation) -> None:
    """Put on record what the broker has and we did not know of, so that a person sees it and it breaks only once."""
    unexpected = {d.subject for d in result.breaks if d.cause is Cause.ORDER_UNEXPECTED}
    at = path.clock.now()
    for order in reports.orders:
        entry = intents.find(path.ledger, order.client_order_id)
        if entry is None:
            broker_orders.save(path.ledger, order, at)
        elif order.client_order_id in unexpected:
            adopt(path, entry, order, "reported by the broker, never sent by our record")


def _remember(path: OrderPath, session: date, phase: Phase, result: Reconciliation) -> None:
    rows = [{**vars(d), "is_break": d.is_break} for d in result.differences]
    content = {"session": session, "phase": phase, "at": path.clock.now().isoformat(), "differences": rows}
    path.ledger.write_meta(LAST, json.dumps(content, default=str, sort_keys=True))


REBUILT = "rebuilt_at"
HALT_NAME = "LEDGER_REBUILT"


def rebuild(path: OrderPath, session: date, phase: Phase, since: date) -> Agreement:
    """Close the latch, then fill an empty ledger from the broker's reports since the session `since`.

    Lost are plans, scores, targets and who asked for what, which only the ledger had. The orders are therefore on record as not
    ours, for a person to look at.

    Raises
    ------
    FixInput
        The ledger is not empty: nothing is overwritten.
    BrokerUnreachable
        A report could not be had whole; the ledger stays empty and the latch closed.
    """
    if snapshots.latest(path.ledger) is not None:
        raise FixInput(
            "this ledger is not empty; it is never rebuilt over what it holds",
            where=str(path.ledger.path),
            fix="Move the file away first if it is beyond repair",
        )
    path.latch.halt(HALT_NAME, "the ledger was rebuilt from the broker; look at it before you re-arm", path.clock.now())
    reports = fetch(path, since)
    with path.ledger.transaction():
        accept(path, session, phase, reports)
        path.ledger.write_meta(REBUILT, path.clock.now().isoformat())
    return Agreement(reports.account, reports.positions, ())
