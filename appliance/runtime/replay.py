"""Replays a range of past sessions through the device's jobs, in virtual time against a hosted exchange.

Invariants
----------
1. It runs in a fresh state folder of its own; a live ledger is never touched.
2. After every session the ledger equals the exchange to the cent and to the share, counted from the fills up, or
   `InvariantBroken` stops the replay.
3. A halt stops the replay: nobody re-arms inside it.
4. It asks nothing of the machine it runs on: the same range gives the same reports, to the byte.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.config import ApplianceConfig, BackupConfig
from appliance.controls.machine import FixedMachine
from appliance.ledger import AccessMode, Ledger, activities, fills, intents, nav, snapshots
from appliance.ledger.snapshots import Phase
from appliance.runtime.commissioning import commission
from appliance.runtime.device import Device, opened
from appliance.runtime.session import run_session
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.state_folder import StateFolder
from signals.bundle import PublicKey
from signals.errors import FixInput, InvariantBroken, NotASession

BY = "replay"
FILL = "FILL"
Progress = Callable[[date, int, int], None]


@dataclass(frozen=True)
class ReplaySummary:
    """The outcome of a replay.

    Attributes
    ----------
    sessions : int
        Run to their end.
    skipped : tuple of (date, str)
        Sessions without new orders, and why.
    halted : str
        Why it stopped early; empty when it did not.
    paper_nav, real_nav : Decimal
        USD at the last close.
    first_equity : Decimal
        USD at the start.
    curve : str
        Path of the equity curve.
    """

    sessions: int
    plans: int
    orders: int
    fills: int
    skipped: tuple[tuple[date, str], ...]
    halted: str
    first_equity: Decimal
    paper_nav: Decimal
    real_nav: Decimal
    curve: str


def replay(folder: StateFolder, config: ApplianceConfig, root_key: PublicKey, start: date, end: date, progress: Progress) -> ReplaySummary:
    """Run every session of [start, end] and return what came of it.

    Raises
    ------
    FixInput
        The folder holds a device, or the venue is not a hosted exchange.
    NotASession
        No session in the range, or the dataset does not hold it.
    InvariantBroken
        Ledger and exchange differ after a session.
    """
    if not config.venue.is_hosted:
        raise FixInput("a replay runs against a hosted exchange", where="venue", fix="Use --venue exchange without --url")
    config = config.model_copy(update={"backup": BackupConfig()})  # its copies do not belong among the real ones
    manifest = commission(folder, config, root_key)
    days = manifest.calendar.between(start, end)
    if not days or days[-1] > manifest.last or days[0] <= manifest.first:
        raise NotASession(
            f"{start} to {end} holds no sessions that can be replayed",
            where=f"{manifest.name} holds {manifest.first} to {manifest.last}",
            fix="Choose a range inside it",
        )
    done: list[JobReport] = []
    with opened(folder.root, machine=FixedMachine()) as device:
        device.start_before(days[0])
        device.latch.arm(by=BY, at=device.clock.now())
        for number, session in enumerate(days, start=1):
            progress(session, number, len(days))
            done += run_session(device, session)
            check_agreement(device, session)
            if not device.latch.read().is_armed:
                break
        return _summary(device, done)


def check_agreement(device: Device, session: date) -> None:
    """Raise `InvariantBroken` unless the exchange's book is the ledger's, by its snapshot and from the fills up."""
    broker = device.counterparty.broker()
    account = broker.account()
    held = {position.symbol: position.quantity for position in broker.positions() if position.quantity != 0}
    with Ledger(device.folder.ledger, AccessMode.READ) as ledger:
        closing = snapshots.find(ledger, session, Phase.CLOSE)
        if closing is None:
            if device.latch.read().is_armed:
                raise InvariantBroken("no agreement was recorded at the close", where=str(session))
            return
        kept = {position.symbol: position.quantity for position in closing.positions if position.quantity != 0}
        counted = cash_from_fills(ledger, device.config.starting_equity)
    for name, ours, theirs in (
        ("cash", closing.cash, account.cash),
        ("cash counted from the fills", counted, account.cash),
        ("equity", closing.equity, account.equity),
        ("positions", kept, held),
    ):
        if ours != theirs:
            raise InvariantBroken(f"{name} differs: ledger {ours}, exchange {theirs}", where=str(session))


def cash_from_fills(ledger: Ledger, start: Decimal) -> Decimal:
    """Starting cash plus every fill and every other booked cash effect (USD)."""
    traded = sum((booked.fill.cash for booked in fills.since(ledger, date.min, date.max)), Decimal(0))
    other = sum((a.net_amount for a in activities.since(ledger, date.min) if a.kind != FILL), Decimal(0))
    return start + traded + other


def _summary(device: Device, done: Sequence[JobReport]) -> ReplaySummary:
    plans = [item for item in done if item.job == "plan"]
    sessions = {item.session for item in done}
    with Ledger(device.folder.ledger, AccessMode.READ) as ledger:
        values = nav.history(ledger, date.max, 1)
        journal = [entry for day in sessions for entry in intents.of_session(ledger, day)]
        filled = fills.since(ledger, date.min, date.max)
    latch = device.latch.read()
    start = device.config.starting_equity
    return ReplaySummary(
        sessions=len(sessions),
        plans=sum(item.status is JobStatus.DONE for item in plans),
        orders=len(journal),
        fills=len(filled),
        skipped=tuple((item.session, item.summary) for item in plans if item.status is JobStatus.SKIPPED),
        halted="" if latch.is_armed else latch.sentence(),
        first_equity=start,
        paper_nav=values[-1].paper_nav if values else start,
        real_nav=values[-1].restated_nav if values else start,
        curve=str(device.folder.reports / "equity.svg"),
    )
