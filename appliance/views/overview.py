"""The overview of a device: mode, concerns, account, data, bundle and next job."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from appliance.controls import pause
from appliance.controls.latch import Latch, LatchRecord
from appliance.controls.tripwires import TripwireAction
from appliance.ledger import Ledger, alerts, job_runs, nav, snapshots, tripwires
from appliance.ledger.figures import PullFigures
from appliance.schedule.timetable import AT_THE_OPEN, TIMETABLE, Entering, table_of
from appliance.status.upkeep import expiries, expiry_reasons
from appliance.status.vitals import HealthStatus, assess, daemon_facts
from appliance.system.state_folder import DurableFs, StateFolder
from appliance.views import bundle_facts as bundles
from appliance.views import runs, tripwire_checks
from appliance.views.view import View, ViewRow, fact, newest_session, percent
from signals.errors import NotASession
from signals.market.sessions import NEW_YORK, Calendar
from signals.schedule.job_windows import Timetable, windows

COLUMNS = ("section", "fact", "value")
CURVE_SESSIONS = 90
RECENT_ALERTS = 50
TOP_CHECKS = 8
SILENT_AFTER_SECONDS = 120.0


class TradingMode(StrEnum):
    """The trading mode of the device."""

    ARMED = "ARMED"
    REDUCE = "REDUCE"
    HALTED = "HALTED"


class DaemonState(StrEnum):
    """Whether the process that runs the jobs is alive."""

    ALIVE = "alive"
    SILENT = "silent"
    ABSENT = "absent"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class NextJob:
    """The next job of the timetable."""

    job: str
    session: date
    at: datetime
    purpose: str


@dataclass(frozen=True)
class AccountFigures:
    """The account at one agreement with the broker; all of it of the same session and phase.

    Attributes
    ----------
    of : str
        Phase and session; empty before the first agreement.
    day_pnl, day_return
        Against the close before that session.
    gross, net : float or None
        Shares of equity; None when a holding has no price.
    """

    of: str = ""
    session: date | None = None
    equity: Decimal | None = None
    day_pnl: Decimal | None = None
    day_return: float | None = None
    gross: float | None = None
    net: float | None = None
    positions: int | None = None


@dataclass(frozen=True)
class Overview:
    """The facts of the overview.

    Attributes
    ----------
    concerns : tuple of str
        Why a person should look, worst first; empty when all is well.
    halt_id : str
        Of the halt in force; empty while armed or on a fresh device.
    session : date or None
        Newest session with a job.
    real_nav_of : date or None
        The session at whose close the real NAV was taken.
    curve : tuple of float
        Paper NAV of the last sessions in USD, oldest first.
    behind_sessions : int or None
        Sessions by which the newest scored data trails the last closed one; None without a calendar.
    near : tuple of dict
        The checks that tripped, then those that use most of their limit.
    """

    mode: TradingMode
    concerns: tuple[str, ...]
    latch: LatchRecord
    session: date | None
    account: AccountFigures
    real_nav: Decimal | None
    real_nav_of: date | None
    curve: tuple[float, ...]
    asof: date | None
    data_status: str | None
    behind_sessions: int | None
    bundle: str | None
    bundle_role: str | None
    bundle_age: str | None
    next_job: NextJob | None
    daemon: DaemonState
    daemon_at: datetime | None
    near: tuple[ViewRow, ...]
    jobs: tuple[ViewRow, ...]
    agreed: str

    @property
    def halt_id(self) -> str:
        """Id of the halt in force."""
        return self.latch.halt_id

    @property
    def is_stale(self) -> bool:
        """Whether the newest data is older than the last closed session allows."""
        return bool(self.behind_sessions and self.behind_sessions > 0)

    def view(self) -> View:
        """The same facts as a table."""
        held = self.account
        rows = [
            fact("state", "mode", self.mode.value),
            fact("state", "latch", self.latch.sentence()),
            *(fact("state", "look at", text) for text in self.concerns),
            fact("state", "daemon", self.daemon.value),
            fact("state", "daemon seen", self.daemon_at),
            fact("account", "of", held.of),
            fact("account", "equity", held.equity),
            fact("account", "day P&L", held.day_pnl),
            fact("account", "day return", None if held.day_return is None else percent(held.day_return)),
            fact("account", "gross", None if held.gross is None else percent(held.gross)),
            fact("account", "net", None if held.net is None else percent(held.net)),
            fact("account", "positions", held.positions),
            fact("account", "real NAV", self.real_nav),
            fact("account", "real NAV of", "" if self.real_nav_of is None else f"close of {self.real_nav_of}"),
            fact("account", "both books", self.agreed),
            fact("data", "asof", self.asof),
            fact("data", "status", self.data_status),
            fact("data", "sessions behind", self.behind_sessions),
            fact("bundle", "in force", self.bundle),
            fact("bundle", "role", self.bundle_role),
            fact("bundle", "age", self.bundle_age),
            fact("next", "job", None if self.next_job is None else self.next_job.job),
            fact("next", "at", None if self.next_job is None else f"{self.next_job.at.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M} New York"),
        ]
        return View(COLUMNS, tuple(rows), "", self.session, {"near": list(self.near), "jobs": list(self.jobs)})


@dataclass(frozen=True)
class DeviceTime:
    """The device's time, calendar and entry, as far as they are known.

    Attributes
    ----------
    now : datetime or None
        The venue's time, UTC; None where that is not known: nothing is called late then.
    calendar : Calendar or None
        The frozen sessions of the published dataset, where they could be read.
    is_hosted : bool
        The venue is an exchange inside the device's own processes: time moves with `run-day`, without a daemon.
    real : datetime
        The machine's clock, by which a daemon is silent or not.
    entering : Entering
        When plans enter the market: it decides the timetable.
    no_time : str
        Why `now` is not known, where that is a concern.
    """

    now: datetime | None
    calendar: Calendar | None
    is_hosted: bool
    real: datetime
    entering: Entering = AT_THE_OPEN
    no_time: str = ""


def overview(ledger: Ledger, folder: StateFolder, time: DeviceTime) -> Overview:
    """Gather everything one look needs."""
    latch = Latch(folder.root, DurableFs()).read()
    session = newest_session(ledger)
    todays = runs.of_session(ledger, session) if session else ()
    found = bundles.traded(folder.bundles)
    tripped = [row for row in tripwires.of_session(ledger, session) if row.tripped] if session else []
    daemon, seen = (DaemonState.NOT_NEEDED, None) if time.is_hosted else daemon_state(folder, time.real)
    asof, status = _data(ledger)
    behind = _behind(asof, time.now, time.calendar)
    undelivered = sum(not row.delivered for row in alerts.newest(ledger, RECENT_ALERTS))
    health = assess(latch, todays, undelivered, bool(found))
    concerns = [
        *(health.reasons if health.verdict is not HealthStatus.OK else ()),
        *(f"{row.name} tripped ({row.action}): {row.detail}" for row in tripped),
        *(f"bundle: {text}" for one in found.values() for text in one.faults),
        *filter(None, (pause.sentence(DurableFs(), folder, session or date.min),)),
        *_concerns_of_time(folder, time),
        *((f"the newest scores are of {asof}, {behind} sessions behind the last close",) if behind else ()),
    ]
    checked = tripwire_checks.checks(ledger, session).rows if session else ()
    values = nav.history(ledger, date.max, CURVE_SESSIONS)
    last = values[-1] if values else None
    return Overview(
        mode=_mode(latch, tripped),
        concerns=tuple(concerns),
        latch=latch,
        session=session,
        account=_account(ledger, values),
        real_nav=last.restated_nav if last else None,
        real_nav_of=last.session if last else None,
        curve=tuple(float(row.paper_nav) for row in values),
        asof=asof,
        data_status=status,
        behind_sessions=behind,
        bundle=_each(found, lambda _, one: one.name),
        bundle_role=_each(found, lambda _, one: one.manifest.role),
        bundle_age=_each(found, lambda sleeve, one: _bundle_age(ledger, sleeve, one.manifest)),
        next_job=next_job(ledger, time.now, time.calendar, table_of(time.entering)),
        daemon=daemon,
        daemon_at=seen,
        near=tuple(checked[:TOP_CHECKS]),
        jobs=tuple(runs.jobs(ledger, session).rows) if session else (),
        agreed=_agreed(ledger, todays),
    )


def _concerns_of_time(folder: StateFolder, time: DeviceTime) -> Iterator[str]:
    if time.no_time:
        yield f"{time.no_time}: neither the next job nor whether the data are late is known"
    if time.now:
        published = daemon_facts(folder).notes.process
        ends = {**(published.expires if published else {}), **expiries(folder.bundles, time.calendar)}
        yield from expiry_reasons(ends, time.now.date())


def _account(ledger: Ledger, values: tuple[nav.NavRow, ...]) -> AccountFigures:
    """Everything from the newest agreement with the broker, against the close before it."""
    held, start = snapshots.latest(ledger), snapshots.first(ledger)
    if held is None:
        return AccountFigures()
    first = start.last_equity if start else None
    before = next((row.paper_nav for row in reversed(values) if row.session < held.session), first)
    worth, equity = held.values, held.equity
    is_priced = worth is not None and equity > 0
    return AccountFigures(
        of=held.when,
        session=held.session,
        equity=equity,
        positions=len(held.positions),
        day_pnl=equity - before if before is not None else None,
        day_return=float(equity / before - 1) if before else None,
        gross=float(sum(map(abs, worth or ())) / equity) if is_priced else None,
        net=float(sum(worth or ()) / equity) if is_priced else None,
    )


def daemon_state(folder: StateFolder, now: datetime) -> tuple[DaemonState, datetime | None]:
    """Return whether `health.json` has been written within the last two minutes of the machine's clock."""
    content = DurableFs().read(folder.root / "health.json")
    if content is None:
        return DaemonState.ABSENT, None
    try:
        seen = datetime.fromisoformat(json.loads(content)["at"])
    except (ValueError, KeyError, TypeError):
        return DaemonState.SILENT, None
    age = (now - seen).total_seconds()
    return (DaemonState.ALIVE if age <= SILENT_AFTER_SECONDS else DaemonState.SILENT), seen


