"""One session of a device at a fake broker, with seeded faults and kills, judged by the broker's own log."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from appliance.context import Deps
from appliance.controls.latch import FILE_NAME, Latch
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.runner import JobSpec, run_job
from appliance.jobs.trade import trade
from appliance.ledger import choices, intents, plans, snapshots
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.reconciliation import begin
from appliance.orders.submission import submit
from appliance.safety import escalation
from appliance.safety.halt import halt, halt_name
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.clock import VirtualClock
from execution.brokers.base import Account
from execution.config import ExecutionConfig
from execution.orders import BrokerOrder, Intent, Provenance
from execution.planning.plan import PlanInputs, plan
from portfolio.weights import TargetWeights
from signals.errors import DeviceHalted, FixInput, HaltDevice, SkipSession, TryAgain
from tests.fakes import invariants
from tests.fakes.broker import Crash, CrashingLedger, FakeBroker, Fault, Inbox, MemoryFs, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D = date(2024, 3, 12)
MARGIN = timedelta(minutes=ExecutionConfig().submission.send_until_minutes)
ENTRIES = {
    entry.name: entry
    for entry in (
        JobSpec("reconcile_morning", reconcile),
        JobSpec("trade", trade, after=("reconcile_morning",), needs_armed=True),
        JobSpec("confirm", confirm, follows=("trade",)),
        JobSpec("reconcile_close", reconcile),
    )
}
PROVENANCE = Provenance("b" * 64, "s" * 64, "c" * 64, "test")
RESTART_SECONDS = 15


def at(clock_time: str) -> datetime:
    """UTC instant of a New York time on D."""
    return CALENDAR.session(D).at(time.fromisoformat(clock_time))


@dataclass
class Rehearsal:
    """A device and its broker; every job runs with fresh objects over the same files."""

    root: Path
    broker: FakeBroker
    clock: VirtualClock
    fs: MemoryFs = field(default_factory=MemoryFs)
    inbox: Inbox = field(default_factory=Inbox)
    posts_at_halt: int | None = None
    seen: Counter[str] = field(default_factory=Counter)
    ended: list[tuple[str, str]] = field(default_factory=list)
    commits: dict[str, int] = field(default_factory=dict)  # of each job's last run

    def __post_init__(self) -> None:
        self.fs.watch = self._latched

    def _latched(self, name: str) -> None:
        """Count the posts at the instant at which the latch closes."""
        if name == FILE_NAME and self.posts_at_halt is None and not self.latch.read().is_armed:
            self.posts_at_halt = len(self.broker.posts)

    def open(self, crash_at: int | None = None, *, is_after: bool = False) -> Deps:
        """Open the ledger from disk, to die at a commit if told so."""
        ledger = CrashingLedger(self.root / "ledger.sqlite")
        ledger.commits, ledger.crash_at, ledger.is_after = 0, crash_at, is_after
        return deps_of(self.root, self.broker, self.clock, CALENDAR, self.fs, ledger, self.inbox)

    @property
    def latch(self) -> Latch:
        """The device's latch."""
        return Latch(self.root, self.fs)

    def start(self) -> None:
        """Begin the book at 08:00 of D with what the account holds, adopted by a person, and arm."""
        deps = self.open()
        choices.decide(deps.ledger, self.broker.held, choices.Choice.ADOPTED, "test", self.clock.now())
        begin(OrderPath.of(deps), CALENDAR.previous(D), Phase.CLOSE)
        self.latch.arm(by="test", at=self.clock.now())
        deps.close()

    def freeze(self, weights: dict[str, float]) -> None:
        """Freeze a plan for D."""
        deps = self.open()
        account: Account = self.broker.account()
        symbols = tuple(sorted(weights))
        targets = TargetWeights(D, CALENDAR.previous(D), symbols, np.array([weights[s] for s in symbols]))
        frozen = plan(
            targets,
            PlanInputs(
                account,
                dict(self.broker.held),
                dict(self.broker.prices),
                self.broker.assets(),
                {symbol: Decimal(10**9) for symbol in self.broker.prices},
            ),
            PROVENANCE,
            deps.config.execution.planning,
            deps.config.execution.pretrade,
        )
        plans.save(deps.ledger, frozen, self.clock.now())
        deps.close()

    def run(self, job: Callable[[date, Deps], JobReport], crashes: list[tuple[int, bool]], until: datetime) -> JobReport | None:
        """Run a job as its runner would, restarted after each kill; None when it halted, skipped or ran out of time."""
        while self.clock.now() <= until:
            crash_at, is_after = crashes.pop(0) if crashes else (None, False)
            deps = self.open(crash_at, is_after=is_after)
            try:
                return job(D, deps)
            except Crash:
                self.seen["crash"] += 1
                self.clock.sleep(RESTART_SECONDS)
            except TryAgain:
                self.seen["try again"] += 1
                self.clock.sleep(60)
            except SkipSession:
                return None
            except HaltDevice as error:
                self.seen[type(error).__name__] += 1
                deps.ledger.close()
                deps = self.open()
                halt(deps, D, halt_name(error), str(error))
                self.posts_at_halt = len(self.broker.posts) if self.posts_at_halt is None else self.posts_at_halt
                return None
            finally:
                deps.close()
        return None

    def attend(self, name: str, crashes: list[tuple[int, bool]], until: datetime) -> None:
        """Run a job to its recorded end by the device's own runner, as the daemon does: again after each kill."""
        while self.clock.now() <= until:
            crash_at, is_after = crashes.pop(0) if crashes else (None, False)
            deps = self.open(crash_at, is_after=is_after)
            try:
                self.seen["halt completed"] += escalation.complete(deps)
                report = run_job(ENTRIES[name], D, deps)
                self.seen[f"{name} {report.status}"] += 1
                self.seen[f"halted by {self.latch.read().name}"] += report.status is JobStatus.HALTED
                self.ended.append((name, report.status.value))
                assert isinstance(deps.ledger, CrashingLedger)
                self.commits[name] = deps.ledger.commits
                return
            except Crash:
                self.seen["crash"] += 1
                self.clock.sleep(RESTART_SECONDS)
            except TryAgain:
                self.seen["try again"] += 1
                self.clock.sleep(60)
            except (DeviceHalted, FixInput):
                self.seen["not started"] += 1
                return
            finally:
                deps.close()

    def night(self) -> None:
        """What the daemon does between jobs: complete and repeat halts, send what nobody heard."""
        deps = self.open()
        escalation.attend(deps)
        deps.close()

    def to(self, clock_time: str) -> None:
        """Let time pass until a New York time of D."""
        self.clock.advance(max(self.clock.now(), at(clock_time)))


