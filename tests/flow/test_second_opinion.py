"""Nothing is sized on one word: a device beside an exchange whose market differs from what the device was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal

import duckdb
import numpy as np
import pytest

from appliance.schedule.timetable import TIMETABLE
from execution.exchange.api.exchange import Exchange
from execution.exchange.core.book import ExchangePosition
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.market.market import MarketData
from execution.exchange.protocol.faults import Fault, FaultKind
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from signals.market.dataset import load_actions, load_bars
from signals.schedule.job_windows import windows
from tests.fakes import exchange as fake
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
REVERSE = Decimal("0.1")
SKIPPED = 3
MORNING = ("pull", "score", "reconcile_morning", "plan")
PLANNED = "SELECT symbol FROM intents WHERE session = ? ORDER BY quantity * reference_price DESC"


@dataclass
class Desk:
    """A device, the exchange that it trades with, and the sessions that both know."""

    bench: Workbench
    served: Exchange
    store: Published

    def run(self, session: date, *jobs: str) -> None:
        """Let the day go on to each job in turn."""
        for row in windows(session, self.store.manifest.calendar, TIMETABLE):
            if row.job in jobs:
                self.served.advance(max(self.served.now, row.at))
                assert self.bench("tick").code in (0, SKIPPED)

    def held(self) -> dict[str, Decimal]:
        return {symbol: holding.quantity for symbol, holding in self.served.venue.book.holdings.items()}

    def plan(self, session: date) -> tuple[str, str]:
        query = "SELECT status, summary FROM job_runs WHERE job = 'plan' AND session = ?"
        (row,) = self.bench.rows(query, str(session))
        return row

    def tripped(self, session: date) -> dict[str, str]:
        return dict(self.bench.rows("SELECT name, value FROM tripwires WHERE session = ? AND tripped = 1", str(session)))

    def planned(self, session: date) -> list[str]:
        return [symbol for (symbol,) in self.bench.rows(PLANNED, str(session))]


def panel(store: Published) -> Bars:
    return load_bars(store.root / "data", store.manifest, store.manifest.first, store.manifest.last)


@contextmanager
def beside(make: Make, store: Published, name: str, market: MarketData) -> Iterator[Desk]:
    """An armed device at a served exchange on `market`, on the evening before the first session."""
    start = windows(store.sessions(1)[0], store.manifest.calendar, TIMETABLE)[0].at
    served = Exchange(market, ExchangeVirtualClock(start))
    with fake.serving(served) as url:
        bench = make(store, name, "--url", url)
        assert bench("arm", "--yes").code == 0
        yield Desk(bench, served, store)


def reverse_split(store: Published, splits: Mapping[str, date]) -> MarketData:
    """The market in which ten shares of each name become one on its day; the store's dataset knows nothing of it."""
    bars, calendar = panel(store), store.manifest.calendar
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    actions = list(load_actions(store.root / "data", store.manifest))
    for symbol, day in splits.items():
        for values in fields.values():
            values[bars.sessions >= np.datetime64(day), bars.symbols.index(symbol)] *= 10
        actions.append(Action(ActionKind.SPLIT, symbol, day, calendar.previous(day), ratio=REVERSE))
    return MarketData(replace(bars, **fields), calendar, actions, basis=store.manifest.basis)


@pytest.fixture(scope="module")
def honest(published: Published) -> MarketData:
    return MarketData.from_dataset(published.root / "data")


def test_an_evening_at_a_tenth_of_the_price_is_refused_before_an_order_is_planned(
    make: Make, published: Published, honest: MarketData
) -> None:
    """The store of the evening is forged after it was verified: a thousand shares would be ten thousand."""
    day = published.sessions(1)[0]
    asof = published.manifest.calendar.previous(day)
    with beside(make, published, "forged", honest) as desk:
        desk.run(day, "pull", "score")
        with duckdb.connect(str(desk.bench.state / "market.duckdb")) as store:
            before = store.execute("SELECT sum(close) FROM bars WHERE session = ?", [asof]).fetchone()
            store.execute("UPDATE bars SET close = close / 10 WHERE session = ?", [asof])
            after = store.execute("SELECT sum(close) FROM bars WHERE session = ?", [asof]).fetchone()
        assert before is not None and after is not None and after[0] == pytest.approx(before[0] / 10)
        desk.run(day, "reconcile_morning", "plan", "trade", "confirm")
        status, summary = desk.plan(day)
        assert status == "skipped" and summary.startswith("SECOND_OPINION: ")
        trips = desk.tripped(day)
        assert trips["SECOND_OPINION"] == trips["SECOND_OPINION_GROSS"] == "1"
        told = desk.bench.rows("SELECT body FROM alerts WHERE key = ?", f"opinion-{day}")
        assert "by the data and" in told[0][0] and "more" in told[0][0]
        assert desk.planned(day) == [] and desk.held() == {}


