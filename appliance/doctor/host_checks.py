"""Health checks of the host and its surroundings: settings, disk, credentials, clock, network and calendar."""

import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from appliance.alerts.heartbeat import ADDRESS, configured_heartbeat
from appliance.config import ClockSource
from appliance.doctor.finding import Finding, bad, ok, warn
from appliance.doctor.probe import DeviceProbe
from appliance.runtime.venue import KEY_FILE, SECRET_FILE
from appliance.system.time_sync import MAX_SKEW_SECONDS
from signals.alerts.addresses import channels_of
from signals.alerts.alert import ADDRESSES
from signals.storage.places import is_s3
from signals.storage.s3 import read_keys

FEWEST_SESSIONS, FEW_SESSIONS = 6, 60
ENOUGH_CHANNELS = 2
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def config(patient: DeviceProbe) -> Iterator[Finding]:
    """Settings that can be read, in a folder that is the device's own."""
    settings = patient.config
    mode = patient.folder.root.stat().st_mode
    if mode & OTHERS:
        yield warn("config", f"other users may look into {patient.folder.root}", f"Run `chmod 700 {patient.folder.root}`")
    yield ok("config", f"venue {settings.venue.broker.value}, decisions {settings.decision_hash()[:12]}")


def disk(patient: DeviceProbe) -> Iterator[Finding]:
    """Room on the disk, the machine's temperature and its power supply."""
    limits, seen = patient.config.tripwires, patient.machine.read(patient.folder.root)
    make_room = "Free space on the disk with the state folder, or replace it with a larger one"
    free = seen.free_disk
    if not isinstance(free, float):
        yield bad("disk", "the disk cannot be measured", make_room)
    elif free < limits.halt_free_disk:
        yield bad("disk", f"{free:.1%} is free: the device halts under {limits.halt_free_disk:.0%}", make_room)
    elif free < limits.warn_free_disk:
        yield warn("disk", f"{free:.1%} is free", make_room)
    else:
        gigabytes = shutil.disk_usage(patient.folder.root).free / 2**30
        yield ok("disk", f"{free:.0%} is free, {gigabytes:.1f} GB")
    heat, power = seen.temperature_celsius, seen.under_voltage
    if heat is None or power is None:
        yield warn("disk", "a sensor of this machine cannot be read", "Look at /sys/class/thermal and /sys/class/hwmon")
    if isinstance(heat, float) and heat > limits.warn_temperature_celsius:
        yield warn("disk", f"the machine is {heat:.0f} degrees Celsius hot", "Give it air or a heat sink")
    if isinstance(power, float) and power:
        yield warn("disk", "the power supply sags", "Use the supply that the board's maker names, and a short cable")


def credentials(patient: DeviceProbe) -> Iterator[Finding]:
    """Key files that the venue, the stores and the channels need; what is in them is never shown."""
    folder = patient.credentials
    if patient.is_paper:
        yield from _key_files(folder)
    if any(is_s3(place) for place in (patient.config.stores.data, patient.config.stores.bundles)):
        read_keys(folder)
        yield ok("credentials", "the key pair of the object store is there")
    reached, watched = len(channels_of(folder)), configured_heartbeat(folder).is_set
    if reached < ENOUGH_CHANNELS:
        yield warn(
            "credentials",
            f"{reached} addresses are notified of a halt",
            f"Write two that do not depend on each other to the credential {ADDRESSES}, one a line",
        )
    if not watched:
        yield warn(
            "credentials",
            "nobody outside hears when this device falls silent",
            f"Write the address of a dead-man's check to the credential {ADDRESS}",
        )
    if reached >= ENOUGH_CHANNELS and watched:
        yield ok("credentials", f"{reached} addresses are notified, and an address of an external watcher is there")


def _key_files(folder: Path | None) -> Iterator[Finding]:
    fix = f"Put the paper account's {KEY_FILE} and {SECRET_FILE} there; under systemd with LoadCredentialEncrypted"
    if folder is None:
        yield bad("credentials", "a paper account needs credentials and none were given", fix)
        return
    for name in (KEY_FILE, SECRET_FILE):
        path = folder / name
        if not path.is_file() or not path.read_text(encoding="utf-8").strip():
            yield bad("credentials", f"{path} is missing or empty", fix)
        elif path.stat().st_mode & OTHERS:
            yield warn("credentials", f"other users may read {path}", f"Run `chmod 600 {path}`")
        else:
            yield ok("credentials", f"{name} is there")


def clock(patient: DeviceProbe) -> Iterator[Finding]:
    """A clock that is synchronised and agrees with the broker's; an exchange of our own brings its time along."""
    exchange, broker = patient.addresses
    if not patient.is_paper:
        yield ok("clock", f"the exchange owns the time: {patient.now:%Y-%m-%d %H:%M} UTC")
        return
    fix = "Start chrony and give it a time server; a Raspberry Pi 5 keeps the time when it has a battery"
    is_host = patient.config.clock is ClockSource.HOST
    if reason := patient.unsynchronised() if is_host else "":
        yield bad("clock", reason, fix)
    skew = patient.skew(exchange or broker, patient.clock)
    if skew > MAX_SKEW_SECONDS:
        yield bad("clock", f"{skew:.1f} s or more off the broker's", fix)
    elif not reason:
        yield ok(
            "clock", "synchronised, and agrees with the broker's" if is_host else "agrees with the broker's, whose word alone counts here"
        )


def network(patient: DeviceProbe) -> Iterator[Finding]:
    """The published dataset, and the account behind the credentials."""
    yield ok("network", f"{patient.published.name} is published to {patient.published.last}")
    if patient.config.venue.is_hosted:
        yield ok("network", "the exchange lives in this device: no broker is asked")
        return
    account = patient.account()
    if account.status != "ACTIVE" or account.is_blocked:
        yield bad(
            "network",
            f"the account is {account.status}{', blocked' if account.is_blocked else ''}",
            "Look at the account's page at the broker",
        )
    else:
        yield ok("network", f"the broker answers, equity {account.equity:,.2f} USD")


def calendar(patient: DeviceProbe) -> Iterator[Finding]:
    """A calendar that reaches far enough."""
    known, now = patient.manifest.calendar, patient.now
    left = sum(session.open > now for session in known.sessions)
    fix = "Publish the dataset again: its calendar reaches three years past its last session"
    if left < FEWEST_SESSIONS:
        yield bad("calendar", f"it ends in {left} sessions, on {known.sessions[-1].day}", fix)
    elif left < FEW_SESSIONS:
        yield warn("calendar", f"it ends in {left} sessions, on {known.sessions[-1].day}", fix)
    else:
        ahead = next(session for session in known.sessions if session.open > now)
        early = ", an early close" if ahead.is_early_close else ""
        wait = (ahead.open - now) // timedelta(hours=1)
        yield ok("calendar", f"the next session is {ahead.day}, in {wait} h{early}; {left} are known")
