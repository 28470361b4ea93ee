"""The composition root: opens a state folder as a device and runs its jobs with fresh dependencies."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

from appliance.alerts.heartbeat import NoHeartbeat, configured_heartbeat
from appliance.alerts.reminders import MORE
from appliance.config import ApplianceConfig, load_config
from appliance.context import Deps
from appliance.controls import halt_file
from appliance.controls.latch import Latch, LatchRecord
from appliance.controls.machine import Machine, ThisMachine
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import honour_halt_request, run_job
from appliance.ledger import AccessMode, Ledger, job_runs
from appliance.ledger.database import RESTORE
from appliance.market.store import MarketStore
from appliance.runtime.venue import Counterparty, opened_venue
from appliance.safety.halt import carry_out_without_ledger
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import table_of
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import CLOCK_FILE, VirtualClock, hosted_time, instant
from appliance.system.ports import Clock, Heartbeat, Notifier
from appliance.system.state_folder import DurableFs, StateFolder, exclusive
from signals.alerts.addresses import channels_of
from signals.alerts.alert import Channels, FileNotifier, LogNotifier
from signals.code_version import code_version
from signals.errors import DeviceHalted, FixInput, LedgerDamaged, LedgerUnusable, Locked, NotASession, TrademlError
from signals.market.manifest import Manifest
from signals.market.sessions import Calendar
from signals.schedule.job_windows import Timetable, windows
from signals.text.wording import utc_words


@dataclass(frozen=True)
class Device:
    """One device at its venue, for the life of a process that holds the state folder's lock.

    Attributes
    ----------
    manifest : Manifest
        Of the dataset as it is published now; its calendar is the device's.
    credentials : Path or None
        Folder of key files.
    """

    folder: StateFolder
    config: ApplianceConfig
    manifest: Manifest
    counterparty: Counterparty
    notifier: Notifier
    fs: DurableFs = field(default_factory=DurableFs)
    machine: Machine = field(default_factory=ThisMachine)
    heartbeat: Heartbeat = field(default_factory=NoHeartbeat)
    credentials: Path | None = None

    @property
    def clock(self) -> Clock:
        """The venue's clock."""
        return self.counterparty.clock

    @property
    def calendar(self) -> Calendar:
        """The frozen sessions of the dataset."""
        return self.manifest.calendar

    @property
    def latch(self) -> Latch:
        """The halt latch of this state folder."""
        return Latch(self.folder.root, self.fs)

    @cached_property
    def code(self) -> str:
        """The program's version, hashed once."""
        return code_version("appliance")

    @contextmanager
    def deps(self) -> Iterator[Deps]:
        """Fresh dependencies: every object is opened afresh and closed at the end, as a process of its own would."""
        deps = Deps(
            config=self.config,
            folder=self.folder,
            clock=self.clock,
            calendar=self.calendar,
            ledger=Ledger(self.folder.ledger, AccessMode.WRITE),
            latch=self.latch,
            notifier=self.notifier,
            fs=self.fs,
            code_version=self.code,
            open_market=lambda: MarketStore(self.folder.market, self.calendar),
            open_broker=self.counterparty.broker,
            machine=self.machine,
            heartbeat=self.heartbeat,
            credentials=self.credentials,
            open_bars=self.counterparty.bars,
        )
        try:
            yield deps
        finally:
            deps.close()

    def run(self, job: str, session: date) -> JobReport:
        """Run one job of the session D; with a hosted exchange, at its time of the day.

        Raises
        ------
        NotASession
            D is none, or the hosted exchange has no bars of it.
        FixInput
            The hosted clock is past the job's window.
        """
        self.honour_halt_request(session)  # before a hosted clock moves on: what works now is cancelled now
        if isinstance(self.clock, VirtualClock):
            self._move_to(self.clock, job, session)
        with self.deps() as deps:
            report = run_job(ENTRIES[job], session, deps)
        self.remember_clock()
        return report

    def honour_halt_request(self, session: date | None) -> None:
        """Carry out the file HALT if there is one; a ledger that cannot be opened is no reason not to.

        Raises
        ------
        DeviceHalted
            There is no usable ledger: the latch is closed, cancel-all was sent and a person notified.
        """
        if not halt_file.is_requested(self.fs, self.folder):
            return
        self.latch.close()
        with ExitStack() as stack:
            try:
                deps = stack.enter_context(self.deps())
            except (LedgerUnusable, Locked) as error:
                words = f"the file HALT was found: {halt_file.stated_reason(self.fs, self.folder)}"
                record = self.latch.halt("MANUAL", words, instant(self.clock))
                self.notify_without_ledger(record, error)
                raise DeviceHalted(record.sentence(), fix=str(error)) from error
            honour_halt_request(deps, session)

    def require_ledger(self) -> None:
        """Raise `LedgerDamaged` where a device may send orders and its ledger is missing: it is never started afresh."""
        if self.latch.read().is_armed and not self.folder.ledger.exists():
            raise LedgerDamaged("the ledger of an armed device is gone", where=str(self.folder.ledger), fix=RESTORE)

    def notify_without_ledger(self, record: LatchRecord, error: TrademlError) -> None:
        """Cancel working orders and notify a person of a halt that the ledger does not hold."""
        carry_out_without_ledger(self.counterparty.broker, self.notifier, record, instant(self.clock), error)

    def close(self, job: str, session: date, status: JobStatus, reason: str) -> JobReport:
        """Record the end of a job that did not run and never will for this session."""
        report = JobReport(job, session, status, reason)
        with self.deps() as deps:
            if job_runs.begin(deps.ledger, session, job, self.clock.now()):
                job_runs.finish(deps.ledger, report, self.clock.now())
        return report

    def require_held(self, session: date) -> None:
        """Raise `NotASession` unless D is a session that a hosted exchange has bars of."""
        self.calendar.index(session)
        if session > self.manifest.last:
            raise NotASession(
                f"{session} is in the future",
                where=f"{self.manifest.name} ends {self.manifest.last}",
                fix="The embedded exchange trades sessions that the dataset holds",
            )

    @property
    def table(self) -> Timetable:
        """The timetable that holds under this device's settings."""
        return table_of(self.config.entering)

    def _move_to(self, clock: VirtualClock, job: str, session: date) -> None:
        self.require_held(session)
        row = next(row for row in windows(session, self.calendar, self.table) if row.job == job)
        if clock.now() < row.at:
            clock.advance(row.at)
        elif clock.now() > row.deadline and not self.has_ended(job, session):
            raise FixInput(
                f"the window of {job} for {session} has passed",
                fix="Past sessions are never traded; ask for a later one",
                where=f"the device's clock says {utc_words(clock.now())}",
            )

    def has_ended(self, job: str, session: date) -> bool:
        """Whether the ledger knows how this job of the session ended."""
        with Ledger(self.folder.ledger, AccessMode.WRITE) as ledger:
            run = job_runs.find(ledger, session, job)
        return run is not None and run.status is not None

    def start_before(self, session: date) -> None:
        """Move a hosted clock to where the first job of the session D begins."""
        first = windows(session, self.calendar, self.table)[0].at
        if isinstance(self.clock, VirtualClock) and self.clock.now() < first:
            self.clock.advance(first)

    def remember_clock(self) -> None:
        """Store the time of a hosted clock, so that the next process continues from there."""
        if isinstance(self.clock, VirtualClock):
            row = {"now": self.clock.now().isoformat()}
            self.fs.write(self.folder.root / CLOCK_FILE, json.dumps(row).encode())


