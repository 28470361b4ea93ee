"""Orders in steps on minute bars, sent by a device's jobs and by the backtest: the same orders, fills and account.

AAA and BBB trade in 78 bars a session, fewer and fewer shares in each; CCC has no minutes. Own orders take a tenth of a bar, less than most
steps ask for: orders are filled over several bars, and what a step leaves goes on with the next one or is never filled. Both decide on what
their own exchange reports, so that a difference of one session grows in the next. Of whole replays `tests/flow/test_minute_replay.py` holds
the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from appliance.context import Deps
from appliance.ledger import plans
from execution.brokers.base import Account, Asset, Position
from execution.config import ExecutionConfig
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.in_process_broker import DirectBroker
from execution.exchange.market.minutes import MinuteMarket
from execution.orders import Plan
from execution.planning.config import EntryConfig, EntryStyle, PlanningConfig
from execution.planning.plan import PlanInputs, plan
from portfolio.weights import TargetWeights
from signals.market.dataset import MinuteRows
from signals.market.sessions import NEW_YORK
from tests.fakes.exchange import BASES, bars, calendar, exchange
from tests.fakes.standing import PROVENANCE, Standing
from tests.test_execution.test_planned_steps import WIDE
from trainer.backtest.order_batch import OrderBatch, OrderRow, trade_in_steps
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes
from trainer.curation.vendors.mapping import Label

BOOKS = {
    date(2021, 11, 30): {"AAA": 0.3, "BBB": -0.2, "CCC": 0.1},
    date(2021, 12, 1): {"AAA": -0.1, "BBB": -0.25, "CCC": 0.05},
    date(2021, 12, 2): {"AAA": 0.0, "BBB": 0.1, "CCC": 0.15},
}
STEPS = 4
CURVE = tuple(map(Decimal, ("0.4", "0.3", "0.2", "0.1")))
FIRST = "2021-11-30 08:00"


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> MinuteMarket:
    folder, parts, panel = tmp_path_factory.mktemp("minutes"), [], bars()
    end = np.arange(1, 79)
    for day in BOOKS:
        row = int(panel.sessions.searchsorted(np.datetime64(day)))
        for symbol in ("AAA", "BBB"):
            opened = BASES[symbol] + row + (end - 1) / 156
            times = pd.Timestamp(f"{day} 09:30", tz="America/New_York") + pd.to_timedelta(5 * end, unit="m")
            prices = {"open": opened, "high": opened + 0.03, "low": opened - 0.02, "close": opened + 1 / 156}
            parts.append(pd.DataFrame({"time": times, "symbol": symbol, **prices, "volume": 3.0 * (100 - end)}))
    pd.concat(parts).to_parquet(folder / "minutes.parquet")
    ingest_minutes([folder / "minutes.parquet"], folder / "minutes", MinuteTerms("XNYS", label=Label.END))
    return MinuteMarket(MinuteRows.of(folder / "minutes"))


def planned(day: date, account: Account, held: tuple[Position, ...], assets: dict[str, Asset], execution: ExecutionConfig) -> Plan:
    """The plan of a session, of what a broker reports; a step of AAA or BBB may take the curve's share of 4,000 shares."""
    panel, symbols = bars(), tuple(BOOKS[day])
    closes = panel.close[panel.sessions.searchsorted(np.datetime64(day)) - 1]
    prices = {symbol: Decimal(repr(close)) for symbol, close in zip(panel.symbols, closes.tolist(), strict=True)}
    return plan(
        TargetWeights(day, calendar().previous(day), symbols, np.array(list(BOOKS[day].values()))),
        PlanInputs(
            account,
            {one.symbol: one.quantity for one in held},
            prices,
            assets,
            {symbol: 4_000 * price for symbol, price in prices.items()},
            step_shares={"AAA": CURVE, "BBB": CURVE}.get,
        ),
        PROVENANCE,
        execution.planning,
        execution.pretrade,
        entry=execution.entry,
    )


@dataclass
class Device(Standing):
    """A device whose settings ask for steps."""

    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def deps(self) -> Deps:
        deps = super().deps()
        return replace(deps, config=deps.config.model_copy(update={"execution": self.execution}))

    def trade(self, day: date) -> list[tuple[str, str, Decimal, Decimal, str]]:
        """Plan, send every step, confirm and reconcile; return each order as the ledger has it."""
        self.session = day
        self.to("08:00")
        deps = self.deps()
        frozen = planned(day, deps.broker.account(), deps.broker.positions(), deps.broker.assets(), self.execution)
        plans.save(deps.ledger, frozen, self.clock.now())
        deps.close()
        for step, when in enumerate(self.execution.entry.whens(), start=1):
            at = when.on(day, calendar()).astimezone(NEW_YORK)
            assert self.run("trade" if step == 1 else f"trade_{step}", f"{at:%H:%M:%S}").status.value == "done"
        for job, hour in (("confirm", "15:50"), ("reconcile_close", "16:20")):
            assert self.run(job, hour).status.value == "done"
        return [(e.client_order_id, e.intent.side.value, e.intent.quantity, e.filled_quantity, e.state.value) for e in self.entries()]


def backtested(broker: DirectBroker, day: date, execution: ExecutionConfig) -> list[OrderRow]:
    session = calendar().session(day)
    desk = OrderBatch(broker, planned(day, broker.account(), broker.positions(), broker.assets(), execution), execution)
    trade_in_steps(desk, broker, session, execution.entry)
    broker.advance(session.close)
    desk.end()
    return desk.result()


def fills(served: Exchange) -> list[tuple[object, ...]]:
    return [(e.symbol, e.side, e.quantity, e.price) for e in served.venue.book.entries if e.kind == "FILL"]


@pytest.mark.parametrize("kind", [EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS])
def test_a_schedule_sends_the_orders_that_the_device_sends(minutes: MinuteMarket, tmp_path: Path, kind: EntryStyle) -> None:
    entry = EntryConfig(kind=kind, steps=STEPS, participation=0.5)
    execution = ExecutionConfig(entry=entry, planning=PlanningConfig(max_rounding=1.0), pretrade=WIDE)
    device = Device(tmp_path, exchange(FIRST, minutes=minutes), execution=execution, session=next(iter(BOOKS)))
    device.start()
    other = exchange(FIRST, minutes=minutes)
    broker, orders = DirectBroker(other), list[OrderRow]()
    for day in BOOKS:
        ours = backtested(broker, day, execution)
        rows = [(o.client_order_id, o.intent.side.value, o.intent.quantity, o.filled, o.state) for o in ours]
        assert sorted(rows) == sorted(device.trade(day))
        assert fills(other) == fills(device.served)
        assert broker.account().equity == device.broker().account().equity
        orders += ours
    assert len(fills(other)) > 3 * len(orders) and {o.intent.key.attempt for o in orders} >= {0, 1}
    assert {"filled", "canceled", "denied"} <= {o.state for o in orders}
