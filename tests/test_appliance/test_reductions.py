"""A REDUCE for losses stands until a person ends it, whatever the figure does afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.context import Deps
from appliance.controls.tripwires import NOT_YET, Stage, TripwireFigures
from appliance.ledger import Ledger, halts, nav
from appliance.safety import reductions
from appliance.safety.enforce import asks_to_reduce, enforce
from appliance.safety.reductions import LASTING, in_force
from appliance.safety.tripwire_figures import account_figures
from appliance.system.clock import VirtualClock
from appliance.system.ports import Severity
from signals.errors import TripwireHalt
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D, NEXT = date(2024, 3, 12), date(2024, 3, 13)
QUIET = TripwireFigures(
    held_gross=0.9, daily_loss=0.0, drawdown=0.0, account_faults=0.0, recon_breaks=0.0, slippage=NOT_YET, slippage_sessions=NOT_YET
)


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[Deps]:
    clock = VirtualClock(CALENDAR.session(D).at(time(8)))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, MemoryFs(), ledger, Inbox())


def account(deps: Deps, day: date, figures: TripwireFigures) -> bool:
    return asks_to_reduce(enforce(deps, day, Stage.ACCOUNT, figures))


def test_only_losses_last() -> None:
    assert frozenset({"DAILY_LOSS", "DRAWDOWN"}) == LASTING


@pytest.mark.parametrize(("field", "name"), [("daily_loss", "DAILY_LOSS"), ("drawdown", "DRAWDOWN")])
def test_it_stands_after_the_figure_has_recovered_and_over_a_restart(deps: Deps, field: str, name: str) -> None:
    limit = {"daily_loss": 0.03, "drawdown": 0.10}[field]
    assert not account(deps, D, replace(QUIET, **{field: limit}))
    assert in_force(deps.ledger) == ()
    assert account(deps, D, replace(QUIET, **{field: limit + 1e-9}))
    assert not account(deps, NEXT, QUIET)
    with Ledger(deps.ledger.path) as reopened:
        (row,) = in_force(reopened)
    assert (row.name, row.threshold, row.details["session"]) == (name, f"{limit:g}", str(D))
    assert f"--halt-id {row.id}" in reductions.sentence(row)


def test_a_missing_figure_reduces_too_but_halts_first(deps: Deps) -> None:
    """The same figure stands in a row that halts: missing means HALT, and the REDUCE is not needed."""
    with pytest.raises(TripwireHalt):
        account(deps, D, replace(QUIET, daily_loss=None))
    assert in_force(deps.ledger) == ()


def test_it_is_recorded_and_paged_once(deps: Deps) -> None:
    for day in (D, NEXT):
        account(deps, day, replace(QUIET, daily_loss=0.04))
    assert len(in_force(deps.ledger)) == 1
    inbox = deps.notifier
    assert isinstance(inbox, Inbox)
    assert [a.title for a in inbox.alerts if a.severity is Severity.PAGE] == ["REDUCE by DAILY_LOSS"]


def test_a_person_ends_it_and_the_next_trip_is_a_new_one(deps: Deps) -> None:
    account(deps, D, replace(QUIET, drawdown=0.11))
    first = in_force(deps.ledger)[0]
    halts.rearm(deps.ledger, first.id, deps.clock.now(), "ann", "looked at it")
    assert in_force(deps.ledger) == () and halts.last_cleared(deps.ledger, "reduce") == deps.clock.now()
    deps.clock.sleep(60)
    account(deps, NEXT, replace(QUIET, drawdown=0.12))
    assert [row.id != first.id for row in in_force(deps.ledger)] == [True]


def test_the_height_is_counted_anew_from_where_a_person_ended_a_reduction(deps: Deps) -> None:
    """Equity 880 after a height of 1000: a drawdown of 12 %; ended there, it begins at nothing."""
    broker = deps.broker
    assert isinstance(broker, FakeBroker)
    deps.latch.arm(by="me", at=CALENDAR.session(CALENDAR.days[0]).open)
    for day, value in ((date(2024, 3, 8), "1000"), (date(2024, 3, 11), "880")):
        zero = Decimal(0)
        row = nav.NavRow(day, Decimal(value), Decimal(value), zero, zero, zero, CALENDAR.session(day).close)
        nav.save(deps.ledger, row)
    broker.cash = Decimal(880)
    assert account_figures(deps, D, broker.account(), ()).drawdown == pytest.approx(0.12)
    account(deps, D, replace(QUIET, drawdown=0.12))
    halts.rearm(deps.ledger, in_force(deps.ledger)[0].id, deps.clock.now(), "ann", "looked at it")
    assert account_figures(deps, D, broker.account(), ()).drawdown is NOT_YET