@pytest.mark.slow
def test_a_reverse_split_that_the_data_bring_a_day_late_costs_that_name_its_order_and_no_other(
    make: Make, published: Published, honest: MarketData
) -> None:
    """An order for n shares at the old price would have bought ten times its dollars; what is held stays as it is."""
    first, second = published.sessions(2)
    with beside(make, published, "undisturbed", honest) as desk:
        desk.run(first, *MORNING)
        wanted = desk.planned(first)
        assert desk.plan(first)[0] == "done" and not desk.bench.rows("SELECT 1 FROM alerts WHERE key LIKE 'opinion%'")
    unheld, held, *others = wanted
    market = reverse_split(published, {unheld: first, held: second})
    with beside(make, published, "late", market) as desk:
        desk.run(first, *MORNING, "trade", "confirm", "reconcile_close", "report")
        assert market.split_factor(unheld, first, desk.served.now) == 1  # of shares of the very day
        assert market.split_factor(unheld, published.manifest.calendar.previous(first), desk.served.now) == REVERSE
        assert desk.plan(first)[0] == "done"
        assert unheld not in desk.planned(first) and unheld not in desk.held()
        assert len(set(desk.planned(first)) & set(others)) > len(others) / 2
        said = desk.bench("plan", "--session", str(first), "--json").json["figures"]["left_out"]
        assert list(said) == [unheld] and "a split of 0.1" in said[unheld]
        assert f"| {unheld} | SECOND_OPINION |" in (desk.bench.state / "reports" / f"report_{first}.md").read_text()

        quantity = desk.held()[held]
        desk.run(second, *MORNING, "trade", "confirm")
        booked = desk.bench.rows("SELECT quantity FROM activities WHERE kind = 'SPLIT' AND symbol = ?", held)
        assert (str(-quantity),) in booked and desk.plan(second)[0] == "done"
        assert held not in desk.planned(second) and desk.planned(second)
        assert desk.held().get(held, Decimal(0)) == (quantity * REVERSE).to_integral_value("ROUND_DOWN")


RISE = 2.6


def test_the_broker_s_closes_end_the_wait_of_a_held_name_and_no_other_word_does(make: Make, published: Published) -> None:
    """Two holdings more than double by the data. The broker has the one and not the other: that one is sold, the other stays."""
    first, second = published.sessions(2)
    bars = panel(published)
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    market = MarketData(replace(bars, **fields), published.manifest.calendar, load_actions(published.root / "data", published.manifest))
    with beside(make, published, "extreme", market) as desk:
        desk.run(first, *MORNING, "trade", "confirm", "reconcile_close", "report")
        true, forged = sorted(desk.held())[:2]
        row, column = bars.index(first), bars.symbols.index(true)
        for values in fields.values():
            values.setflags(write=True)
            values[row + 1 :, column] *= RISE
        fields["close"][row, column] *= RISE
        fields["high"][row, column] *= RISE
        desk.run(second, "pull")
        with duckdb.connect(str(desk.bench.state / "market.duckdb")) as store:
            store.execute(
                "UPDATE bars SET close = close * ?, high = high * ?, total_return = (1 + total_return) * ? - 1, undecided = true,"
                " eligible = false WHERE session = ? AND symbol IN (?, ?)",
                [RISE, RISE, RISE, first, true, forged],
            )
        desk.run(second, "score", "reconcile_morning", "plan")
        assert desk.plan(second)[0] == "done"
        said = desk.bench("plan", "--session", str(second), "--json").json["figures"]["extreme_returns"]
        assert list(said["traded_again"]) == [true] and "by the data and by the broker's closes" in said["traded_again"][true]
        assert list(said["waiting"]) == [forged] and "by the data;" in said["waiting"][forged]
        assert true in desk.planned(second) and forged not in desk.planned(second)
        told = desk.bench.rows("SELECT body FROM alerts WHERE key = ?", f"extreme-{second}")
        assert f"{forged} waits: " in told[0][0] and f"{true} is traded again: " in told[0][0]


def more_cash(desk: Desk) -> None:
    desk.served.venue.book.pay(Decimal(400_000))


def shares_from_nowhere(desk: Desk) -> None:
    symbol = min(desk.served.venue.market.listed(desk.served.now))
    desk.served.venue.book.hold(ExchangePosition(symbol, Decimal(10), Decimal(50)))


@pytest.mark.parametrize(("jump", "rows"), [(more_cash, {"EQUITY_JUMP": "0.4"}), (shares_from_nowhere, {"POSITIONS_JUMP": "1"})])
def test_an_account_that_jumped_since_the_morning_s_reconcile_is_not_planned_for(
    make: Make, published: Published, honest: MarketData, jump: Callable[[Desk], None], rows: dict[str, str]
) -> None:
    """And while the broker's market data answer nothing, nothing is planned either: the job stays open."""
    day = published.sessions(1)[0]
    with beside(make, published, "jumped", honest) as desk:
        desk.run(day, "pull", "score")
        desk.served.advance(published.manifest.calendar.session(day).at(time(8)))
        assert desk.bench("reconcile", "--session", str(day)).code == 0
        desk.served.faults.arm([Fault(kind=FaultKind.STATUS, path="/v2/stocks/bars", status=403)])
        refused = desk.bench("plan", "--session", str(day))
        assert refused.code == 2 and "refused with 403" in refused.err and len(desk.served.faults.strikes) == 1
        jump(desk)
        assert desk.bench("plan", "--session", str(day)).code == SKIPPED
        assert desk.tripped(day) == rows and desk.planned(day) == []
