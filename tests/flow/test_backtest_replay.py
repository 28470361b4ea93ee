"""The trainer's backtest and the device's replay: two hosts, one history, the same orders."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest

from execution.config import ExecutionConfig
from execution.entries import Entry, EntryConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.kelly import InformationCoefficient
from signals.errors import FixInput
from signals.scores import Scores
from tests.fakes.device import Workbench
from tests.fakes.store import Published
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, Course, Policy, opened

Make = Callable[..., Workbench]
FIXED_IC = 0.05


@pytest.fixture
def replayed(make: Make, published: Published) -> Workbench:
    like = make(published, "like")
    days = published.sessions(8)
    bench = Workbench(like.state.parent / "replayed")
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (8, [], "")
    return bench


def backtest(published: Published, bench: Workbench, seed: int = 0) -> Course:
    """Trade the very scores that the device recorded."""
    archive = open_archive(published.root / "data")
    recorded: dict[object, list[tuple[str, float, str]]] = {}
    for asof, symbol, score, source in bench.rows("SELECT asof, symbol, score, source FROM scores ORDER BY symbol"):
        recorded.setdefault(asof, []).append((symbol, float(score), source))

    def on(asof: object) -> Scores:
        rows = recorded[str(asof)]
        return Scores(asof, "equities_xs", tuple(r[0] for r in rows), np.array([r[1] for r in rows]), rows[0][2])  # type: ignore[arg-type]

    policy = Policy(PortfolioConfig(fixed_ic=FIXED_IC), ExecutionConfig(), InformationCoefficient(0.03, 3.0), 5, "test")
    days = published.sessions(8)
    return Backtest(archive, opened(archive, ExchangeConfig(), seed, days[0]), policy).run(days, on)


def test_a_backtest_sends_the_orders_that_the_device_sends(replayed: Workbench, published: Published) -> None:
    """Order for order, share for share, fill for fill, and the account to the cent in every session."""
    course = backtest(published, replayed)
    ours = sorted((o.client_order_id, o.intent.side.value, o.intent.quantity, o.intent.time_in_force.value, o.state)
                  for o in course.orders)  # fmt: skip
    theirs = sorted(
        (cid, side, Decimal(quantity), tif, state)
        for cid, side, quantity, tif, state in replayed.rows(
            "SELECT client_order_id, side, quantity, tif, state FROM intents"
        )
    )
    assert len(ours) > 100
    assert ours == theirs
    fills = sorted((f.symbol, f.side.value, f.quantity, f.price) for f in course.fills)
    booked = replayed.rows("SELECT symbol, side, quantity, price FROM fills")
    assert fills == sorted((symbol, side, Decimal(q), Decimal(p)) for symbol, side, q, p in booked)
    nav = replayed.rows("SELECT session, paper_nav, real_nav FROM nav ORDER BY session")
    assert [(str(d.session), d.equity, d.real_equity) for d in course.days] == [
        (day, Decimal(paper), Decimal(real)) for day, paper, real in nav
    ]


def test_a_backtest_repeats_itself(replayed: Workbench, published: Published) -> None:
    assert backtest(published, replayed) == backtest(published, replayed)


@pytest.mark.parametrize("kind", [Entry.CLS, Entry.TWAP, Entry.ALMGREN_CHRISS])
def test_a_backtest_refuses_an_entry_that_daily_bars_do_not_show(published: Published, kind: Entry) -> None:
    archive = open_archive(published.root / "data")
    execution = ExecutionConfig(entry=EntryConfig(kind=kind))
    policy = Policy(PortfolioConfig(), execution, InformationCoefficient(0.03, 3.0), 5, "test")
    broker = opened(archive, ExchangeConfig(), 0, published.sessions(1)[0])
    with pytest.raises(FixInput, match=f"enters at the open, not by {kind.value}"):
        Backtest(archive, broker, policy)