@contextmanager
def opened(root: Path, *, credentials: Path | None = None, machine: Machine | None = None) -> Iterator[Device]:
    """Hold the state folder and open its venue for the length of the block.

    Raises
    ------
    FixInput
        `root` is not a device's state folder, or its configuration is wrong.
    Locked
        Another process works in it.
    StoreUnreachable, BadDataset
        The published dataset, whose calendar the device needs, cannot be read.
    """
    folder = StateFolder(root)
    folder.require()
    credentials = folder.key_folder(credentials)
    with exclusive(folder):
        config = load_config(folder.config)
        manifest = PublishedSources(config.stores, credentials).manifest(folder)
        start = hosted_clock_start(folder, manifest)
        with opened_venue(config, folder, credentials=credentials, start=start) as counterparty:
            notifier = channels(folder, credentials)
            device = Device(
                folder,
                config,
                manifest,
                counterparty,
                notifier,
                machine=machine or ThisMachine(),
                heartbeat=configured_heartbeat(credentials),
                credentials=credentials,
            )
            yield device
            device.remember_clock()


def channels(folder: StateFolder, credentials: Path | None) -> Notifier:
    """The channels of this device: the log, a file next to the ledger, and every address among the credentials."""
    return Channels([LogNotifier("appliance.alerts"), FileNotifier(folder.alerts)], remote=channels_of(credentials, MORE))


def hosted_clock_start(folder: StateFolder, manifest: Manifest) -> datetime:
    """Return the start of a hosted clock: where the last process left it, or where the dataset begins."""
    return hosted_time(folder.root) or manifest.calendar.session(manifest.first).close
