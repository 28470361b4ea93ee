"""Health checks of the device's state: bundle, data, ledger, latch, backups and daemon."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from appliance.backup.copies import listed, shorter
from appliance.backup.vault import vault_at
from appliance.bundles.slots import Slot, load_slot, traded_slots
from appliance.doctor.finding import Finding, bad, ok, warn
from appliance.doctor.probe import DeviceProbe
from appliance.ledger import AccessMode, Ledger, alerts, intents, job_runs
from appliance.ledger.figures import PullFigures
from appliance.status.upkeep import expiries, expiry_reasons
from appliance.status.vitals import RECENT_ALERTS, daemon_facts
from appliance.system.state_folder import DurableFs
from signals.errors import BundleRefused
from signals.market.sessions import SessionStatus

PULL = "pull"
OLD_BACKUP = timedelta(days=4)  # a long weekend has no session


def bundle(patient: DeviceProbe) -> Iterator[Finding]:
    """The bundle of every traded sleeve, verified again from its signature to its golden vectors."""
    slots = traded_slots(patient.config)
    for slot in slots:
        try:
            yield _bundle_of(slot, patient)
        except BundleRefused as error:
            if len(slots) == 1:
                raise
            yield bad("bundle", f"{slot.name}: {error}", "Publish a bundle of this sleeve, or take it out of `sleeves` in config.yml")
    for expiring in expiry_reasons(expiries(patient.folder.bundles, patient.manifest.calendar, patient.credentials), patient.now.date()):
        says, _, advice = expiring.partition(": ")
        yield warn("bundle", says, advice[:1].upper() + advice[1:])


def _bundle_of(slot: Slot, patient: DeviceProbe) -> Finding:
    calendar = patient.manifest.calendar
    asof = calendar.last_closed(patient.now)
    found = load_slot(slot, patient.folder, DurableFs(), asof, patient.config, calendar)
    manifest, age, most = found.manifest, found.age_sessions, found.age_limit_sessions
    which = "" if len(patient.config.sleeves) == 1 else f"{slot.name} "
    says = f"{which}{manifest.seq}-{manifest.bundle_id}, {manifest.role.value}, {age} of {most} sessions old"
    fix = "Retrain the accepted model on the training host and publish it"
    if age > most * patient.config.tripwires.max_bundle_age:
        return bad("bundle", f"{says}: nothing that adds risk leaves", fix)
    if age > most * patient.config.tripwires.warn_bundle_age:
        return warn("bundle", says, fix)
    return ok("bundle", f"{says}; signature and golden vectors hold")


def data(patient: DeviceProbe) -> Iterator[Finding]:
    """The newest session that was taken over, against the newest that has closed."""
    closed = patient.manifest.calendar.last_closed(patient.now)
    if patient.manifest.last < closed:
        behind = patient.manifest.calendar.between(patient.manifest.last, closed)
        yield warn(
            "data",
            f"what is published ends {patient.manifest.last}, {len(behind) - 1} sessions ago",
            "Publish the dataset: `trainer publish-data --data FOLDER --to STORE --keys FOLDER`",
        )
    with Ledger(patient.folder.ledger, AccessMode.READ) as ledger:
        runs = [job_runs.find(ledger, day, PULL) for day in job_runs.sessions(ledger)]
    read = [run.read(PullFigures) for run in runs if run is not None]
    pulls = [found for found in read if found.asof is not None]
    fix = "Run `appliance pull --session D`; `trainer audit --data FOLDER` says what is wrong with a session"
    if not pulls:
        yield warn("data", "nothing has been pulled yet", "Run `appliance pull --session D`")
        return
    asof, status = pulls[-1].asof, pulls[-1].status
    if status not in (SessionStatus.GREEN.value, SessionStatus.AMBER.value):
        yield bad("data", f"{asof} is {status}", fix)
    elif status == SessionStatus.AMBER.value:
        yield warn("data", f"{asof} is {status}: {'; '.join(pulls[-1].reasons)}", fix)
    else:
        yield ok("data", f"bars to {asof}, which is {status}")


def ledger(patient: DeviceProbe) -> Iterator[Finding]:
    """The thorough check, and what in it waits for somebody."""
    with Ledger(patient.folder.ledger, AccessMode.READ) as found:
        verdict = found.integrity()
        unfinished = len(intents.unfinished(found))
        lost = sum(not row.delivered for row in alerts.newest(found, RECENT_ALERTS))
    if verdict != "ok":
        yield bad("ledger", f"it fails its check: {verdict}", "Stop the device and run `appliance restore`")
        return
    size = patient.folder.ledger.stat().st_size / 2**20
    if lost:
        yield warn("ledger", f"{lost} alerts reached nobody", "See `appliance alerts`; correct the credential alert-urls")
    yield ok("ledger", f"whole, {size:.1f} MB, {unfinished} orders unfinished")


def latch(patient: DeviceProbe) -> Iterator[Finding]:
    """Whether orders may be sent."""
    latch_record = patient.latch
    if latch_record.is_armed:
        yield ok("latch", latch_record.sentence())
    elif latch_record.is_fresh:
        yield warn("latch", latch_record.sentence(), "Run `appliance arm --session D`: it shows the plan first")
    else:
        yield bad(
            "latch", latch_record.sentence(), f"Find the cause, then run `appliance rearm --halt-id {latch_record.halt_id} --reason TEXT`"
        )


def backup(patient: DeviceProbe) -> Iterator[Finding]:
    """A place for copies of the ledger, on another disk, with a young one in it."""
    place, root = patient.config.backup.to, patient.folder.root
    if not place:
        yield warn("backup", "no place for backups is set", "Write a folder on another disk to backup.to in config.yml")
        return
    found = listed(vault_at(patient.config.backup, root, patient.credentials))
    folder = root / place
    if folder.is_dir() and _disk(folder) == _disk(root):
        yield warn("backup", f"{folder} is on the disk that holds the ledger", "Choose a folder on another disk")
    if not found:
        yield warn("backup", "there is none yet", "Run `appliance backup`")
        return
    newest, age = found[-1], patient.real - found[-1].at
    says = f"{len(found)}, the newest of {newest.at:%Y-%m-%d %H:%M} UTC"
    if fuller := shorter(newest, found):
        yield warn(
            "backup",
            f"the newest holds less than that of {fuller.at:%Y-%m-%d %H:%M} UTC",
            "Was the ledger lost? `appliance restore --name NAME` takes the one that you name",
        )
    if age > OLD_BACKUP and not patient.config.venue.is_hosted:
        yield warn("backup", says, "See why in `appliance jobs`, then run `appliance backup`")
    else:
        yield ok("backup", says)


def daemon(patient: DeviceProbe) -> Iterator[Finding]:
    """The process that starts the jobs."""
    facts = daemon_facts(patient.folder)
    if not facts.is_expected:
        yield ok("daemon", "this device is driven by hand")
        return
    verdict, reasons = facts.reasons(patient.real)
    if not verdict:
        yield ok("daemon", "it runs and waits for nothing")
    elif facts.runs:
        yield warn("daemon", "; ".join(reasons), "Read `journalctl -u appliance -o cat`")
    else:
        yield bad("daemon", "; ".join(reasons), "Run `systemctl start appliance`, and read why it ended in its journal")


def _disk(path: Path) -> int:
    return path.stat().st_dev
