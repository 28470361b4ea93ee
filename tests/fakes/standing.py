"""A device that stands at the embedded exchange: real jobs, real client, real files; judged by the exchange's book.

The market is that of `tests.fakes.exchange`; the plan of D buys AAA and CCC and sells BBB short in the opening auction.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import ApplianceConfig, StoresConfig
from appliance.context import Deps
from appliance.controls.latch import Latch
from appliance.controls.machine import FixedMachine, Machine
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import run_job
from appliance.ledger import Ledger, choices, intents, plans
from appliance.ledger.intents import JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.reconciliation import begin
from appliance.schedule.job import JobReport
from appliance.system.clock import VirtualClock
from appliance.system.ports import Fs, Notifier
from appliance.system.state_folder import DurableFs, StateFolder
from execution.brokers.alpaca import AlpacaBroker, Credentials
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.orders.order import Order
from execution.exchange.protocol.faults import Fault
from execution.orders import Plan, Provenance
from execution.planning.config import EntryConfig
from execution.planning.plan import PlanInputs, plan
from portfolio.weights import TargetWeights
from tests.fakes import exchange as small
from tests.fakes.broker import Inbox

D = date(2021, 11, 22)
BOOK = {"AAA": 0.03, "BBB": -0.02, "CCC": 0.01}
PROVENANCE = Provenance("b" * 64, "s" * 64, "c" * 64, "test")
ORDERS = "/v2/orders"


@dataclass
class Standing:
    """A device and the exchange at which it stands; every job runs with fresh objects over the same files."""

    root: Path
    served: Exchange
    url: str = small.URL
    inbox: Notifier = field(default_factory=Inbox)
    machine: Machine = field(default_factory=FixedMachine)
    clock_error: timedelta = timedelta(0)
    session: date = D
    opened: Callable[[Path], Ledger] = Ledger
    fs: Fs = field(default_factory=DurableFs)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.served.now + self.clock_error, self._move)

    def _move(self, to: datetime) -> None:
        true = to - self.clock_error
        if self.served.clock.now() < true:
            self.served.clock.move(true)  # type: ignore[attr-defined]

    # -- the device --------------------------------------------------------------------------------------------------

    def deps(self) -> Deps:
        """Fresh dependencies, as a process of its own would have them."""
        folder, fs = StateFolder(self.root), self.fs
        return Deps(
            config=ApplianceConfig(stores=StoresConfig(data=self.root, bundles=self.root)),
            folder=folder,
            clock=self.clock,
            calendar=small.calendar(),
            ledger=self.opened(folder.ledger),
            latch=Latch(self.root, fs),
            notifier=self.inbox,
            fs=fs,
            code_version="test",
            open_market=_no_market,
            open_broker=self.broker,
            machine=self.machine,
        )

    def broker(self) -> AlpacaBroker:
        """The real client, without a socket or with one."""
        adapter = InProcessAdapter(self.served) if self.url == small.URL else None
        return AlpacaBroker(self.url, Credentials("key", "secret"), self.clock, random.Random(0), adapter=adapter)

    def start(self) -> None:
        """Begin the book with what the account holds, adopted by a person, and arm."""
        deps = self.deps()
        held = [position.symbol for position in deps.broker.positions()]
        choices.decide(deps.ledger, held, choices.Choice.ADOPTED, "test", self.clock.now())
        begin(OrderPath.of(deps), small.calendar().previous(self.session), Phase.CLOSE)
        deps.latch.arm(by="test", at=self.clock.now())
        deps.close()

    def freeze(self, weights: dict[str, float] | None = None, entry: EntryConfig | None = None) -> Plan:
        """Freeze the plan of D, made of the account as the broker reports it now."""
        deps = self.deps()
        symbols = tuple(sorted(BOOK if weights is None else weights))
        values = np.array([(BOOK if weights is None else weights)[symbol] for symbol in symbols])
        prices = {symbol: Decimal(str(base)) + Decimal("0.5") for symbol, base in small.BASES.items()}
        prices |= {symbol: Decimal(20) for symbol in symbols if symbol not in prices}
        held = {position.symbol: position.quantity for position in deps.broker.positions()}
        frozen = plan(
            TargetWeights(self.session, small.calendar().previous(self.session), symbols, values),
            PlanInputs(deps.broker.account(), held, prices, deps.broker.assets(), {symbol: Decimal(10**9) for symbol in prices}),
            PROVENANCE,
            deps.config.execution.planning,
            deps.config.execution.pretrade,
            entry=entry,
        )
        saved = plans.save(deps.ledger, frozen, self.clock.now())
        deps.close()
        return saved

    def run(self, job: str, clock_time: str = "") -> JobReport:
        """Run one job of D by its table's row, at a New York time of D if one is given; what precedes it is ours."""
        if clock_time:
            self.to(clock_time)
        deps = self.deps()
        try:
            return run_job(replace(ENTRIES[job], after=(), follows=()), self.session, deps)
        finally:
            deps.close()

    def rest_of_the_day(self) -> list[JobReport]:
        """Trade if it was not, then every job that follows, each at its hour."""
        hours = (("trade", "09:10"), ("confirm", "09:45"), ("reconcile_close", "16:20"))
        return [self.run(job, hour) for job, hour in hours]

    def to(self, clock_time: str) -> None:
        """Let time pass until a New York time of the session by the exchange's clock, which is right."""
        self.clock.advance(max(self.clock.now(), small.new_york(f"{self.session} {clock_time}") + self.clock_error))
        self.served.catch_up()

    def entries(self) -> tuple[JournalEntry, ...]:
        """The journal's intents of D."""
        deps = self.deps()
        found = intents.of_session(deps.ledger, self.session)
        deps.close()
        return found

    def states(self) -> set[str]:
        """The states that intents of D stand in."""
        return {entry.state.value for entry in self.entries()}

    @property
    def latch(self) -> str:
        """The tripwire that halted the device; empty while it is armed."""
        record = Latch(self.root, DurableFs()).read()
        return "" if record.is_armed else record.name

    # -- the exchange ------------------------------------------------------------------------------------------------

    def spoil(self, **row: Any) -> None:
        """Add one row to the exchange's script of faults."""
        self.served.faults.arm([Fault.model_validate(row)])

    def struck(self) -> list[str]:
        """The kinds of fault that occurred, by the exchange's own record."""
        return [strike.kind.value for strike in self.served.faults.strikes]

    def orders(self) -> dict[str, Order]:
        """The exchange's orders by client order id."""
        return {order.client_order_id: order for order in self.served.venue.book.orders.values()}

    def posts(self) -> Counter[str]:
        """How often each client order id was posted, by the exchange's request log."""
        log = [row for row in self.served.venue.book.log if (row.method, row.path) == ("POST", ORDERS)]
        return Counter(json.loads(row.body)["client_order_id"] for row in log)

    def holdings(self) -> dict[str, Decimal]:
        """Shares by symbol in the exchange's book."""
        book = self.served.venue.book
        return {symbol: book.quantity(symbol) for symbol in book.holdings if book.quantity(symbol) != 0}

    def require_whole(self) -> None:
        """The day ended as planned: each planned order once at the exchange and filled, no doubt, no halt."""
        deps = self.deps()
        planned = plans.require(deps.ledger, D)
        deps.close()
        wanted = {i.key.client_order_id: (i.key.symbol, i.side, i.quantity) for i in planned.intents}
        found = {cid: (order.symbol, order.side, order.filled_quantity) for cid, order in self.orders().items()}
        assert found == wanted
        assert self.states() == {"filled"}
        assert self.latch == ""


def stand(root: Path, url: str = small.URL, **exchange: Any) -> Standing:
    """Return an armed device at 08:00 of D with its plan frozen."""
    device = Standing(root, small.exchange("2021-11-22 08:00", **exchange), url)
    device.start()
    device.freeze()
    return device


def _no_market() -> Any:
    raise AssertionError("a job that sends orders never opens the market store")
