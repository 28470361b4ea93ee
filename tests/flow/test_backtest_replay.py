"""The trainer's backtest and the device's replay: two hosts, one history, the same orders.

In the market of this file every name pays a dividend on two of the sessions replayed that is known on its ex-date only,
as one that is inferred from adjusted closes: after the session's report, before the next one's. Its store has a risk
bundle too, so that both hosts scale the book by forecast volatilities.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from execution.planning.config import EntryConfig, EntryStyle
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput
from signals.market.actions import Action, ActionKind
from signals.scoring.scores import Scores
from tests.fakes.device import Workbench
from tests.fakes.store import END, SESSIONS, SYMBOLS, Published, publish_store
from tests.flow.test_slots import publish_risk
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, opened
from trainer.backtest.scored import forecasts
from trainer.curation.generated.market import generate

FIXED_IC = 0.05
REPLAYED = 9
PAYING = (4, 6)  # places of the ex-dates among the sessions replayed


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory) -> Published:
    market = generate(11, SYMBOLS, SESSIONS, END)
    days = market.truth.sessions[-25 + 5 :]  # of the store: its bundle learned until 25 sessions before the end
    planted = []
    for day in (days[place] for place in PAYING):
        rows = market.bars.filter(pc.equal(market.bars.column("date"), pa.scalar(day)))
        planted += [
            Action(ActionKind.DIVIDEND, symbol, day, day, cash=Decimal("0.37")) for symbol in sorted(set(rows.column("symbol").to_pylist()))
        ]
    own = tuple(a for a in market.actions if a.kind is not ActionKind.DIVIDEND or a.effective not in days)
    store = publish_store(tmp_path_factory.mktemp("paying"), replace(market, actions=(*own, *planted)))
    publish_risk(store)
    return store


@pytest.fixture(scope="module")
def replayed(paying: Published, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("replayed")
    like, bench = Workbench(folder / "like"), Workbench(folder / "replayed")
    asked = ("init", "--venue", "exchange", "--store", str(paying.root), "--trust", str(paying.trust))
    assert like(*asked, "--fixed-ic", str(FIXED_IC)).code == 0
    days = paying.sessions(REPLAYED)
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (REPLAYED, [], "")
    return bench


@pytest.fixture(scope="module")
def course(paying: Published, replayed: Workbench) -> Course:
    return backtest(paying, replayed)


def backtest(published: Published, bench: Workbench, seed: int = 0, *, is_forecast: bool = True) -> Course:
    """Trade the very scores that the device recorded."""
    archive = open_archive(published.root / "data")

    def on(asof: date) -> Scores:
        found = bench.recorded_scores(asof)
        assert found is not None
        return found

    ic = SizingCoefficient(0.03, 3.0, None)
    policy = BacktestPolicy(PortfolioConfig(fixed_ic=FIXED_IC), ExecutionConfig(), ic, 5, "test")
    days = published.sessions(REPLAYED)
    broker = opened(archive, ExchangeConfig(cash=Decimal(100_000)), seed, days[0])
    # In-sample, as a device is: it asks the newest risk bundle, whatever that had learned from.
    found = forecasts(archive, published.root, None, in_sample=True)
    return Backtest(archive, broker, policy, found.on if is_forecast else lambda asof: {}).run(days, on)


def test_a_backtest_sends_the_orders_that_the_device_sends(replayed: Workbench, course: Course) -> None:
    """Order for order, share for share, fill for fill, and the account to the cent in every session."""
    ours = sorted((o.client_order_id, o.intent.side.value, o.intent.quantity, o.intent.time_in_force.value, o.state) for o in course.orders)
    theirs = sorted(
        (cid, side, Decimal(quantity), tif, state)
        for cid, side, quantity, tif, state in replayed.rows("SELECT client_order_id, side, quantity, tif, state FROM intents")
    )
    assert len(ours) > 100
    assert ours == theirs
    fills = sorted((f.symbol, f.side.value, f.quantity, f.price) for f in course.fills)
    booked = replayed.rows("SELECT symbol, side, quantity, price FROM fills")
    assert fills == sorted((symbol, side, Decimal(q), Decimal(p)) for symbol, side, q, p in booked)
    nav = replayed.rows("SELECT session, paper_nav, real_nav, restatement FROM nav ORDER BY session")
    assert [(str(d.session), d.equity, d.real_equity) for d in course.days] == [
        (day, Decimal(paper), Decimal(real) + Decimal(more)) for day, paper, real, more in nav
    ]


def test_dividends_learned_after_a_report_are_restated_on_their_ex_date_longs_and_shorts(
    replayed: Workbench, paying: Published, course: Course
) -> None:
    """No report knew of one; the sessions after them have them, to the cent of the backtest, and the report says so."""
    days = paying.sessions(REPLAYED)
    rows = replayed.rows("SELECT session, dividends, late_dividends, restatement FROM nav ORDER BY session")
    late = [Decimal(row[2]) for row in rows]
    assert [Decimal(row[1]) for row in rows] == [0] * REPLAYED
    assert [place for place, amount in enumerate(late) if amount] == list(PAYING)
    assert late == [day.costs.dividends for day in course.days]
    ex_date = days[PAYING[0]]
    held = [Decimal(q) for (q,) in replayed.rows("SELECT quantity FROM positions WHERE session = ? AND phase = 'open'", str(ex_date))]
    assert min(held) < 0 < max(held)
    assert late[PAYING[0]] == (sum(held, Decimal(0)) * Decimal("0.37")).quantize(Decimal("0.01"))
    # A report goes on from the restated value: only what was reported before a dividend was learned is restated.
    assert [place for place, row in enumerate(rows) if Decimal(row[3])] == list(PAYING)
    shown = {row["session"]: row for row in replayed("performance", "--json").json["rows"]}
    assert shown[str(ex_date)]["real_nav"] != shown[str(ex_date)]["restated_nav"]
    after = (replayed.state / "reports" / f"report_{days[PAYING[0] + 1]}.md").read_text()
    assert f"real NAV of {ex_date}, restated" in after


def test_forecasts_of_a_risk_bundle_scale_the_backtest_as_they_scale_the_device(
    replayed: Workbench, paying: Published, course: Course
) -> None:
    """The device scored the risk sleeve each evening; without the forecasts the backtest holds another book."""
    recorded = replayed.rows("SELECT count(DISTINCT asof) FROM scores WHERE sleeve = 'risk'")
    assert recorded == [(REPLAYED,)]
    plain = backtest(paying, replayed, is_forecast=False)
    assert [o.intent.quantity for o in plain.orders] != [o.intent.quantity for o in course.orders]
    with pytest.raises(FixInput, match="forecasts no volatility"):
        forecasts(open_archive(paying.root / "data"), newest_scores(paying), None, in_sample=True)


def newest_scores(store: Published) -> Path:
    return next(path for path in sorted(store.root.glob("equities_xs/*/*")) if (path / "manifest.json").is_file())


def test_a_backtest_repeats_itself(replayed: Workbench, paying: Published, course: Course) -> None:
    assert backtest(paying, replayed) == course


@pytest.mark.parametrize("kind", [EntryStyle.CLS, EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS])
def test_a_backtest_refuses_an_entry_that_daily_bars_do_not_show(published: Published, kind: EntryStyle) -> None:
    archive = open_archive(published.root / "data")
    execution = ExecutionConfig(entry=EntryConfig(kind=kind))
    policy = BacktestPolicy(PortfolioConfig(), execution, SizingCoefficient(0.03, 3.0, 20.0), 5, "test")
    broker = opened(archive, ExchangeConfig(cash=Decimal(100_000)), 0, published.sessions(1)[0])
    with pytest.raises(FixInput, match=f"enters at the open, not by {kind.value}"):
        Backtest(archive, broker, policy)