def next_job(ledger: Ledger, now: datetime | None, calendar: Calendar | None, table: Timetable = TIMETABLE) -> NextJob | None:
    """Return the first job of the timetable that is still to come."""
    if calendar is None or now is None:
        return None
    try:
        session = calendar.last_closed(now)
        for _ in range(3):
            for slot, row in zip(table, windows(session, calendar, table), strict=True):
                run = job_runs.find(ledger, session, row.job)
                if row.at > now and (run is None or run.status is None):
                    return NextJob(row.job, session, row.at, slot.purpose)
            session = calendar.next(session)
    except NotASession:
        return None
    return None


def _mode(latch: LatchRecord, tripped: list[tripwires.TripwireRow]) -> TradingMode:
    if not latch.is_armed:
        return TradingMode.HALTED
    return TradingMode.REDUCE if any(row.action == TripwireAction.REDUCE.value for row in tripped) else TradingMode.ARMED


def _data(ledger: Ledger) -> tuple[date | None, str | None]:
    newest = ledger.value("SELECT max(asof) FROM scores")
    day = ledger.value("SELECT max(session) FROM job_runs WHERE job = 'pull' AND status = 'done'")
    run = job_runs.find(ledger, date.fromisoformat(day), "pull") if isinstance(day, str) else None
    status = run.read(PullFigures).status if run else None
    return (date.fromisoformat(newest) if isinstance(newest, str) else None), status


