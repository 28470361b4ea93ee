"""The facts of a device read from its state folder, for `status`, `health.json` and the Prometheus metrics, and the verdict on them.

Entry points: `assess` (pure: the verdict), `vitals` (ledger, latch and daemon), `metrics` (pure: the facts as a Prometheus text).
Reading disturbs nothing and loads none of the jobs' libraries: the idle daemon does it every minute.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import IntEnum

from appliance.controls.latch import Latch, LatchRecord
from appliance.ledger import Ledger, alerts, halts, intents, job_runs, nav, snapshots, tripwires
from appliance.ledger.job_runs import JobRun
from appliance.schedule.job import JobStatus
from appliance.system.state_folder import DurableFs, StateFolder
from signals.text.documents import absent, from_json
from signals.text.wording import clean

RECENT_ALERTS = 50
# slots whose bundles are never traded: `UNSIZED` of `appliance.bundles.slots`, which loads the sleeves; and the former place of shadows
NOT_TRADED = frozenset({"risk", "patterns", "event_gate", "event_quantiles", "event_arms", "shadow"})
SILENT_SECONDS = 150.0
REDUCE = "reduce"
FILLING = 0.10  # `warn_free_disk`: the settings themselves are read by the processes that the daemon starts
PREFIX = "trademl_appliance_"


class HealthStatus(IntEnum):
    """The exit code of `appliance status`."""

    OK = 0
    DEGRADED = 1
    HALTED = 2
    DOWN = 3


@dataclass(frozen=True)
class Health:
    """A verdict and the sentences behind it, worst first."""

    verdict: HealthStatus
    reasons: tuple[str, ...]


def assess(latch: LatchRecord, runs: Sequence[JobRun], undelivered: int, has_bundle: bool, reduced_by: Sequence[str] = ()) -> Health:
    """Judge a device whose ledger could be read.

    Parameters
    ----------
    runs : sequence of JobRun
        Of the newest session that has any, in any order.
    undelivered : int
        Recent alerts that no channel delivered.
    has_bundle : bool
        Whether a bundle is in force.
    reduced_by : sequence of str
        Tripwires whose REDUCE is in force until a person ends it.
    """
    if not latch.is_armed:
        return Health(HealthStatus.HALTED, (latch.sentence(),))
    reasons = [f"{run.job} of {run.session} {_word(run.status)}: {run.summary}" for run in runs if run.status is not JobStatus.DONE]
    reasons += [f"{name} lets only orders leave that lower a position, until you end it" for name in reduced_by]
    if undelivered:
        reasons.append(f"{undelivered} alerts reached nobody")
    if not has_bundle:
        reasons.append("no bundle is in force")
    return Health(HealthStatus.DEGRADED if reasons else HealthStatus.OK, tuple(reasons))


def newest_session(runs: Sequence[JobRun]) -> date | None:
    """Return the newest session among the runs."""
    return max((run.session for run in runs), default=None)


def _word(status: JobStatus | None) -> str:
    return "has not ended" if status is None else f"ended as {status.value}"


@dataclass(frozen=True)
class ProcessFacts:
    """The daemon's process; `started_at` is Unix time, `expires` the last day of everything that ends."""

    pid: int = 0
    started_at: float | None = None
    working_on: str = ""
    alert_addresses: int = 0
    resident_bytes: int | None = None
    expires: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True)
class DaemonNotes:
    """The daemon's own state in `health.json`, which other processes read.

    Attributes
    ----------
    waits_for, tries_again : tuple of str
        Why it does not do its work, and jobs that it tries again; empty when all is well.
    scheduled : tuple of str
        The wake-ups ahead.
    """

    waits_for: tuple[str, ...] = ()
    tries_again: tuple[str, ...] = ()
    scheduled: tuple[str, ...] = ()
    at: datetime | None = absent()
    process: ProcessFacts | None = absent()


@dataclass(frozen=True, kw_only=True)
class HealthFacts(DaemonNotes):
    """The whole of `health.json`, which `status --json` prints too.

    Attributes
    ----------
    session : date or None
        Newest session with a job; `checks` and `jobs` are of that session.
    last_done : mapping of job to datetime
        When each last ended well.
    free_disk : float
        Share of the disk below the state folder.
    """

    verdict: str
    reasons: tuple[str, ...]
    latch: str
    armed: bool
    halt_id: str
    session: date | None
    equity: str | None
    positions: int | None
    account_of: str | None
    real_nav: str | None
    real_nav_of: str | None
    bundle: str | None
    bundle_age: float | None
    scored_asof: str | None
    last_job: str | None
    reductions: tuple[str, ...]
    undelivered: int
    unfinished_orders: int
    free_disk: float
    tripped: tuple[str, ...]
    checks: Mapping[str, str | None]
    jobs: Mapping[str, str]
    last_done: Mapping[str, datetime]
    daemon: str

    @property
    def health(self) -> Health:
        """The verdict and the sentences behind it."""
        return Health(HealthStatus[self.verdict.upper()], self.reasons)


