"""Closed trades, the blotter over sessions, one symbol's history and the distribution of scores, against sums by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.ledger import AccessMode, Ledger, fills, job_runs, snapshots
from appliance.ledger.fills import BookedFill
from appliance.tui.demo import build
from appliance.views import blotter, signal_table
from appliance.views.closed_trades import RESTATED, closed_trades
from appliance.views.symbol_history import search, symbol_history
from execution.brokers.base import Account, Position
from execution.orders import Fill, Side

DAYS = [date(2026, 3, day) for day in (9, 10, 11, 12)]
D = DAYS[-1]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.sqlite")
    for day in DAYS:
        job_runs.begin(made, day, "report", at(day))
    return made


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("demo"), seed=7, sessions=12).folder


def at(day: date, hour: int = 14) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def fill(ledger: Ledger, day: date, symbol: str, quantity: int, price: str) -> None:
    count = int(str(ledger.value("SELECT count(*) FROM fills")))
    side = Side.BUY if quantity > 0 else Side.SELL
    one = Fill(f"f{count}", f"o{count}", symbol, side, Decimal(abs(quantity)), Decimal(price), at(day) + timedelta(seconds=count))
    fills.add(ledger, [BookedFill(one, day, f"c{count}")])


def agree(ledger: Ledger, day: date, *held: Position, phase: snapshots.Phase = snapshots.Phase.CLOSE) -> None:
    account = Account("id", "A1", "ACTIVE", Decimal(0), Decimal(1000), Decimal(1000), Decimal(0), Decimal(2), False, True)
    snapshots.save(ledger, day, phase, account, held, at(day, 20))


def told(ledger: Ledger) -> list[tuple[object, ...]]:
    """Symbol, side, opened, closed, sessions, realised and note, the newest first."""
    rows = closed_trades(ledger, D, 60).rows
    return [tuple(row[key] for key in ("symbol", "side", "opened", "closed", "sessions", "realised", "note")) for row in rows]


def test_a_trade_realises_its_average_cost_by_hand(ledger: Ledger) -> None:
    """10 at 10 and 10 at 12 cost 11 each: selling 5 at 13 and 15 at 10 realises 5 x 2 - 15 x 1 = -5."""
    for day, quantity, price in ((DAYS[0], 10, "10"), (DAYS[1], 10, "12"), (DAYS[2], -5, "13"), (DAYS[3], -15, "10")):
        fill(ledger, day, "AAA", quantity, price)
    assert told(ledger) == [("AAA", "LONG", "2026-03-09", "2026-03-12", 3, "-5.00", "")]


def test_a_fill_across_zero_ends_one_trade_and_begins_another(ledger: Ledger) -> None:
    """10 bought at 10; 15 sold at 12 realise +20 and leave 5 short at 12; 5 bought at 11 realise +5."""
    for day, quantity, price in ((DAYS[0], 10, "10"), (DAYS[1], -15, "12"), (DAYS[2], 5, "11")):
        fill(ledger, day, "AAA", quantity, price)
    assert [(row[1], row[5]) for row in told(ledger)] == [("SHORT", "+5.00"), ("LONG", "+20.00")]
    facts = closed_trades(ledger, D, 60).facts
    assert (facts["trades"], facts["won"], facts["hit_rate"], facts["realised_usd"]) == (2, 2, 1.0, "+25.00")


def test_a_holding_from_before_and_a_split_take_the_brokers_average_price(ledger: Ledger) -> None:
    """10 BBB at 100 were held before; a split makes them 20 at 50, which are sold at 60: +200."""
    agree(ledger, DAYS[0], Position("BBB", Decimal(10), Decimal(100), Decimal(110)), phase=snapshots.Phase.OPEN)
    fill(ledger, DAYS[0], "AAA", 1, "5")
    agree(ledger, DAYS[1], Position("BBB", Decimal(20), Decimal(50), Decimal(55)), Position("AAA", Decimal(1), Decimal(5), Decimal(5)))
    fill(ledger, DAYS[2], "BBB", -20, "60")
    assert told(ledger) == [("BBB", "LONG", "2026-03-09", "2026-03-11", 2, "+200.00", RESTATED)]


def test_what_is_still_held_is_no_closed_trade(ledger: Ledger) -> None:
    fill(ledger, DAYS[0], "AAA", 10, "10")
    fill(ledger, DAYS[1], "AAA", -4, "12")
    assert told(ledger) == [] and closed_trades(ledger, D, 60).facts["hit_rate"] is None


def test_the_blotter_over_sessions_holds_each_sessions_orders_and_sums_what_is_found(device: Path) -> None:
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        whole = blotter.history(ledger, D, 5)
        days = sorted({row["session"] for row in whole.rows})
        each = [blotter.blotter(ledger, date.fromisoformat(day)).rows for day in days]
        assert len(days) == 5 and len(whole.rows) == sum(map(len, each))
        buys = blotter.history(ledger, D, 5, " BUY ")
        bought = sum((Decimal(row["filled"]) * Decimal(row["price"]) for row in buys.rows if row["price"]), Decimal(0))
        assert {row["side"] for row in buys.rows} == {"buy"} and buys.facts["sold_usd"] == "0.00"
        assert float(buys.facts["bought_usd"]) == pytest.approx(float(bought), rel=1e-5) and bought > 0
        filled = next(row for row in whole.rows if row["price"])
        assert filled["filled_at"].startswith(filled["session"])
        assert blotter.history(ledger, D, 5, "no such thing").rows == ()


def test_a_symbols_history_joins_what_the_ledger_has_of_it(device: Path) -> None:
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        symbol = str(ledger.value("SELECT symbol FROM fills ORDER BY session DESC, symbol LIMIT 1"))
        found = symbol_history(ledger, symbol, D, 12)
        assert len(found.rows) == 12 and len(found.facts["scores"]) == ledger.value(
            "SELECT count(*) FROM scores WHERE symbol = ? AND asof >= ? AND sleeve = 'equities_xs'", (symbol, found.rows[-1]["session"])
        )
        assert [row["session"] for row in found.facts["fills"]] == ledger.read(
            str, "SELECT session FROM fills WHERE symbol = ? ORDER BY at", (symbol,)
        )
        before = max(row["asof"] for row in found.facts["scores"] if row["asof"] < found.rows[0]["session"])
        assert found.rows[0]["z"] == next(row["z"] for row in found.facts["scores"] if row["asof"] == before)
        assert str(search(ledger, symbol[:2].lower(), 50).rows[0]["symbol"]).startswith(symbol[:2])
        assert search(ledger, "%", 50).rows == () and search(ledger, "' OR 1", 50).rows == ()


def test_every_scored_name_is_in_one_step_of_the_distribution(device: Path) -> None:
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        view = signal_table.signals(ledger, D)
    steps = view.facts["distribution"]
    assert sum(step["names"] for step in steps) == len(view.rows) == 60
    middle = next(step for step in steps if step["from"] == 0.5)
    assert middle["names"] == sum(0.5 <= row["z"] < 1.0 for row in view.rows)
