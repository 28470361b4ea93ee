"""The orders of one session on their way to the exchange, as a device sends them.

At the open: auction orders before it; afterwards what expired unfilled, closings, and the openings that waited for them.
In steps: each step cancels what the ones before left, sends its own orders and new attempts of those rests as far as the
participation cap has room, closings first; openings follow once the closings that they wait for are filled.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from execution.brokers.base import Acked
from execution.config import ExecutionConfig
from execution.exchange.doors.in_process_broker import DirectBroker
from execution.orders import Intent, IntentKey, OrderStatus, Plan, TimeInForce
from execution.planning.config import EntryConfig
from execution.planning.plan import sending_order
from execution.planning.pretrade import Pending, refusal, reserved
from execution.planning.sending import BatchReports, circumstances, follow_up, is_filled, remainder, renewal, room
from signals.market.sessions import Calendar, Session

ZERO = Decimal(0)
NOT_SENT = ("denied", "refused")
RENEWED = (OrderStatus.CANCELED, OrderStatus.FILLED)


@dataclass(frozen=True)
class OrderRow:
    """One order as it ended; `state` is the exchange's word, or `refused` or `denied` with its reason."""

    session: date
    client_order_id: str
    intent: Intent
    state: str
    filled: Decimal
    reason: str = ""