@dataclass(frozen=True)
class DaemonFacts:
    """Facts about the process that runs the jobs.

    Attributes
    ----------
    runs : bool
        A process holds the daemon's lock.
    is_expected : bool
        A daemon has run here before; a device that is driven by hand has none and is not down.
    at : datetime or None
        When it last wrote `health.json`, by the machine's clock.
    notes : DaemonNotes
        What it wrote.
    """

    runs: bool
    is_expected: bool
    at: datetime | None = None
    notes: DaemonNotes = DaemonNotes()

    def reasons(self, now: datetime) -> tuple[HealthStatus, tuple[str, ...]]:
        """Judge it at the instant `now` of the machine's clock."""
        if not self.is_expected:
            return HealthStatus.OK, ()
        if not self.runs:
            return HealthStatus.DOWN, (
                "no daemon runs: nothing is done at its hour; run `appliance run`, or `systemctl start appliance` where it is installed",
            )
        if self.at is None or (now - self.at).total_seconds() > SILENT_SECONDS:
            return HealthStatus.DOWN, ("the daemon has been silent for more than two minutes",)
        waits = (*self.notes.waits_for, *self.notes.tries_again)
        return (HealthStatus.DEGRADED if waits else HealthStatus.OK), waits


def vitals(ledger: Ledger, folder: StateFolder, now: datetime, daemon: DaemonFacts, concerns: Sequence[str] = ()) -> HealthFacts:
    """Gather the facts.

    Parameters
    ----------
    ledger : Ledger
        Open for reading.
    now : datetime
        The machine's clock.
    concerns : sequence of str
        Other reasons why it is degraded, in sentences.
    """
    latch = Latch(folder.root, DurableFs()).read()
    recent = job_runs.since(ledger, min(job_runs.sessions(ledger), default=date.min))
    session = newest_session(recent)
    runs = tuple(run for run in recent if run.session == session)
    reduced = halts.open_halts(ledger, REDUCE)
    undelivered = sum(not row.delivered for row in alerts.newest(ledger, RECENT_ALERTS))
    checks = tripwires.of_session(ledger, session) if session else ()
    bundle = _bundle(folder)
    base = assess(latch, runs, undelivered, bundle is not None, [row.name for row in reduced])
    verdict, reasons = daemon.reasons(now)
    worst = max(base.verdict, verdict, HealthStatus.DEGRADED if concerns else HealthStatus.OK)
    value, held, last = nav.history(ledger, date.max, 1), snapshots.latest(ledger), runs[-1] if runs else None
    return HealthFacts(
        verdict=worst.name.lower(),
        reasons=(*reasons, *base.reasons, *concerns),
        latch=latch.sentence(),
        armed=latch.is_armed,
        halt_id=latch.halt_id,
        session=session,
        equity=str(held.equity) if held else None,
        positions=len(held.positions) if held else None,
        account_of=held.when if held else None,
        real_nav=str(value[-1].restated_nav) if value else None,
        real_nav_of=f"close of {value[-1].session}" if value else None,
        bundle=bundle,
        bundle_age=_number(next((row.value for row in checks if row.name == "BUNDLE_AGEING"), None)),
        scored_asof=_text(ledger.value("SELECT max(asof) FROM scores")),
        last_job=f"{last.job}: {last.summary}" if last else None,
        reductions=tuple(row.name for row in reduced),
        undelivered=undelivered,
        unfinished_orders=len(intents.unfinished(ledger)),
        free_disk=round(_free(folder), 4),
        tripped=tuple(row.name for row in checks if row.tripped),
        checks={row.name: row.value for row in checks},
        jobs={run.job: run.status.value if run.status else "running" for run in runs},
        last_done=dict(sorted(_last_done(recent).items())),
        daemon="runs" if daemon.runs else ("down" if daemon.is_expected else "none"),
        waits_for=daemon.notes.waits_for,
        tries_again=daemon.notes.tries_again,
        scheduled=daemon.notes.scheduled if daemon.runs else (),
    )


def is_filling(folder: StateFolder) -> bool:
    """Whether somebody should look for room on the disk, by the limit that is the default."""
    return _free(folder) < FILLING


def daemon_facts(folder: StateFolder) -> DaemonFacts:
    """Look for a daemon: who holds its lock, and what it wrote last."""
    if not folder.daemon_lock.exists():
        return DaemonFacts(runs=False, is_expected=False)
    content = DurableFs().read(folder.health)
    try:
        notes = from_json(DaemonNotes, json.loads(content) if content else {})
    except ValueError:  # torn, or not this program's
        notes = DaemonNotes()
    return DaemonFacts(_is_locked(folder), True, notes.at, notes)


