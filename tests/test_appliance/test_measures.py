"""How the tripwires' figures are measured, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.controls.measures import (
    coverage,
    invalid_scores,
    loss,
    planned_book,
    red_datasets,
    rejected_share,
    stale_sessions,
    turnover,
    turnover_jump,
)
from appliance.controls.tripwires import NOT_YET
from appliance.jobs.plan import _whole_turnover
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.ledger.snapshots import AccountSnapshot, Phase
from appliance.safety.tripwire_figures import account_faults, figures_of, held_gross
from execution.brokers.base import Account, Position
from execution.orders import Intent, IntentKey, OrderType, Plan, Provenance, Side, TimeInForce
from portfolio.policy.sizing import Sizing
from signals.market.sessions import SessionAudit, SessionStatus
from tests.fakes.bundles import weekdays

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
CALENDAR = weekdays()
NOW = datetime(2024, 3, 12, 13, tzinfo=UTC)


def audit(status: SessionStatus) -> SessionAudit:
    return SessionAudit(ASOF, status, (), 10, 10, 10, 0)


@pytest.mark.parametrize(
    ("audits", "strict", "count"),
    [
        ([audit(SessionStatus.GREEN)], False, 0.0),
        ([audit(SessionStatus.AMBER)], False, 0.0),
        ([audit(SessionStatus.AMBER)], True, 1.0),
        ([audit(SessionStatus.RED)], False, 1.0),
        ([None], False, 1.0),
        ([None, audit(SessionStatus.RED), audit(SessionStatus.GREEN)], False, 2.0),
    ],
)
def test_a_dataset_counts_as_red_when_it_is_or_when_nobody_vouches_for_it(
    audits: list[SessionAudit | None], strict: bool, count: float
) -> None:
    assert red_datasets(audits, require_green=strict) == count


def test_staleness_is_counted_in_sessions_over_the_weekend() -> None:
    assert stale_sessions(date(2024, 3, 8), ASOF, CALENDAR) == 1.0
    assert stale_sessions(ASOF, ASOF, CALENDAR) == 0.0
    assert stale_sessions(None, ASOF, CALENDAR) is None


def test_coverage_is_scored_over_expected_and_missing_without_any() -> None:
    assert coverage(19, 20) == 0.95
    assert coverage(0, 0) is None


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.0),
        ([1.0, 1.0, 2.0, 3.0], 0.5),
        ([2.0, 2.0, 2.0], 1.0),
        ([1.0, float("nan")], 1.0),
        ([1.0, float("inf")], 1.0),
    ],
)
def test_scores_that_tie_are_constant_or_not_finite_are_invalid(values: list[float], share: float) -> None:
    assert invalid_scores(np.array(values)) == share


def test_no_scores_at_all_are_a_missing_figure() -> None:
    assert invalid_scores(np.empty(0)) is None


def test_turnover_is_half_of_what_moves() -> None:
    assert turnover(np.array([0.10, -0.10, 0.0]), np.array([0.0, 0.0, 0.20])) == pytest.approx(0.20)


def test_a_jump_needs_twenty_plans_and_a_median() -> None:
    assert turnover_jump(0.3, [0.1] * 19) is NOT_YET is turnover_jump(None, [0.1] * 20)
    assert turnover_jump(0.3, [0.1] * 20) == pytest.approx(3.0)
    assert turnover_jump(0.3, [9.0, *[0.1] * 20]) == pytest.approx(3.0)
    assert turnover_jump(0.3, [0.0] * 20) is NOT_YET


def test_under_a_sizing_policy_the_whole_book_is_compared_with_that_of_five_plans_ago_whatever_the_multiplier() -> None:
    """From 0.2 of A to 0.1 of it and -0.1 of B is a turnover of 0.1, on a ramp of a half 0.05; a book without one before has none."""
    before = ({"A": 0.2}, {"A": 0.9})
    for multiplier in (0.0, 0.25, 1.0):
        targets = SimpleNamespace(whole={"A": 0.1, "B": -0.1}, multiplier=multiplier)
        book: Any = SimpleNamespace(decided=SimpleNamespace(targets=targets), sizing=Sizing(multiplier, books=before))
        assert _whole_turnover(book, 0.5) == pytest.approx(0.05)
    for book.sizing in (None, Sizing()):
        assert _whole_turnover(book, 0.5) is None


def test_a_loss_is_a_positive_fraction_below_its_reference() -> None:
    assert loss(97.0, 100.0) == pytest.approx(0.03)
    assert loss(103.0, 100.0) == 0.0
    assert loss(97.0, None) is NOT_YET
    assert loss(97.0, 0.0) is None


def test_a_reject_rate_needs_five_sent_orders() -> None:
    assert rejected_share(4, 4) is NOT_YET
    assert rejected_share(1, 5) == 0.2


def intent(symbol: str, side: Side, quantity: int, price: str = "10") -> Intent:
    return Intent(IntentKey("ACC", D, "main", symbol), side, Decimal(quantity), OrderType.MARKET, TimeInForce.OPG, Decimal(price))


def test_a_planned_book_is_what_is_held_plus_every_order() -> None:
    """100 A at 10 held, 50 sold; 20 B at 20 shorted: 500 long, 400 short on 10,000 USD."""
    orders = [intent("A", Side.SELL, 50), intent("B", Side.SELL, 20, "20")]
    book = planned_book(orders, {"A": Decimal(100)}, {"A": Decimal(10)}, Decimal(10_000))
    assert book == (pytest.approx(0.09), pytest.approx(0.01), pytest.approx(0.05))


def test_an_empty_book_is_measured_as_nothing_and_not_as_missing() -> None:
    book = planned_book([], {}, {}, Decimal(10_000))
    assert book == (0.0, 0.0, 0.0) and all(isinstance(figure, float) for figure in book)


def test_a_holding_without_a_price_leaves_the_book_unmeasured() -> None:
    assert planned_book([], {"A": Decimal(1)}, {}, Decimal(10_000)) == (None, None, None)
    assert planned_book([], {}, {}, Decimal(0)) == (None, None, None)


def test_gross_held_is_missing_when_a_price_is() -> None:
    long = Position("A", Decimal(100), Decimal(9), Decimal(10))
    short = Position("B", Decimal(-50), Decimal(21), Decimal(20))
    assert held_gross([long, short], Decimal(10_000)) == pytest.approx(0.2)
    assert held_gross([replace(long, current_price=None)], Decimal(10_000)) is None
    assert held_gross([], Decimal(0)) is None


ACCOUNT = Account("id", "ACC", "ACTIVE", Decimal(100), Decimal(100), Decimal(100), Decimal(200), Decimal(2), False, True)
HUNDRED = Decimal(100)
FIRST = AccountSnapshot(ASOF, Phase.CLOSE, NOW, "ACC", "id", "ACTIVE", HUNDRED, HUNDRED, HUNDRED, Decimal(200), Decimal(2), ())


@pytest.mark.parametrize(
    ("account", "faults"),
    [
        (ACCOUNT, 0.0),
        (replace(ACCOUNT, status="SUBMITTED"), 1.0),
        (replace(ACCOUNT, is_blocked=True), 1.0),
        (replace(ACCOUNT, id="another"), 1.0),
        (replace(ACCOUNT, multiplier=Decimal(4)), 1.0),
        (replace(ACCOUNT, id="another", is_blocked=True), 2.0),
    ],
)
def test_an_account_is_active_unblocked_and_the_one_it_was(account: Account, faults: float) -> None:
    assert account_faults(account, FIRST) == faults


def entry(of: Intent, state: IntentState = IntentState.FILLED, posts: int = 1, filled: int | None = None) -> JournalEntry:
    quantity = of.quantity if filled is None else Decimal(filled)
    return JournalEntry(of, state, "order", posts, quantity, "", None, None, NOW)


def plan_of(*intents: Intent) -> Plan:
    source = Provenance("b", "s", "c", "v")
    return Plan(D, ASOF, "ACC", Decimal(10_000), tuple(sorted(intents, key=lambda i: i.key)), source)


def test_a_day_that_is_its_plan_has_no_excess() -> None:
    planned = intent("A", Side.BUY, 10)
    found = figures_of(plan_of(planned), [entry(planned)])
    assert (found.excess_orders, found.excess_plan, found.duplicates, found.resends, found.unknown_orders) == (0,) * 5


def test_what_the_plan_did_not_ask_for_is_an_excess() -> None:
    planned, stranger = intent("A", Side.BUY, 10), intent("B", Side.BUY, 1)
    assert figures_of(plan_of(planned), [entry(planned), entry(stranger)]).excess_orders == 1.0
    assert figures_of(None, [entry(stranger)]).excess_orders == 1.0
    larger = replace(planned, quantity=Decimal(11))
    turned = replace(planned, side=Side.SELL)
    assert figures_of(plan_of(planned), [entry(larger, filled=0)]).excess_plan == 1.0
    assert figures_of(plan_of(planned), [entry(turned, filled=0)]).excess_plan == 1.0


def test_two_attempts_that_fill_more_than_planned_are_an_excess() -> None:
    planned = intent("A", Side.BUY, 10)
    again = planned.next_attempt(Decimal(6), TimeInForce.DAY)
    first = entry(planned, IntentState.EXPIRED, filled=4)
    assert figures_of(plan_of(planned), [first, entry(again)]).excess_plan == 0.0
    more = entry(planned, IntentState.EXPIRED, filled=5)
    assert figures_of(plan_of(planned), [more, entry(again)]).excess_plan == 1.0


def test_resends_duplicates_refusals_and_doubts_are_counted() -> None:
    names = [intent(name, Side.BUY, 10) for name in "ABCDE"]
    journal = [
        entry(names[0], posts=2),
        entry(names[1], IntentState.REFUSED, filled=0),
        entry(names[2], IntentState.UNKNOWN, filled=0),
        entry(names[3], IntentState.WORKING, filled=0),
        entry(names[3].next_attempt(Decimal(10), TimeInForce.DAY), IntentState.WORKING, filled=0),
        entry(names[4], IntentState.PLANNED, posts=0, filled=0),
    ]
    found = figures_of(plan_of(*names), journal)
    assert (found.resends, found.duplicates, found.rejected, found.unknown_orders) == (1.0, 1.0, 0.2, 1.0)
