"""From a blank system to a trading device, by the playbooks alone, in a Debian that systemd-nspawn boots.

In this order: `--check` on the blank system; provision; provision again (nothing changes); `--check` again; the limits
of the box from outside (ssh by key alone, no other port); five accelerated sessions against `paper-exchange`; an update
while orders are near (refused), a good one, one that is never well (goes back by itself); rollback, new secrets, the
fleet's table; halt-fleet; a new card, restored from its backup, which ends HALTED; uninstall.

    make provision-test         # as root; needs systemd-nspawn, debootstrap, ssh and the network of the package index
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from appliance.schedule import timetable
from tests.fakes.store import Published, publish_store
from tests.nspawn import fetching
from tests.nspawn.guest import HERE, NETWORK, OPERATOR, PROXY_PORT, REPOSITORY, THERE, Guest, blank_root
from tests.nspawn.rehearsal import KEYS, Broken, Machine, Rehearsal, run, wait

PLAYBOOK = REPOSITORY / "var/ansible/bin/ansible-playbook"
PORT = 8787
URL = f"http://127.0.0.1:{PORT}"
DEVICE = "pi-bench"
SECRET = "CANARY-4711-never-to-be-seen"
NEW_SECRET = "CANARY-4712-never-to-be-seen"
SICK_GATE = 20
FAST = "[Service]\nExecStart=\nExecStart=/opt/appliance/current/bin/appliance run --look-every 0.25 --retry-after 1\n"
CHANGED = re.compile(rf"^{DEVICE}\s*:.*changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


@dataclass
class Bench:
    """The controller: inventory, playbooks, and all that they ever printed."""

    folder: Path
    guest: Guest
    printed: str = ""

    def write_inventory(self, **settings: Any) -> None:
        """Write the one device's inventory."""
        common = " ".join(self.guest.ssh("")[1:-2])
        host = {"ansible_host": THERE, "ansible_user": OPERATOR, "ansible_ssh_common_args": common,
                "ansible_python_interpreter": "/usr/bin/python3"}  # fmt: skip
        groups = {"devices": {"hosts": {DEVICE: {**host, **settings}}}, "canary": {"hosts": {DEVICE: {}}}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(groups))

    def play(self, playbook: str, *options: str, fails: bool = False) -> tuple[str, int]:
        """Run a playbook; return what it printed and how many tasks changed something."""
        command = [str(PLAYBOOK), "-i", str(self.folder / "hosts.yml"), f"playbooks/{playbook}.yml", *options]
        settings = {**os.environ, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(self.folder)}
        done = subprocess.run(command, cwd=REPOSITORY / "ansible", env=settings, capture_output=True, text=True,
                              check=False, timeout=1800)  # fmt: skip
        said = done.stdout + done.stderr
        self.printed += said
        if (done.returncode != 0) is not fails:
            raise Broken(f"{playbook} {' '.join(options)} ended with {done.returncode}:\n{said[-6000:]}")
        found = CHANGED.search(said)
        return said, int(found[1]) if found else 0


class Sessions(Rehearsal):
    """Sessions whose exchange lives in the guest's network."""

    def ask(self, path: str, body: dict[str, str] | None = None) -> Any:
        """Ask through the guest's network."""
        leader = self.machine.leader()
        headers = [part for name, value in KEYS.items() for part in ("-H", f"{name}: {value}")]
        data = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(run("nsenter", "-t", str(leader), "-n", "curl", "-sf", *headers, *data, self.url + path))


