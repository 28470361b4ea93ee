"""Planted bugs: each must be caught by the rehearsed sessions, or the rehearsals prove nothing.

A bug is caught when, with it in place, a scripted session does not end as it must, a seeded one breaks a rule, or the
device's own guards stop the program. The same sessions pass without it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from appliance.controls.latch import Latch
from appliance.jobs import confirm as confirm_job
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import activities, intents, plans
from appliance.ledger.intents import MOVES, IntentState, JournalEntry
from appliance.orders import batch, reconciliation, recovery, resolution, submission, unfilled_orders
from appliance.orders.order_path import OrderPath
from execution.brokers.base import Refused, Unknown
from execution.orders import IntentKey
from signals.errors import BrokerUnreachable
from tests.fakes.broker import CrashingLedger, FakeBroker, Fault
from tests.fakes.rehearsal import D, Rehearsal, at, broken_rules, calm, rehearse

SEEDS = 60
S = IntentState
Patch = pytest.MonkeyPatch


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def whole_day(life: Rehearsal, share: Callable[[str], Decimal] = lambda symbol: Decimal(1)) -> None:
    life.run(reconcile, [], at("09:00"))
    life.to("09:10")
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: share(order.symbol))
    life.to("09:45")
    life.run(confirm, [], at("15:45"))
    life.to("16:00")
    life.broker.close()
    life.to("16:20")
    life.run(reconcile, [], at("23:00"))
    life.run(reconcile, [], at("23:00"))  # once more: agreeing again changes nothing


def unexpected(life: Rehearsal) -> list[str]:
    """Faults after a scripted session that a sound device ends armed, with every planned share filled."""
    found = broken_rules(life)
    if not life.latch.read().is_armed:
        found.append(f"halted: {life.latch.read().reason}")
    deps = life.open()
    planned = sum((i.quantity for i in plans.require(deps.ledger, D).intents), Decimal(0))
    filled = sum((e.filled_quantity for e in intents.of_session(deps.ledger, D)), Decimal(0))
    deps.close()
    return found + ([] if filled == planned else [f"{filled} of {planned} shares filled"])


def lost_message(fault: Fault, lag: float = 0.0) -> list[str]:
    with folder() as root:
        life = calm(root)
        life.broker.is_unique, life.broker.lag = False, lag
        life.broker.fault = lambda number: fault if number == 1 else Fault.NONE
        whole_day(life)
        return unexpected(life)


def short_outage() -> list[str]:
    """For three minutes of the evening the positions report does not arrive."""
    with folder() as root:
        life = calm(root)
        real = life.broker.positions

        def positions() -> Any:
            if at("16:20") <= life.clock.now() < at("16:23"):
                raise BrokerUnreachable("the broker does not answer")
            return real()

        life.broker.positions = positions  # type: ignore[method-assign]
        whole_day(life)
        return unexpected(life)


def too_late() -> list[str]:
    with folder() as root:
        life = calm(root)
        life.to("09:28")
        life.run(trade, [], at("09:29"))
        return ["an order left too late"] if life.broker.posts else []


def halted_in_between() -> list[str]:
    with folder() as root:
        life = calm(root)
        life.latch.halt("MANUAL", "test", life.clock.now())
        life.posts_at_halt = 0
        whole_day(life)
        return broken_rules(life)


def half_filled() -> list[str]:
    """Half of every auction order expires; the rests are filled later, but A's never is."""
    with folder() as root:
        life = calm(root)
        life.broker.day_fill = lambda intent: Decimal(0) if intent.key.symbol == "A" else intent.quantity
        whole_day(life, lambda symbol: Decimal("0.5"))
        return broken_rules(life)


def vanished_position() -> list[str]:
    """What is to be closed is gone before the order leaves: closing it would open a position."""
    with folder() as root:
        life = calm(root)
        life.to("09:10")
        life.broker.held["C"] = Decimal(0)
        life.run(trade, [], at("09:26"))
        sent = [intent.key.symbol for _, intent in life.broker.posts]
        return ["an order closes what is not there"] if "C" in sent else []


def scripted() -> list[str]:
    for fault, lag in itertools.product((Fault.DROP_AFTER, Fault.DROP_BEFORE, Fault.CRASH_AFTER), (0.0, 20.0)):
        if found := lost_message(fault, lag):
            return found
    for scenario in (short_outage, too_late, halted_in_between, half_filled, vanished_position):
        if found := scenario():
            return [f"{scenario.__name__}: {found[0]}"]
    return []


def seeded() -> list[str]:
    for seed in range(SEEDS):
        with folder() as root:
            if found := broken_rules(rehearse(root, seed)):
                return [f"seed {seed}: {found[0]}"]
    return []


# -- the bugs -----------------------------------------------------------


def retry_a_post(patch: Patch) -> None:
    real = FakeBroker.submit

    def submit(self: FakeBroker, intent: Any) -> Any:
        outcome = real(self, intent)
        return real(self, intent) if isinstance(outcome, Unknown) else outcome

    patch.setattr(FakeBroker, "submit", submit)


def treat_unknown_as_refused(patch: Patch) -> None:
    real = FakeBroker.submit

    def submit(self: FakeBroker, intent: Any) -> Any:
        outcome = real(self, intent)
        return Refused(504, 0, "error") if isinstance(outcome, Unknown) else outcome

    patch.setattr(FakeBroker, "submit", submit)


def post_before_the_journal(patch: Patch) -> None:
    real = submission._post

    def post(path: OrderPath, entry: JournalEntry) -> JournalEntry:
        outcome = path.broker.submit(entry.intent)

        class Answered:
            def submit(self, intent: object) -> object:
                return outcome

        return real(replace(path, broker=Answered()), entry)  # type: ignore[arg-type]

    patch.setattr(submission, "_post", post)