def _behind(asof: date | None, now: datetime | None, calendar: Calendar | None) -> int | None:
    """Sessions whose scores are overdue: those of a session are due in the evening after its close."""
    if asof is None or now is None or calendar is None:
        return None
    try:
        last = calendar.last_closed(now)
        due = last if now >= windows(calendar.next(last), calendar, TIMETABLE)[1].deadline else calendar.previous(last)
        return max(0, len(calendar.between(asof, due)) - 1) if due >= asof else 0
    except NotASession:
        return None


def _each(found: Mapping[str, bundles.BundleFacts], of: Callable[[str, bundles.BundleFacts], str | None]) -> str | None:
    """What is said of the traded bundle, of several with each one's sleeve; None where nothing is."""
    said = {sleeve: of(sleeve, one) for sleeve, one in found.items()}
    if len(said) <= 1:
        return next(iter(said.values()), None)
    return ", ".join(f"{sleeve} {text}" for sleeve, text in said.items() if text is not None) or None


def _bundle_age(ledger: Ledger, sleeve: str, manifest: bundles.ManifestFacts) -> str | None:
    age = bundles.last_use(ledger, sleeve).age_sessions
    return None if age is None else f"{age} of {manifest.expiry_sessions} sessions"


def _agreed(ledger: Ledger, todays: tuple[job_runs.JobRun, ...]) -> str:
    found = [run for run in todays if run.job.startswith("reconcile") and run.status is not None]
    return max(found, key=lambda run: run.started_at).summary if found else "not compared for this session yet"
