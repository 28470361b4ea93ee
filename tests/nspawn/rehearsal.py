"""Five accelerated sessions of the real unit under a real systemd, with four accidents in the middle.

A Debian root is booted by `systemd-nspawn`; the unit of this repository runs in it, hardened as on a device, against an
exchange that is served beside it and owns the time. On the way:

session 2   SIGKILL of the daemon while it trades
session 3   the daemon hangs (SIGSTOP): the watchdog ends it
session 4   the machine loses its power, and is switched on again
session 5   the disk is full while the day is closed, and has room again later

Afterwards every job of every session has exactly one terminal row, no order was sent twice, and the books agree.

    make nspawn-test            # as root; builds the Debian root under var/nspawn on first use (needs debootstrap)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import requests

from appliance.schedule.timetable import JOBS, TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.store import Published, publish_store

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = "systemd-sysv,dbus,python3,libgomp1,libstdc++6,tzdata"
STATE, STORE, PROGRAM = "/var/lib/appliance", "/srv/store", "/opt/appliance/current/bin/appliance"
DISK = "160M"
IDLE_MEGABYTES = 60
UP = ("running", "degraded")
PATIENCE = 3  # a busy machine needs longer, and says the same
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
DROP_IN = f"""[Service]
ExecStart=
ExecStart={PROGRAM} run --look-every 0.25 --retry-after 1
WatchdogSec=10
RestartSec=1
"""


NEEDED = {  # program: the Debian package that brings it
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "curl": "curl",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "git": "git",
    "tar": "tar",
}


def lacking() -> str:
    """Return what this machine lacks for a rehearsal and how to get it; empty where nothing is missing."""
    if os.geteuid() != 0:
        return "a rehearsal boots machines: run it as root"
    missing = sorted(program for program in NEEDED if shutil.which(program) is None)
    packages = " ".join(sorted({NEEDED[program] for program in missing}))
    return f"missing: {', '.join(missing)}. Run `apt-get install {packages}`" if missing else ""


def foreign_python() -> str:
    """Say it where the environment's Python is not the one that the guest has too; empty where it is."""
    if Path(sys.base_prefix) == Path("/usr"):
        return ""
    return (
        f"{sys.prefix} is made of the Python in {sys.base_prefix}, which the guest lacks: remove the environment and"
        " run `make nspawn-test PYTHON=/usr/bin/python3`"
    )


Accident = Callable[["Rehearsal", date], None]


class Broken(Exception):
    """A rule does not hold."""


