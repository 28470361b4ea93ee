"""Real values by hand: what is learned after a session's report is booked on its ex-date, and carried forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.jobs.report import restate
from appliance.ledger import Ledger, nav, snapshots
from appliance.ledger.nav import NavRow
from appliance.ledger.snapshots import Phase
from execution.brokers.base import Account, Position
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis
from tests.fakes.bundles import weekdays

CALENDAR = weekdays()
AT = datetime(2023, 3, 14, 21, 0, tzinfo=UTC)
FIRST, SECOND, THIRD, NOW = date(2023, 3, 13), date(2023, 3, 14), date(2023, 3, 15), date(2023, 3, 16)


@dataclass
class Store:
    """What the market store knows by now."""

    known: tuple[Action, ...] = ()
    basis: PriceBasis = PriceBasis.RAW
    lacks: tuple[date, ...] = ()
    is_empty: bool = False
    asked: list[date] = field(default_factory=list)

    def dataset(self) -> SimpleNamespace | None:
        return None if self.is_empty else SimpleNamespace(basis=self.basis)

    def audit(self, day: date) -> object:
        return None if day in self.lacks else SimpleNamespace()

    def dividends(self, first: date) -> dict[date, tuple[Action, ...]]:
        assert first == FIRST
        return {day: tuple(a for a in self.known if a.effective == day) for day in {a.effective for a in self.known}}


def dividend(symbol: str, day: date, cash: str) -> Action:
    return Action(ActionKind.DIVIDEND, symbol, day, day, cash=D(cash), inferred=True)


LATE = (dividend("AAA", FIRST, "0.25"), dividend("BBB", SECOND, "1.10"), dividend("CCC", SECOND, "9"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """100 AAA long and 40 BBB short before each open; paper gains 10 a day, 0.50 of costs a day outside it.

    The third session's report knew of its dividend: 100 AAA at 0.02, 2 USD.
    """
    found = Ledger(tmp_path / "ledger.db")
    account = Account(
        id="id",
        number="PA1",
        status="ACTIVE",
        cash=D(900),
        equity=D(1000),
        last_equity=D(1000),
        buying_power=D(1000),
        multiplier=D(2),
        is_blocked=False,
        shorting_enabled=True,
    )
    held = [Position("AAA", D(100), D(5), D(5)), Position("BBB", D(-40), D(7), D(7))]
    real = D(1000)
    for place, (day, paid) in enumerate(((FIRST, D(0)), (SECOND, D(0)), (THIRD, D(2)))):
        snapshots.save(found, day, Phase.OPEN, account, held, AT)
        real += D(10) + paid - D("0.50")
        paper = D(1000) + 10 * (place + 1)
        nav.save(found, NavRow(day, paper, real, D(0), D(0), D(0), AT, dividends=paid, fees=D("-0.50")))
    return found


def values(ledger: Ledger, store: Store) -> list[tuple[str, str, str]]:
    """Reported value, late dividends and restated value of each session, after restating by `store`."""
    restate(NOW, SimpleNamespace(ledger=ledger, calendar=CALENDAR, market=store))  # type: ignore[arg-type]
    return [(str(r.real_nav), str(r.late_dividends), str(r.restated_nav)) for r in nav.history(ledger, NOW, 9)]


REPORTED = [("1009.50", "0", "1009.50"), ("1019.00", "0", "1019.00"), ("1030.50", "0", "1030.50")]


def test_a_late_dividend_is_credited_to_the_long_and_debited_to_the_short_on_its_ex_date(ledger: Ledger) -> None:
    """100 x 0.25 = 25 on the first session, -40 x 1.10 = -44 on the second: +25, -19, -19. CCC is not held."""
    third = dividend("AAA", THIRD, "0.02")
    assert values(ledger, Store((*LATE, third))) == [
        ("1009.50", "25.00", "1034.50"),
        ("1019.00", "-44.00", "1000.00"),
        ("1030.50", "0.00", "1011.50"),
    ]


def test_a_late_dividend_belongs_to_what_was_held_before_that_open(ledger: Ledger) -> None:
    """Before the second open the 100 AAA were 300: its late dividend of 0.10 is 30 USD."""
    before = snapshots.find(ledger, SECOND, Phase.OPEN)
    assert before is not None
    account = Account(
        id="id",
        number="PA1",
        status="ACTIVE",
        cash=before.cash,
        equity=before.equity,
        last_equity=before.last_equity,
        buying_power=before.buying_power,
        multiplier=before.multiplier,
        is_blocked=False,
        shorting_enabled=True,
    )
    snapshots.save(ledger, SECOND, Phase.OPEN, account, [Position("AAA", D(300), D(5), D(5))], AT.replace(hour=22))
    found = values(ledger, Store((dividend("AAA", SECOND, "0.10"), dividend("AAA", THIRD, "0.02"))))
    assert [late for _, late, _ in found] == ["0", "30.00", "0.00"]


def test_restating_twice_changes_nothing_and_a_withdrawn_dividend_leaves_again(ledger: Ledger) -> None:
    third = dividend("AAA", THIRD, "0.02")
    once = values(ledger, Store((*LATE, third)))
    assert values(ledger, Store((*LATE, third))) == once
    back = values(ledger, Store((third,)))
    assert [(reported, restated) for reported, _, restated in back] == [(r, s) for r, _, s in REPORTED]


def test_the_next_report_goes_on_from_the_restated_value(ledger: Ledger) -> None:
    """A fourth session reported on top of 1011.50 keeps its own restatement at nothing, whatever came before it."""
    third = dividend("AAA", THIRD, "0.02")
    values(ledger, Store((*LATE, third)))
    nav.save(ledger, NavRow(NOW, D(1040), D("1021.50"), D(0), D(0), D(0), AT))
    restate(date(2023, 3, 17), SimpleNamespace(ledger=ledger, calendar=CALENDAR, market=Store((*LATE, third))))  # type: ignore[arg-type]
    fourth = nav.find(ledger, NOW)
    assert fourth is not None and (fourth.restatement, fourth.restated_nav) == (0, D("1021.50"))


def test_a_store_that_knows_nothing_of_a_session_takes_no_dividend_away(ledger: Ledger) -> None:
    """An empty store, or one rebuilt from a later session on, leaves what was reported and restated as it is."""
    assert values(ledger, Store(is_empty=True)) == REPORTED
    third = dividend("AAA", THIRD, "0.02")
    whole = values(ledger, Store((*LATE, third)))
    assert values(ledger, Store((third,), lacks=(FIRST, SECOND))) == whole
    assert values(ledger, Store(lacks=(FIRST, SECOND, THIRD))) == whole


def test_total_return_prices_hold_their_dividends_already(ledger: Ledger) -> None:
    """Nothing is credited; what the third report had credited on another basis is taken back."""
    assert values(ledger, Store(LATE, basis=PriceBasis.TOTAL_RETURN)) == [*REPORTED[:2], ("1030.50", "-2", "1028.50")]