@dataclass
class OrderBatch:
    """The orders of one session on their way."""

    broker: DirectBroker
    plan: Plan
    execution: ExecutionConfig
    meant: dict[IntentKey, Intent] = field(default_factory=dict)
    acknowledged: dict[IntentKey, Intent] = field(default_factory=dict)
    ended: dict[IntentKey, OrderRow] = field(default_factory=dict)
    wanted: set[IntentKey] = field(default_factory=set)
    leaving: dict[IntentKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meant = {intent.key: intent for intent in self.plan.intents}

    def send(self, batch: Iterable[Intent]) -> None:
        """Judge each order with all the others pending, and send those that remain; what lowers risk leaves first."""
        reports = BatchReports(self.plan, self.broker.account(), self.broker.positions(), self.broker.assets())
        spent = ZERO
        for leaving in sending_order(list(batch)):
            now = circumstances(reports, self._pending(leaving), leaving, spent)
            if (found := refusal(leaving, now, self.execution.pretrade)) is not None:
                self._end(leaving, "denied", f"{found.check}: {found.reason}")
                continue
            answer = self.broker.submit(leaving)
            if isinstance(answer, Acked):
                self.acknowledged[leaving.key] = leaving
                spent += reserved(leaving, now.held(leaving.key.symbol), self.execution.pretrade)
            else:
                self._end(leaving, "refused", getattr(answer, "message", ""))

    def refresh(self) -> None:
        """Take over what became of the orders at the exchange."""
        for key, sent in self.acknowledged.items():
            if not self._is_over(key):
                order = self.broker.order(key.client_order_id)
                self.ended[key] = OrderRow(key.session, key.client_order_id, sent, str(order.status), order.filled_quantity)

    def follow(self) -> list[Intent]:
        """Orders for what the auction left, and those of the plan that waited: closings, then ready openings."""
        self.refresh()
        least = self.execution.submission.min_residual_usd
        expired = [row for row in self.ended.values() if row.state == OrderStatus.EXPIRED and row.filled < row.intent.quantity]
        following = [follow_up(row.intent, row.intent.quantity - row.filled, least) for row in expired]
        self.meant.update({intent.key: intent for intent in following if intent is not None})
        return [intent for intent in self.meant.values() if intent.time_in_force is TimeInForce.DAY]

    def may_leave(self, intent: Intent) -> bool:
        """Whether what the order waits for is filled; if not, it is denied."""
        filled = [(key, row.filled) for key, row in self.ended.items()]
        if intent.waits_for is None or is_filled(self.plan, filled, intent.waits_for):
            return True
        self._end(intent, "denied", "its closing half is not filled")
        return False

    def leaving_at(self, step: int) -> list[Intent]:
        """Orders of `step` that have not been sent, and new attempts of earlier ones."""
        unsent = (i for key, i in self.meant.items() if self._is_unsent(key))
        return [i for i in unsent if i.step == step or (0 < i.step < step and i.key.attempt > 0)]

    def live(self) -> list[Intent]:
        """Orders that the exchange has and may still fill, as last reported."""
        return [i for key, i in self.acknowledged.items() if not self._is_over(key)]

    def settle(self) -> None:
        """Ask until nothing is live, as often and as long as a device waits."""
        for wait in (0.0, *self.execution.submission.settle_seconds):
            if not self.live():
                break
            if wait:
                self.broker.advance(self.broker.now + timedelta(seconds=wait))
            self.refresh()

    def renew(self, step: int) -> None:
        """Cancel what left before `step` and works, and make new attempts of what that left unfilled."""
        self.refresh()
        stale = [i.key for i in self.live() if 0 < self.leaving.get(i.key, i.step) < step]
        self.wanted.update(stale)
        for key in stale:
            self.broker.cancel(key.client_order_id)
        self.settle()
        for key in sorted(self.wanted, key=lambda wanted: wanted.client_order_id):
            row = self.ended.get(key)
            if row is not None and row.state in RENEWED:
                self._attempt_again(row.intent, step)

    def _attempt_again(self, last: Intent, step: int) -> None:
        attempts = [i for key, i in self.meant.items() if key.symbol == last.key.symbol and key.attempt > 0]
        at_step = sum((i.quantity for i in attempts if self._is_unsent(i.key) or self.leaving.get(i.key) == step), ZERO)
        rest, entry = self._remainder(last), self.execution.entry
        shares = renewal(last, rest, room(self.plan, entry, last, step) - at_step, self.execution.submission.min_residual_usd)
        if shares is None or shares > 0:
            self.wanted.discard(last.key)
        if shares:
            following = last.next_attempt(shares, last.time_in_force)
            self.meant[following.key], self.leaving[following.key] = following, step
            if shares < rest:
                self.wanted.add(following.key)

    def _is_unsent(self, key: IntentKey) -> bool:
        return key not in self.acknowledged and key not in self.ended

    def _is_over(self, key: IntentKey) -> bool:
        row = self.ended.get(key)
        return row is not None and (row.state in NOT_SENT or OrderStatus(row.state).is_terminal)

    def _remainder(self, intent: Intent) -> Decimal:
        sent = ((key, made.quantity) for key, made in self.meant.items() if not self._is_unsent(key))
        return remainder(self.plan, intent, ((key, self.ended[key].filled if self._is_over(key) else shares) for key, shares in sent))

    def end(self) -> None:
        """Deny, once its window has closed, what of a rest was never attempted."""
        self.refresh()
        for key in sorted(self.wanted, key=lambda wanted: wanted.client_order_id):
            row = self.ended[key]
            rest = self._remainder(row.intent) - (ZERO if row.state in RENEWED else row.intent.quantity - row.filled)
            if rest * row.intent.reference_price >= self.execution.submission.min_residual_usd:
                following = row.intent.next_attempt(rest, row.intent.time_in_force)
                self._end(following, "denied", f"what step {row.intent.step} left unfilled: its window closed before it could be sent")

    def result(self) -> list[OrderRow]:
        """Every order as it ended, by key."""
        self.refresh()
        return [self.ended[key] for key in sorted(self.ended)]

    def _pending(self, leaving: Intent) -> list[Pending]:
        aside = {leaving.key, leaving.waits_for}
        others = [(key, intent) for key, intent in self.meant.items() if key not in aside and not self._is_over(key)]
        filled = {key: row.filled for key, row in self.ended.items()}
        return [Pending(key.symbol, intent.side.sign * (intent.quantity - filled.get(key, ZERO))) for key, intent in others]

    def _end(self, intent: Intent, state: str, reason: str) -> None:
        self.ended[intent.key] = OrderRow(intent.key.session, intent.key.client_order_id, intent, state, ZERO, reason)


def trade_at_open(desk: OrderBatch, broker: DirectBroker, sent_at: datetime, confirmed_at: datetime) -> None:
    """Send the auction's orders, then what is left to send once the market is open."""
    broker.advance(sent_at)
    desk.send(intent for intent in desk.plan.intents if intent.time_in_force is TimeInForce.OPG)
    broker.advance(confirmed_at)
    _closings_first(desk, desk.follow(), desk.refresh)


def trade_in_steps(desk: OrderBatch, broker: DirectBroker, day: Session, entry: EntryConfig) -> None:
    """Send each step of the plan at its instant."""
    calendar = Calendar("one session", (day,))
    for step, when in enumerate(entry.whens(), start=1):
        broker.advance(max(when.on(day.day, calendar), broker.now))
        desk.renew(step)
        _closings_first(desk, desk.leaving_at(step), desk.settle)


def _closings_first(desk: OrderBatch, leaving: list[Intent], wait: Callable[[], None]) -> None:
    closings = [intent for intent in leaving if intent.reduces]
    if closings:
        desk.send(closings)
        wait()
    openings = [intent for intent in leaving if not intent.reduces and desk.may_leave(intent)]
    if openings:
        desk.send(openings)