def metrics(facts: HealthFacts, now: datetime) -> str:
    """Render the facts as a Prometheus text: one line a figure, no times of their own."""
    daemon = facts.process or ProcessFacts()
    lines = [
        _gauge("verdict", {"ok": 0, "degraded": 1, "halted": 2, "down": 3}[facts.verdict], "0 ok, 1 degraded, 2 halted, 3 down"),
        _gauge("armed", facts.armed, "1 while orders may be sent"),
        _gauge("halted", bool(facts.halt_id), "1 while a halt is in force"),
        _gauge("reductions", len(facts.reductions), "reductions in force until a person ends them"),
        _gauge("tripwires_tripped", len(facts.tripped), "checks of the newest session that tripped"),
        _gauge("alerts_undelivered", facts.undelivered, "recent alerts that reached nobody"),
        _gauge("orders_unfinished", facts.unfinished_orders, "orders that have not ended"),
        _gauge("equity_usd", _number(facts.equity), "of the account as last agreed"),
        _gauge("real_nav_usd", _number(facts.real_nav), "what the book would be worth outside a paper account"),
        _gauge("positions", facts.positions, "held as last agreed"),
        _gauge("bundle_in_force", facts.bundle is not None, "1 when there is one"),
        _gauge("bundle_age", facts.bundle_age, "of the bundle in force, as a share of its limit"),
        _gauge("free_disk_ratio", facts.free_disk, "of the disk with the state folder"),
        _gauge("data_age_days", _days(facts.scored_asof, now), "since the newest scored session"),
        _gauge("clock_skew_seconds", _number(facts.checks.get("CLOCK_SKEW")), "to the broker, as last measured"),
        _gauge("temperature_celsius", _number(facts.checks.get("TEMP")), "of the hottest zone, as last measured"),
        _gauge("reconcile_breaks", _number(facts.checks.get("RECON_BREAK")), "differences in the last reconcile"),
        _gauge("ready", not facts.waits_for, "1 when the daemon does its work"),
        _gauge("daemon_resident_bytes", daemon.resident_bytes, "memory of the idle daemon"),
        _gauge("daemon_start_seconds", daemon.started_at, "when the daemon started, Unix time"),
        _gauge("health_written_seconds", now.timestamp(), "when this was written, Unix time"),
        *_labelled(
            "expires_seconds",
            "what",
            {name: datetime.combine(day, time.max, UTC).timestamp() for name, day in daemon.expires.items()},
            "the end of the key set, the calendar and credentials, Unix time",
        ),
        *_labelled(
            "job_last_done_seconds",
            "job",
            {job: at.timestamp() for job, at in facts.last_done.items()},
            "when each job last ended well, Unix time",
        ),
        *_labelled(
            "job_ended_well",
            "job",
            {job: status == JobStatus.DONE.value for job, status in facts.jobs.items()},
            "1 for a job of the newest session that ended well",
        ),
    ]
    return "".join(line for line in lines if line)


def _gauge(name: str, value: float | bool | None, words: str) -> str:
    if value is None:
        return ""
    head = f"# HELP {PREFIX}{name} {words}\n# TYPE {PREFIX}{name} gauge\n"
    return f"{head}{PREFIX}{name} {float(value):.15g}\n"


def _labelled(name: str, label: str, values: Mapping[str, float], words: str) -> list[str]:
    if not values:
        return []
    head = f"# HELP {PREFIX}{name} {words}\n# TYPE {PREFIX}{name} gauge\n"
    return [head, *(f'{PREFIX}{name}{{{label}="{_escaped(key)}"}} {float(value):.15g}\n' for key, value in sorted(values.items()))]


def _escaped(text: str) -> str:
    return clean(text).replace("\\", "\\\\").replace('"', '\\"')


def _last_done(runs: tuple[JobRun, ...]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for run in runs:
        if run.status is JobStatus.DONE and run.finished_at is not None:
            found[run.job] = max(run.finished_at, found.get(run.job, run.finished_at))
    return found


def _bundle(folder: StateFolder) -> str | None:
    """The bundles of the traded sleeves; None where none can be read."""
    found = []
    for place in sorted(folder.bundles.glob("*/current.json")):
        try:
            pointer = json.loads(place.read_bytes())
            name = f"{pointer['seq']}-{pointer['bundle_id']}"
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found += [] if place.parent.name in NOT_TRADED else [name]
    return ", ".join(found) or None


def _free(folder: StateFolder) -> float:
    usage = shutil.disk_usage(folder.root)
    return usage.free / usage.total


def _is_locked(folder: StateFolder) -> bool:
    descriptor = os.open(folder.daemon_lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _number(text: object) -> float | None:
    try:
        return float(str(text)) if text is not None else None
    except ValueError:
        return None


def _days(asof: str | None, now: datetime) -> float | None:
    return None if asof is None else float((now.date() - date.fromisoformat(asof)).days)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