@dataclass
class Machine:
    """The booted root, switched on and off."""

    root: Path
    scratch: Path
    store: Path
    process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Put user, unit and program into the root; everything else is bound when it boots."""
        run("chroot", str(self.root), "sh", "-c", "id appliance >/dev/null 2>&1 || useradd --system appliance")
        units = self.root / "etc/systemd/system"
        shutil.copy(REPOSITORY / "systemd/appliance.service", units)
        (units / "appliance.service.d").mkdir(exist_ok=True)
        (units / "appliance.service.d/rehearsal.conf").write_text(DROP_IN)
        program = self.root / PROGRAM.lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        program.symlink_to(REPOSITORY / ".venv/bin/appliance")
        for folder in (STATE, STORE, str(REPOSITORY)):
            (self.root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/machine-id").write_text("")
        run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(self.state))
        owner = run("chroot", str(self.root), "id", "-u", "appliance").strip()
        os.chown(self.state, int(owner), int(owner))

    @property
    def state(self) -> Path:
        """The device's disk, seen from outside."""
        return self.scratch / "disk"

    def boot(self) -> None:
        """Switch it on and wait until systemd answers."""
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-b", "-D", str(self.root), "--console=pipe", *self.box()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait(lambda: self.leader() is not None, "the first process")
        self.plug_in()
        wait(lambda: self.inside_or("systemctl is-system-running || true").strip() in UP, "systemd")

    def plug_in(self) -> None:
        """Give it what it waits for while it boots: here nothing."""

    def box(self) -> list[str]:
        """What the box around it shares with this machine."""
        return ["-M", "trademl-rehearsal", f"--bind-ro={REPOSITORY}", f"--bind-ro={self.store}:{STORE}", f"--bind={self.state}:{STATE}"]

    def leader(self) -> int | None:
        """The first process inside, by its number outside."""
        assert self.process is not None
        for path in Path(f"/proc/{self.process.pid}/task/{self.process.pid}").glob("children"):
            for child in path.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return None

    def inside(self, command: str) -> str:
        """Run a shell command inside, as root."""
        leader = self.leader()
        if leader is None:
            raise Broken("the machine is off")
        return run("nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", "sh", "-c", command)

    def inside_or(self, command: str) -> str:
        """Run it; what fails answers its words."""
        try:
            return self.inside(command)
        except (Broken, OSError) as error:
            return str(error)

    def appliance(self, command: str) -> str:
        """Run one `appliance` command inside, as the device's user."""
        return self.inside(f"runuser -u appliance -- {PROGRAM} {command} --state {STATE}")

    def main_pid(self) -> int:
        """The daemon's number inside; 0 while it is down."""
        said = self.inside_or("systemctl show -P MainPID appliance").strip()
        return int(said) if said.isdigit() else 0

    def restarts(self) -> int:
        """How often systemd has started the daemon again since the boot."""
        return int(self.inside("systemctl show -P NRestarts appliance"))

    def cut_power(self) -> None:
        """End everything inside at once, and the box around it."""
        leader = self.leader()
        if leader is not None:
            os.kill(leader, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(timeout=60)

    def remove(self) -> None:
        """Switch it off and let the disk go."""
        if self.process is not None and self.process.poll() is None:
            self.cut_power()
        subprocess.run(["umount", str(self.state)], check=False)


@dataclass
class Rehearsal:
    """The machine, the exchange, and what has been seen."""

    machine: Machine
    published: Published
    url: str
    seen: dict[str, str] = field(default_factory=dict)
    accidents: Mapping[tuple[int, str], Accident] = field(default_factory=lambda: ACCIDENTS)

    def live(self, number: int, day: date) -> None:
        """Live through one session, with its accident."""
        for row in windows(day, self.published.manifest.calendar, TIMETABLE):
            self.advance(row.at)
            accident = self.accidents.get((number, row.job))
            if accident is not None:
                accident(self, day)
            wait(lambda job=row.job: job in self.ends(day), f"{row.job} of {day}", self.said, 240)  # type: ignore[misc]
        print(f"session {number} {day}: {self.ends(day)}", flush=True)

    def advance(self, to: datetime) -> None:
        """Move the exchange's clock, and with it the device's."""
        self.ask("/_sim/advance", {"to": to.isoformat()})

    def ask(self, path: str, body: dict[str, str] | None = None) -> Any:
        """Ask the exchange, or tell it something."""
        method = "GET" if body is None else "POST"
        keys = KEYS | steering.keys(self.url)
        answer = requests.request(method, self.url + path, json=body, headers=keys, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Answer a query on the device's ledger."""
        ledger = apsw.Connection(str(self.machine.state / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        ledger.set_busy_timeout(10_000)
        try:
            return list(ledger.execute(query, values))
        finally:
            ledger.close()

    def ends(self, day: date) -> dict[str, str]:
        """Jobs of the session with their terminal status."""
        found = self.rows("SELECT job, status FROM job_runs WHERE session = ? AND status <> 'running'", str(day))
        return {str(job): str(status) for job, status in found}

    def said(self) -> str:
        """The end of the unit's journal."""
        return self.machine.inside_or("journalctl -u appliance -n 25 --no-pager -o cat")

    def back(self, what: str, after: Callable[[], bool]) -> None:
        """Wait until the daemon is up again."""
        wait(after, what, self.said, 120)
        wait(self.is_active, "READY", self.said, 120)

    def is_active(self) -> bool:
        """Whether systemd has heard READY."""
        return "active" in self.machine.inside_or("systemctl is-active appliance").split()

    def judge(self, days: list[date]) -> None:
        """Hold what was lived through to the rules of this module."""
        for day in days:
            found = self.rows("SELECT job, count(*), min(status) FROM job_runs WHERE session = ? GROUP BY job", str(day))
            if {job for job, _, _ in found} != set(JOBS) or any(n != 1 or s == "running" for _, n, s in found):
                raise Broken(f"{day}: {found}")
        ids = [order["client_order_id"] for order in self.ask("/v2/orders?status=all&limit=500")]
        known = {cid for (cid,) in self.rows("SELECT client_order_id FROM intents")}
        if len(ids) != len(set(ids)) or set(ids) - known:
            raise Broken(f"{len(ids) - len(set(ids))} orders twice, foreign {sorted(set(ids) - known)}")
        held = {position["symbol"] for position in self.ask("/v2/positions")}
        ours = {s for (s,) in self.rows("SELECT symbol FROM positions WHERE session = ? AND phase = 'close'", str(days[-1]))}
        if held != ours:
            raise Broken(f"books differ: {held ^ ours}")
        self.seen["orders, none twice"] = str(len(ids))


def kill_the_daemon(rehearsal: Rehearsal, day: date) -> None:
    """While the first orders leave."""
    machine = rehearsal.machine
    wait(lambda: bool(rehearsal.rows("SELECT 1 FROM intents WHERE session = ? AND posts > 0", str(day))), "an order")
    before, pid = machine.restarts(), machine.main_pid()
    machine.inside(f"kill -9 {pid}")
    rehearsal.back("the restart", lambda: machine.restarts() == before + 1)
    rehearsal.seen["kill -9 while trading"] = f"pid {pid}, then {machine.main_pid()}"


def hang_the_daemon(rehearsal: Rehearsal, day: date) -> None:
    """Stop every thread of it: nothing feeds the watchdog."""
    machine = rehearsal.machine
    before, pid, began = machine.restarts(), machine.main_pid(), time.monotonic()
    machine.inside(f"kill -STOP {pid}")
    rehearsal.back("the watchdog", lambda: machine.restarts() == before + 1)
    result = machine.inside_or("journalctl -u appliance --no-pager -o cat | grep -i watchdog | tail -1").strip()
    if "watchdog" not in result.lower():
        raise Broken(f"it was not the watchdog: {rehearsal.said()}")
    rehearsal.seen["hang"] = f"{result} after {time.monotonic() - began:.0f} s"


def lose_power(rehearsal: Rehearsal, day: date) -> None:
    """In the middle of the session."""
    machine = rehearsal.machine
    machine.cut_power()
    machine.boot()
    rehearsal.back("the boot", lambda: machine.main_pid() > 0)
    rehearsal.seen["restart of the machine"] = f"booted again, pid {machine.main_pid()}"


def fill_the_disk(rehearsal: Rehearsal, day: date) -> None:
    """Fill it while the books are closed, look at what the device does, and make room again."""
    machine = rehearsal.machine
    full = machine.state / "full"
    for block in (2**16, 2**12):
        with full.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(block)) == block:
                    pass
            except OSError:
                continue
    time.sleep(12)
    alive, ended = machine.main_pid(), sorted(rehearsal.ends(day))
    facts = machine.inside_or("cat /run/appliance/health.json")
    full.unlink()
    wait(rehearsal.is_active, "READY", rehearsal.said, 120)
    rehearsal.seen["full disk"] = f"daemon {'stayed' if alive else 'was down'}, {len(ended)} jobs had ended"
    said = json.loads(facts)["reasons"]
    if not said:
        raise Broken("the disk was full and health.json says nothing of it")
    rehearsal.seen["full disk, health.json"] = "; ".join(said)[:150]
    latch = json.loads((machine.state / "latch.json").read_text())
    if latch["state"] != "armed":
        rehearsal.seen["full disk, latch"] = latch["name"]


ACCIDENTS: dict[tuple[int, str], Accident] = {
    (2, "trade"): kill_the_daemon,
    (3, "confirm"): hang_the_daemon,
    (4, "trade"): lose_power,
    (5, "reconcile_close"): fill_the_disk,
}


def run(*command: str, seconds: float = 180) -> str:
    """Run a command to its end; anything but success breaks the rehearsal."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE * seconds)
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}")
    return done.stdout


def wait(condition: Callable[[], bool], what: str, said: Callable[[], str] = str, seconds: float = 60.0) -> None:
    """Wait for it, or break the rehearsal with what the unit said."""
    until = time.monotonic() + PATIENCE * seconds
    while not condition():
        if time.monotonic() > until:
            raise Broken(f"{what} never came\n{said()}")
        time.sleep(0.1)


def rehearse(machine: Machine, published: Published) -> dict[str, str]:
    """Serve the exchange, boot, initialise, arm, and live through five sessions."""
    days, calendar = published.sessions(5), published.manifest.calendar
    start = windows(days[0], calendar, TIMETABLE)[0].at - timedelta(minutes=5)
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data")]
    with subprocess.Popen(
        [*command, "--port", "0", "--at", start.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            rehearsal = Rehearsal(machine, published, steering.told(server.stdout.readline()))
            machine.prepare()
            machine.boot()
            machine.appliance(f"init --venue exchange --store {STORE} --trust {STORE}/root.pub --fixed-ic 0.05 --url {rehearsal.url}")
            machine.appliance("arm --yes")
            machine.inside("systemctl enable --quiet appliance && systemctl start --no-block appliance")
            wait(rehearsal.is_active, "READY", rehearsal.said, 60)
            resident = 0
            for number, day in enumerate(days, start=1):
                rehearsal.live(number, day)
                if number == 1:
                    time.sleep(3)
                    status = machine.inside(f"cat /proc/{machine.main_pid()}/status")
                    resident = int(status.split("VmRSS:")[1].split()[0]) // 1024
            rehearsal.judge(days)
            rehearsal.seen["idle daemon"] = f"{resident} MB resident, {IDLE_MEGABYTES} allowed"
            if resident > IDLE_MEGABYTES:
                raise Broken(rehearsal.seen["idle daemon"])
            rehearsal.seen["exposure"] = machine.inside("systemd-analyze security appliance | tail -1").strip()
            machine.inside("systemctl stop appliance")
            rehearsal.seen["stop"] = machine.inside("systemctl show -P Result appliance").strip()
            return rehearsal.seen
        finally:
            server.terminate()


def main() -> int:
    """Rehearse in a root that exists, or in one that is built now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=REPOSITORY / "var/nspawn/root", help="Debian root; built when absent")
    root = parser.parse_args().root.resolve()
    missing = lacking() or foreign_python()
    if missing:
        print(missing)
        return 2
    if not (root / "lib/systemd/systemd").exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), seconds=900)
    with tempfile.TemporaryDirectory(prefix="nspawn-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        (scratch / "disk").mkdir()
        published = publish_store(scratch / "store")
        machine = Machine(root, scratch, scratch / "store")
        try:
            seen = rehearse(machine, published)
        except Broken as broken:
            print(f"{broken}\n0 passed, 1 failed")
            return 1
        finally:
            machine.remove()
    print("\n".join(f"{name:26s} {value}" for name, value in seen.items()))
    print("5 sessions passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