def serve_exchange(guest: Machine, published: Published, state: Path, at: str) -> subprocess.Popen[bytes]:
    """Serve the exchange on the guest's own loopback."""
    server = subprocess.Popen(
        ["nsenter", "-t", str(guest.leader()), "-n", sys.executable, "-m", "execution.exchange", "serve",
         "--data", str(published.root / "data"), "--state", str(state), "--port", str(PORT), "--at", at],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    answers = ["nsenter", "-t", str(guest.leader()), "-n", "curl", "-sf", f"{URL}/_sim/clock"]
    wait(lambda: not subprocess.run(answers, capture_output=True, check=False).returncode, "the exchange")
    return server


def build_release(scratch: Path, name: str, edit: dict[str, str]) -> tuple[Path, int]:
    """Build a release of the last commit with `edit` appended to some files; return its archive and its size."""
    sources = scratch / f"sources-{name}"
    sources.mkdir()
    run("git", "-C", str(REPOSITORY), "archive", "--output", str(sources / "all.tar"), "HEAD")
    run("tar", "-C", str(sources), "-xf", str(sources / "all.tar"))
    for file, line in edit.items():
        (sources / file).write_text((sources / file).read_text() + line)
    said = run(sys.executable, str(REPOSITORY / "ansible/release.py"), "--sources", str(sources), "--to", str(scratch))
    found = json.loads(said)
    return Path(found["archive"]), int(found["bytes"])


def release_of(archive: Path) -> str:
    """Name of the release in an archive."""
    return archive.name.removeprefix("trademl-").rsplit("-", 2)[0]


class Provisioning:
    """What is done, step by step, and what was seen."""

    def __init__(self, scratch: Path, blank: Path) -> None:
        self.scratch, self.seen = scratch, dict[str, str]()
        self.published = publish_store(scratch / "store")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(scratch / "key"))
        (scratch / "backups").mkdir(mode=0o777)
        self.guest = self.card(f"tm{os.getpid()}a", blank)
        self.bench = Bench(scratch, self.guest)
        self.days = self.published.sessions(6)
        self.start = timetable(self.days[0], self.published.manifest.calendar)[0].at - timedelta(minutes=5)
        self.secret = SECRET

    def card(self, name: str, blank: Path) -> Guest:
        """A new card in the device."""
        return Guest(self.scratch / name, self.scratch, self.scratch / "store", name=name, blank=blank,
                     key=self.scratch / "key", backups=self.scratch / "backups")  # fmt: skip

    def inventory(self, archive: Path, **settings: Any) -> None:
        """Write the inventory with this release."""
        self.bench.write_inventory(**{
            "base_operator": OPERATOR, "ssh_allowed_users": [OPERATOR], "firewall_ssh_from": [NETWORK],
            "appliance_release_archive": str(archive), "appliance_store": "/srv/store", "appliance_url": URL,
            "appliance_root_key": self.published.trust.read_text(), "appliance_fixed_ic": "0.05",
            "appliance_credentials": {"alert-urls": f"http://127.0.0.1:9/{self.secret}"},
            "backups_to": "/srv/backups", **settings,
        })  # fmt: skip

    def now_in_force(self) -> str:
        """The release that the device runs."""
        return str(json.loads(self.guest.inside("/opt/appliance/bin/appliance-release list"))["current"])

    def status(self) -> dict[str, Any]:
        """What the device says of itself."""
        said = self.guest.inside_or("/opt/appliance/bin/appliance status --json || true")
        return dict(json.loads(said))

    # -- the steps ---------------------------------------------------------------------------------------------------

    def provision(self, archive: Path) -> None:
        """From nothing, twice, and in check mode before and after."""
        self.inventory(archive)
        self.bench.play("provision", "--check", "--diff")
        self.seen["--check on the blank system"] = "no task failed"
        began = time.monotonic()
        _, changed = self.bench.play("provision")
        self.seen["provisioned from nothing"] = f"{changed} tasks changed, {time.monotonic() - began:.0f} s"
        began = time.monotonic()
        _, again = self.bench.play("provision", "-v")
        if again:
            raise Broken(f"the second run changed {again} tasks:\n{self.bench.printed[-5000:]}")
        self.seen["second run"] = f"0 tasks changed, {time.monotonic() - began:.0f} s"
        _, checked = self.bench.play("provision", "--check", "--diff")
        if checked:
            raise Broken(f"--check would change {checked} tasks:\n{self.bench.printed[-5000:]}")
        self.seen["--check afterwards"] = "would change nothing"
        facts = self.status()
        if facts["verdict"] != "halted" or facts["daemon"] != "runs":
            raise Broken(f"a fresh device is halted and its daemon runs, this one: {facts}")
        self.bench.play("provision", "-e", "appliance_vennue=exchange", "--check", fails=True)
        self.seen["unknown variable"] = "refused"

    def look_from_outside(self) -> None:
        """Ssh by key alone, no root, and nothing else answers."""
        anybody = "-o ConnectTimeout=5 -o ControlPath=none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        for words, options in (
            ("a password", f"-o PubkeyAuthentication=no -o PasswordAuthentication=yes {OPERATOR}@{THERE}"),
            ("root", f"-i {self.scratch}/key root@{THERE}"),
        ):
            tried = ["ssh", "-o", "BatchMode=yes", *anybody.split(), *options.split(), "true"]
            if not subprocess.run(tried, capture_output=True, check=False).returncode:
                raise Broken(f"ssh lets {words} in")
        self.guest.inside("systemd-run --quiet --unit=door python3 -m http.server 8099")
        wait(lambda: "1FA3" in self.guest.inside("cat /proc/net/tcp"), "a server at port 8099")
        knocked = subprocess.run(
            ["curl", "-s", "--max-time", "3", f"http://{THERE}:8099"], check=False, capture_output=True
        )
        if knocked.returncode != 28:
            raise Broken(f"a port that nobody asked for answers: {knocked.returncode}")
        self.guest.inside("systemctl stop door")
        self.seen["from outside"] = "ssh by key alone, no root, another port is silent"

    def trade(self, update: Path) -> None:
        """Five sessions; an update just before the orders of the fifth is refused."""
        folder = self.guest.root / "etc/systemd/system/appliance.service.d"
        folder.mkdir(exist_ok=True)
        (folder / "rehearsal.conf").write_text(FAST)
        self.guest.inside("systemctl daemon-reload && systemctl restart appliance")
        self.guest.inside("/opt/appliance/bin/appliance arm --yes")
        self.sessions = Sessions(
            self.guest, self.published, URL, seen=self.seen, accidents={(5, "trade"): self.too_late(update)}
        )
        wait(self.sessions.is_active, "READY", self.sessions.said, 60)
        began = time.monotonic()
        for number, day in enumerate(self.days[:5], start=1):
            self.sessions.live(number, day)
        self.sessions.judge(self.days[:5])
        self.seen["five sessions"] = f"{time.monotonic() - began:.0f} s, every job ended once, books equal"
        time.sleep(3)
        status = self.guest.inside(f"cat /proc/{self.guest.main_pid()}/status")
        idle = int(status.split("VmRSS:")[1].split()[0]) // 1024
        jobs = re.findall(r'"mb": ?(\d+)', self.guest.inside("journalctl -u appliance -o cat --no-pager"))
        self.seen["memory"] = f"idle daemon {idle} MB, largest job {max(map(int, jobs))} MB ({len(jobs)} jobs)"

    def too_late(self, update: Path) -> Any:
        """An update when orders are about to leave."""

        def accident(_sessions: Rehearsal, _day: date) -> None:
            before = self.now_in_force()
            self.inventory(update)
            said, _ = self.bench.play("update", fails=True)
            if "orders are near" not in said or self.now_in_force() != before:
                raise Broken(f"an update was not refused while orders are near:\n{said[-3000:]}")
            self.seen["update while orders are near"] = "refused, nothing switched"

        return accident

    def update(self, first: Path, second: Path, sick: Path) -> None:
        """A good update, a sick one that goes back by itself, a rollback by hand."""
        self.inventory(second)
        began = time.monotonic()
        self.bench.play("update")
        if self.now_in_force() != release_of(second):
            raise Broken("the update is not in force")
        self.seen["update"] = f"in force and well, {time.monotonic() - began:.0f} s"
        self.inventory(sick, appliance_gate_seconds=SICK_GATE)
        said, _ = self.bench.play("update", fails=True)
        facts = self.status()
        if f"{release_of(second)} is in force again" not in said or self.now_in_force() != release_of(second):
            raise Broken(f"the sick release was not gone back from:\n{said[-3000:]}")
        if facts["daemon"] != "runs" or not facts["armed"]:
            raise Broken(f"after going back the device should be up and armed: {facts}")
        self.seen["an update that is never well"] = f"gone back from after {SICK_GATE} s; daemon up, still armed"
        self.inventory(second)
        self.bench.play("rollback")
        if self.now_in_force() != release_of(first):
            raise Broken("rollback did not bring the first release back")
        self.seen["rollback"] = "the release before is in force"

    def look_after(self) -> None:
        """New secrets, the table, the canary secret nowhere, everybody halted."""
        before, self.secret = self.guest.main_pid(), NEW_SECRET
        self.inventory(self.first)
        self.bench.play("rotate-keys", "-vvv")
        if self.guest.main_pid() == before:
            raise Broken("new secrets did not start the service anew")
        if NEW_SECRET not in self.guest.inside(
            "systemd-creds decrypt --name=alert-urls /etc/credstore.encrypted/alert-urls -"
        ):
            raise Broken("the new secret is not the device's")
        self.seen["rotate-keys"] = "sealed, the service started anew"
        said, _ = self.bench.play("collect-status")
        row = next(line.strip() for line in said.splitlines() if release_of(self.first) in line)
        self.seen["collect-status"] = row.strip("'\", ")
        self.bench.play("halt-fleet", "-e", "reason=rehearsed")
        facts = self.status()
        if facts["verdict"] != "halted":
            raise Broken(f"halt-fleet left {facts['verdict']}")
        self.seen["halt-fleet"] = facts["latch"][:100]
        for secret in (SECRET, NEW_SECRET):
            if secret in self.bench.printed:
                raise Broken("a secret was printed")
            search = ["grep", "-rlsa", "--devices=skip", secret, "etc", "var", "opt", "home", "tmp", "root"]
            found = subprocess.run(search, cwd=self.guest.root, capture_output=True, text=True, check=False).stdout
            if found:
                raise Broken(f"a secret lies in clear in {found}")
        self.seen["the canary secret"] = "in no output (-vvv) and in no file of the card"

    def replace_the_card(self, blank: Path) -> None:
        """Another blank card, provisioned with the backup of the first: it has its orders, and is halted."""
        count = "SELECT count(*) FROM intents WHERE posts > 0"
        ((sent,),) = self.sessions.rows(count)
        self.guest.remove()
        self.exchange.terminate()
        self.guest = self.bench.guest = self.sessions.machine = self.card(f"tm{os.getpid()}b", blank)
        self.guest.prepare()
        self.guest.boot()
        self.exchange = serve_exchange(self.guest, self.published, self.scratch / "exchange", self.start.isoformat())
        self.inventory(self.first)
        began = time.monotonic()
        self.bench.play("restore")
        facts = self.status()
        ((found,),) = self.sessions.rows(count)
        if facts["verdict"] != "halted" or "RESTORED" not in facts["latch"] or found != sent or not sent:
            raise Broken(f"a restored device is halted and knows its {sent} orders, this one knows {found}: {facts}")
        self.seen["a new card from the backup"] = (
            f"{found} orders of {sent} known, {time.monotonic() - began:.0f} s; {facts['latch'][:60]}"
        )
        self.bench.play("restore", fails=True)
        self.seen["restore over a device"] = "refused"

    def uninstall(self) -> None:
        """The ledger stays unless it is said twice."""
        self.bench.play("uninstall", "-e", "purge=true", fails=True)
        self.bench.play("uninstall")
        if not (self.guest.state / "ledger.sqlite").exists() or (self.guest.root / "opt/appliance").exists():
            raise Broken("uninstall keeps the ledger and removes the program")
        self.bench.play("uninstall", "-e", "purge=true", "-e", f"confirm_purge={DEVICE}")
        if self.guest.state.exists():
            raise Broken("a confirmed purge removes the state folder")
        self.seen["uninstall"] = "kept the ledger; purge without the device's name refused, with it done"

    def run(self) -> None:
        """Every step."""
        self.first, size = build_release(self.scratch, "first", {})
        second, _ = build_release(self.scratch, "second", {"docs/operations.md": "\nSecond.\n"})
        sick, _ = build_release(self.scratch, "sick", {"appliance/daemon/life.py": "\nraise SystemExit(9)\n"})
        self.seen["download of a release"] = f"{size / 2**20:.0f} MiB"
        self.guest.prepare()
        self.guest.boot()
        with_network = fetching.serve(HERE, PROXY_PORT)
        self.exchange = serve_exchange(self.guest, self.published, self.scratch / "exchange", self.start.isoformat())
        try:
            self.provision(self.first)
            self.look_from_outside()
            self.trade(second)
            self.update(self.first, second, sick)
            self.look_after()
            self.replace_the_card(self.guest.blank)
            self.uninstall()
        finally:
            self.exchange.terminate()
            with_network.shutdown()


def main() -> int:
    """Provision a blank root and judge it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "var/nspawn", help="where the blank root is kept")
    parser.add_argument("--keep", action="store_true", help="keep the card and the controller's folder")
    asked = parser.parse_args()
    if os.geteuid() != 0 or not all(map(shutil.which, ("systemd-nspawn", "debootstrap", "ssh", "curl", "ip"))):
        print("root, systemd-nspawn, debootstrap, ssh, curl and ip are needed")
        return 1
    began = time.monotonic()
    blank = blank_root(asked.cache.resolve())
    scratch = Path(tempfile.mkdtemp(prefix="provision-", dir=asked.cache.resolve()))
    scratch.chmod(0o755)
    provisioning = Provisioning(scratch, blank)
    broken = ""
    try:
        provisioning.run()
    except (Broken, subprocess.TimeoutExpired) as error:
        broken = str(error)
    finally:
        provisioning.guest.remove()
        if not asked.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(f"{name:30s} {value}" for name, value in provisioning.seen.items()))
    print(f"{broken}\n0 passed, 1 failed" if broken else f"{time.monotonic() - began:.0f} s\n1 passed, 0 failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
