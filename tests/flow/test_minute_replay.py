"""The trainer's backtest and the device's replay on minute bars, in steps through the day: two hosts, the same orders.

A tenth of a bar's volume is less than most steps ask for, so that orders are filled over several bars, rests leave again with later
steps, and some are never filled. The volume curve falls over the day: it, and not the even spread, bounds what a step may take.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import yaml

from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from execution.planning.config import EntryConfig, EntryStyle
from execution.planning.urgency import URGENCIES
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.market.dataset import load_bars
from signals.scoring.scores import Scores
from tests.fakes.device import Workbench
from tests.fakes.session_minutes import day_paths, keep
from tests.fakes.store import Published, publish_bundle, recipe
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, opened

pytestmark = pytest.mark.slow  # `make real-minutes`: two replays and two backtests on 50,000 bars
REPLAYED, TRAILING, STEPS = 3, 8, 4
PARTICIPATION = 0.00002
FIXED_IC = 0.05


@pytest.fixture(scope="module")
def minuted(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The store with minutes beside its data and a bundle that was learned for steps."""
    root = tmp_path_factory.mktemp("minuted") / "store"
    shutil.copytree(published.root, root)
    store = Published(root, root / "root.pub", published.manifest, published.last_training)
    publish_bundle(root, recipe(root / "data", store.last_training, 2).but(entry="day"))
    days, calendar = store.sessions(REPLAYED), store.manifest.calendar
    bars = load_bars(root / "data", store.manifest, calendar.offset(days[0], -TRAILING), days[-1])
    frame = day_paths(bars, calendar, np.zeros(bars.close.shape), seed=4)
    bar = frame.groupby(["symbol", frame["time"].dt.date]).cumcount()
    keep(frame.assign(volume=(frame["volume"] * (1.8 - 0.02 * bar) / 400).round()), root / "data")
    return store


def replay(store: Published, folder: Path, kind: EntryStyle) -> Workbench:
    like, bench = Workbench(folder / "like"), Workbench(folder / "replayed")
    asked = ("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust))
    assert like(*asked, "--fixed-ic", str(FIXED_IC)).code == 0
    path = like.state / "config.yml"
    known = yaml.safe_load(path.read_text())
    known.setdefault("execution", {})["entry"] = {"kind": kind.value, "steps": STEPS, "participation": PARTICIPATION}
    known.setdefault("venue", {}).setdefault("exchange", {})["minutes"] = True
    path.write_text(yaml.safe_dump(known))
    days = store.sessions(REPLAYED)
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (REPLAYED, [], "")
    return bench


def backtest(store: Published, bench: Workbench, kind: EntryStyle) -> Course:
    archive = open_archive(store.root / "data")

    def on(asof: date) -> Scores:
        found = bench.recorded_scores(asof)
        assert found is not None
        return found

    entry = EntryConfig(kind=kind, steps=STEPS, participation=PARTICIPATION)
    execution = ExecutionConfig().model_copy(update={"entry": entry})
    policy = BacktestPolicy(PortfolioConfig(fixed_ic=FIXED_IC), execution, SizingCoefficient(0.03, 3.0, None), 5, "test")
    broker = opened(archive, ExchangeConfig(cash=Decimal(100_000), minutes=True), 0, store.sessions(1)[0])
    return Backtest(archive, broker, policy).run(store.sessions(REPLAYED), on)


@pytest.mark.parametrize("kind", [EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS, EntryStyle.LEAST_COST])
def test_a_backtest_in_steps_sends_the_orders_that_the_device_sends(minuted: Published, tmp_path: Path, kind: EntryStyle) -> None:
    """Order for order, fill for fill to the share and the price, and the account to the cent in every session."""
    bench = replay(minuted, tmp_path, kind)
    course = backtest(minuted, bench, kind)
    ours = sorted((o.client_order_id, o.intent.side.value, o.intent.quantity, o.filled, o.state) for o in course.orders)
    theirs = sorted(
        (cid, side, Decimal(quantity), Decimal(filled), state)
        for cid, side, quantity, filled, state in bench.rows("SELECT client_order_id, side, quantity, filled_quantity, state FROM intents")
    )
    assert ours == theirs
    fills = sorted((f.symbol, f.side.value, f.quantity, f.price) for f in course.fills)
    booked = bench.rows("SELECT symbol, side, quantity, price FROM fills")
    assert fills == sorted((symbol, side, Decimal(q), Decimal(p)) for symbol, side, q, p in booked)
    nav = bench.rows("SELECT session, paper_nav, real_nav, restatement FROM nav ORDER BY session")
    assert [(str(d.session), d.equity, d.real_equity) for d in course.days] == [
        (day, Decimal(paper), Decimal(real) + Decimal(more)) for day, paper, real, more in nav
    ]
    attempts = {o.intent.key.attempt for o in course.orders}
    states = {o.state for o in course.orders}
    assert len(ours) > 100 and max(Counter(f.order_id for f in course.fills).values()) > 1, "orders were filled over several bars"
    assert max(attempts) > 0 and {"filled", "canceled", "denied"} <= states, "rests left again, and some were never filled"
    plans = [json.loads(body) for (body,) in bench.rows("SELECT body FROM plans")]
    curves = [curve for body in plans for curve in body["step_shares"].values()]
    chosen = {urgency for body in plans for urgency in body["urgencies"].values()}
    assert chosen <= {*URGENCIES} and bool(chosen) == (kind is EntryStyle.LEAST_COST)
    assert curves and all(float(curve[0]) > float(curve[1]) > float(curve[2]) for curve in curves)
    assert any(refusal[1] == "PARTICIPATION" for body in plans for refusal in body["refusals"])