def random_client_ids(patch: Patch) -> None:
    numbers = itertools.count()
    patch.setattr(IntentKey, "client_order_id", property(lambda self: f"tm1-random-{next(numbers)}"))


def one_look_up_is_enough(patch: Patch) -> None:
    patch.setattr(resolution, "_listed", lambda path, entry: None)
    patch.setattr(resolution, "_looked_up", lambda path, cid: path.broker.order(cid))


def a_silent_look_up_means_absent(patch: Patch) -> None:
    def seek(path: OrderPath, entry: JournalEntry) -> None:
        return None

    patch.setattr(resolution, "find_at_broker", seek)


def a_crash_means_it_was_never_sent(patch: Patch) -> None:
    patch.setitem(MOVES, S.SENDING, MOVES[S.SENDING] | {S.JOURNALED})
    real = recovery._recovered

    def recovered(path: OrderPath, entry: JournalEntry) -> JournalEntry:
        if entry.state is S.SENDING:
            return intents.move(path.ledger, entry.client_order_id, S.JOURNALED, path.clock.now())
        return real(path, entry)

    patch.setattr(recovery, "_recovered", recovered)


def read_an_error_as_flat(patch: Patch) -> None:
    real = reconciliation.fetch

    def fetch(path: OrderPath, since: Any) -> Any:
        class Flat:
            def __getattr__(self, name: str) -> Any:
                def ask(*arguments: Any, **options: Any) -> Any:
                    try:
                        return getattr(path.broker, name)(*arguments, **options)
                    except BrokerUnreachable:
                        return ()

                return ask

        return real(replace(path, broker=Flat()), since)  # type: ignore[arg-type]

    patch.setattr(reconciliation, "fetch", fetch)


def ignore_the_latch(patch: Patch) -> None:
    patch.setattr(Latch, "require_armed", lambda self: None)


def ignore_the_window(patch: Patch) -> None:
    patch.setattr(submission, "is_open", lambda path, intent: True)
    patch.setattr(recovery, "is_past", lambda path, intent: False)


def follow_up_with_the_whole_order(patch: Patch) -> None:
    patch.setattr(JournalEntry, "residual", property(lambda self: self.intent.quantity))
    patch.setattr(submission, "conserve", lambda plan, entries, intent: None)


def open_before_the_close_is_filled(patch: Patch) -> None:
    patch.setattr(batch, "_may_follow", lambda path, plan, entry: True)


def book_activities_again(patch: Patch) -> None:
    patch.setattr(activities, "booked_ids", lambda ledger, first: frozenset())


def forget_the_last_commit(patch: Patch) -> None:
    """A commit that is not on disk: the step to SENDING is undone by the next crash."""
    real = intents.move

    def move(ledger: Any, client_order_id: str, to: IntentState, *arguments: Any, **options: Any) -> JournalEntry:
        entry = intents.require(ledger, client_order_id)
        if to is S.SENDING:
            return replace(entry, state=S.SENDING, posts=entry.posts + 1)
        if to is S.ACKED and entry.state is S.JOURNALED:
            real(ledger, client_order_id, S.SENDING, *arguments[:1])
        return real(ledger, client_order_id, to, *arguments, **options)

    patch.setattr(intents, "move", move)


def skip_the_checks(patch: Patch) -> None:
    patch.setattr(submission, "refusal", lambda intent, now, config: None)


def adopt_whatever_is_found(patch: Patch) -> None:
    """Take any order of the list for ours."""

    def seek(path: OrderPath, entry: JournalEntry) -> Any:
        listed = path.broker.orders(open_only=False)
        return listed[0] if listed else None

    patch.setattr(resolution, "find_at_broker", seek)


def use_up_buying_power_that_is_there(patch: Patch) -> None:
    patch.setattr(batch, "reserved", lambda intent, held, config: Decimal(10**9))


def follow_up_what_was_filled(patch: Patch) -> None:
    real = unfilled_orders.add_follow_ups

    def add(path: OrderPath, session: Any) -> Any:
        for entry in intents.of_session(path.ledger, session):
            again = entry.intent.next_attempt(entry.intent.quantity, confirm_job.TimeInForce.DAY)
            if entry.state is S.FILLED and intents.find(path.ledger, again.key.client_order_id) is None:
                intents.add(path.ledger, again, path.clock.now())
        return real(path, session)

    patch.setattr(confirm_job, "add_follow_ups", add)
    patch.setattr(submission, "conserve", lambda plan, entries, intent: None)


BUGS = (
    retry_a_post,
    treat_unknown_as_refused,
    post_before_the_journal,
    random_client_ids,
    one_look_up_is_enough,
    a_silent_look_up_means_absent,
    a_crash_means_it_was_never_sent,
    read_an_error_as_flat,
    ignore_the_latch,
    ignore_the_window,
    follow_up_with_the_whole_order,
    open_before_the_close_is_filled,
    book_activities_again,
    forget_the_last_commit,
    skip_the_checks,
    adopt_whatever_is_found,
    follow_up_what_was_filled,
    use_up_buying_power_that_is_there,
)


def test_without_a_bug_every_scripted_session_ends_as_it_must() -> None:
    assert scripted() == []
    assert CrashingLedger.crash_at is None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)
    try:
        found = scripted() or seeded()
    except Exception as error:  # noqa: BLE001 - a program that stops itself has caught the bug, whatever it raises
        found = [f"{type(error).__name__}: {error}"]
    assert found, "nothing noticed the bug"