def rehearse(root: Path, seed: int, *, is_calm: bool = False) -> Rehearsal:
    """Run one seeded session of kills, lost answers, late look-ups, outages and partial fills; or one without faults.

    A calm session still has partial fills: they are no fault.
    """
    rng = random.Random(seed)
    clock = VirtualClock(at("08:00"))
    names = [f"S{i}" for i in range(rng.randint(2, 6))]
    broker = FakeBroker(clock, CALENDAR, {name: Decimal(rng.randint(20, 400)) for name in names})
    for name in rng.sample(names, k=len(names) // 2):
        broker.held[name] = Decimal(rng.choice((-1, 1)) * rng.randint(1, 60))
    life = Rehearsal(root, broker, clock)
    life.start()
    largest = 0.03 if is_calm else rng.choice((0.03, 0.03, 0.065))  # the last one reaches for the limits
    life.freeze({name: rng.choice((-1, 1)) * rng.uniform(0.005, largest) for name in names})
    deadly = 0 if is_calm else 1
    if not is_calm:
        spoil(broker, rng)
        life.inbox.is_open = rng.random() < 0.8
    life.attend("reconcile_morning", kills(rng, 3) * deadly, at("09:00"))
    life.to("09:10")
    life.attend("trade", kills(rng, 3 + 5 * len(names)) * deadly, at("09:26"))
    life.to("09:30")
    broker.auction(lambda order: rng.choice((Decimal(0), Decimal("0.5"), Decimal(1), Decimal(1))))
    life.to("09:45")
    life.attend("confirm", kills(rng, 10) * deadly, at("15:45"))
    life.to("16:00")
    broker.close()
    life.to("16:20")
    broker.unreachable = lambda number: False
    life.attend("reconcile_close", kills(rng, 4) * deadly, at("23:00"))
    life.night()
    return life


def spoil(broker: FakeBroker, rng: random.Random) -> None:
    """Draw the faults of one session: most posts are calm, some sessions are stormy."""
    storm = rng.choice((0.0, 0.15, 0.5))
    faults = {number: rng.choice(list(Fault)[1:]) if rng.random() < storm else Fault.NONE for number in range(200)}
    broker.fault = lambda number: faults[number]
    broker.lag = rng.choice((0.0, 0.0, 0.0, 10.0, 20.0))
    broker.is_unique = rng.random() < 0.5
    outage = rng.random() < 0.15
    dark = {number for number in range(400) if outage and rng.random() < 0.03}
    broker.unreachable = lambda number: number in dark
    share = rng.choice((Decimal(1), Decimal(1), Decimal("0.5"), Decimal(0)))
    broker.day_fill = lambda intent: (intent.quantity * share) // 1


def kills(rng: random.Random, commits: int) -> list[tuple[int, bool]]:
    """Draw at which commits, and on which side of them, the next runs of a job die."""
    return [(rng.randint(1, commits), rng.random() < 0.5) for _ in range(rng.choice((0, 1, 1, 2)))]


def broken_rules(life: Rehearsal) -> list[str]:
    """Return every rule that the session broke, judged by the broker's log and what is on the device's disk."""
    broken: list[str] = []
    deps = life.open()
    entries = {entry.client_order_id: entry for entry in intents.of_session(deps.ledger, D)}
    is_halted = not life.latch.read().is_armed
    accepted = Counter(cid for _, cid in life.broker.accepted)
    posted = Counter(intent.key.client_order_id for _, intent in life.broker.posts)
    broken += [f"I1: {count} orders for {cid}" for cid, count in accepted.items() if count > 1]
    broken += [f"{count} posts for {cid}" for cid, count in posted.items() if count > 2]
    for cid in accepted:
        state = entries[cid].state if cid in entries else None
        if not is_halted and (state is None or not state.is_at_broker):
            broken.append(f"{cid} is lost: {state}")
    if life.posts_at_halt is not None and len(life.broker.posts) > life.posts_at_halt:
        broken.append("I5: an order left after the halt")
    if not is_halted:
        broken += [f"{cid} is {e.state}" for cid, e in entries.items() if e.state.is_in_doubt or not e.state.is_terminal]
        close = snapshots.find(deps.ledger, D, Phase.CLOSE)
        held = {symbol: quantity for symbol, quantity in life.broker.held.items() if quantity != 0}
        if close is None or {p.symbol: p.quantity for p in close.positions} != held or close.cash != life.broker.cash:
            broken.append("I3: the close is not agreed and the device is not halted")
    frozen = plans.require(deps.ledger, D)
    broken += invariants.beyond_limits(life.broker, frozen, deps.config.execution.pretrade)
    broken += invariants.without_provenance(life.broker, deps)
    broken += invariants.outside_hours(life.broker.posts, D)
    broken += invariants.not_conserved(life.broker, deps, D, CALENDAR.previous(D))
    broken += invariants.reopened([content for name, content in life.fs.written if name == FILE_NAME])
    broken += invariants.without_one_end(deps, D, life.ended)
    broken += invariants.unheard(deps, life.latch.read(), life.inbox)
    broken += invariants.excess(frozen, life.broker)
    _witness(life, deps, is_halted)
    deps.close()
    return broken


def _witness(life: Rehearsal, deps: Deps, is_halted: bool) -> None:
    """Count what the session reached, so that the coverage of faults can itself be tested."""
    orders = life.broker.rows.values()
    life.seen["partial fill"] += sum(0 < order.filled_quantity < order.quantity for order in orders)
    life.seen["cancel all"] += len(life.broker.cancelled)
    life.seen["nobody heard"] += is_halted and not life.inbox.is_open
    life.seen["refused by a limit"] += bool(plans.require(deps.ledger, D).refusals)
    life.seen["halted" if is_halted else "traded"] += 1
    for entry in intents.of_session(deps.ledger, D):
        life.seen[f"ended {entry.state}"] += 1
        life.seen["resend"] += entry.posts > 1
        life.seen["follow-up"] += entry.intent.key.attempt > 0
        life.seen["flip"] += entry.intent.waits_for is not None
        for event in intents.events(deps.ledger, entry.client_order_id):
            life.seen["found by look-up"] += event.reason == "found by look-up"
            life.seen["found SENDING"] += event.to_state is IntentState.UNKNOWN and event.reason.startswith("found SENDING")


def intent_of(life: Rehearsal, order: BrokerOrder) -> Intent:
    """Return the intent that was posted for a broker order."""
    return next(i for _, i in life.broker.posts if i.key.client_order_id == order.client_order_id)


def calm(root: Path) -> Rehearsal:
    """Return an armed device with a frozen plan at 08:00 of D: five orders, a closing and a flip among them."""
    clock = VirtualClock(at("08:00"))
    prices = {"A": Decimal(100), "B": Decimal(50), "C": Decimal(25), "D": Decimal(200)}
    life = Rehearsal(root, FakeBroker(clock, CALENDAR, prices), clock)
    life.broker.held = {"A": Decimal(40), "C": Decimal(-30)}
    life.start()
    life.freeze({"A": -0.02, "B": 0.03, "C": 0.0, "D": 0.01})
    return life


def entry_of(path: OrderPath, symbol: str, order_slice: int = 0, attempt: int = 0) -> JournalEntry:
    """Return the journal's entry of an order of D."""
    wanted = (symbol, order_slice, attempt)
    keyed = {(e.intent.key.symbol, e.intent.key.slice, e.intent.key.attempt): e for e in intents.of_session(path.ledger, D)}
    return keyed[wanted]


def send_one(path: OrderPath, symbol: str) -> JournalEntry:
    """Send the planned order of a symbol, with no other before it."""
    entry = entry_of(path, symbol)
    desk = fetch_context(path, plans.require(path.ledger, D))
    now = desk.circumstances(intents.of_session(path.ledger, D), entry.intent, Decimal(0))
    return submit(path, desk.plan, entry, now)


def reported_after_send(path: OrderPath) -> BrokerOrder:
    """Send the order for B and return the broker's report of it."""
    found = path.broker.order(send_one(path, "B").client_order_id)
    assert found is not None
    return found
