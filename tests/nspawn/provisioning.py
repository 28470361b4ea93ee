"""From a blank system to a trading device, by the playbooks alone, in a Debian that systemd-nspawn boots.

In this order: `--check` on the blank system; provision; provision again (nothing changes); `--check` again; the limits
of the box from outside (ssh by key alone, no other port); five accelerated sessions against `paper-exchange`; an update
while orders are near (refused), a good one, one that is never well (goes back by itself); rollback, new secrets, the
fleet's table; halt-fleet; a new card, restored from its backup, which ends HALTED; uninstall.

    make provision-test         # as root; needs systemd-nspawn, debootstrap, ssh and the network of the package index
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.store import publish_store
from tests.nspawn import fetching, leftovers
from tests.nspawn.bench import FAST, URL, Bench, build_release, release_of, serve_exchange
from tests.nspawn.guest import NETWORKS, OPERATOR, PROXY_PORT, Guest
from tests.nspawn.judging import judge
from tests.nspawn.rehearsal import KEYS, Broken, Rehearsal, run, wait

DEVICE = "pi-bench"
SECRET = "CANARY-4711-never-to-be-seen"
NEW_SECRET = "CANARY-4712-never-to-be-seen"
SICK_GATE = 20


class Sessions(Rehearsal):
    """Sessions whose exchange lives in the guest's network."""

    def ask(self, path: str, body: dict[str, str] | None = None) -> Any:
        """Ask through the guest's network."""
        leader = self.machine.leader()
        keys = KEYS | steering.keys(self.url)
        headers = [part for name, value in keys.items() for part in ("-H", f"{name}: {value}")]
        data = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(run("nsenter", "-t", str(leader), "-n", "curl", "-sf", *headers, *data, self.url + path))


class Provisioning:
    """What is done, step by step, and what was seen."""

    def __init__(self, scratch: Path, blank: Path) -> None:
        self.scratch, self.seen = scratch, dict[str, str]()
        self.published = publish_store(scratch / "store")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(scratch / "key"))
        (scratch / "backups").mkdir(mode=0o777)
        self.guest = self.card(f"tm{os.getpid()}a", blank)
        self.bench = Bench(scratch, {DEVICE: self.guest})
        self.days = self.published.sessions(6)
        self.start = windows(self.days[0], self.published.manifest.calendar, TIMETABLE)[0].at - timedelta(minutes=5)
        self.secret = SECRET

    def card(self, name: str, blank: Path) -> Guest:
        """A new card in the device."""
        return Guest(
            self.scratch / name,
            self.scratch,
            self.scratch / "store",
            name=name,
            blank=blank,
            key=self.scratch / "key",
            backups=self.scratch / "backups",
        )

    def inventory(self, archive: Path, **settings: Any) -> None:
        """Write the inventory with this release."""
        self.bench.write_inventory(
            **{
                "base_operator": OPERATOR,
                "ssh_allowed_users": [OPERATOR],
                "firewall_ssh_from": [NETWORKS],
                "appliance_release_archive": str(archive),
                "appliance_store": "/srv/store",
                "appliance_url": URL,
                "appliance_root_key": self.published.trust.read_text(),
                "appliance_fixed_ic": "0.05",
                "appliance_credentials": {"alert-urls": f"http://127.0.0.1:9/{self.secret}"},
                "backups_to": "/srv/backups",
                **settings,
            }
        )

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
        there = self.guest.there
        anybody = "-o ConnectTimeout=5 -o ControlPath=none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        for words, options in (
            ("a password", f"-o PubkeyAuthentication=no -o PasswordAuthentication=yes {OPERATOR}@{there}"),
            ("root", f"-i {self.scratch}/key root@{there}"),
        ):
            tried = ["ssh", "-o", "BatchMode=yes", *anybody.split(), *options.split(), "true"]
            if not subprocess.run(tried, capture_output=True, check=False).returncode:
                raise Broken(f"ssh lets {words} in")
        self.guest.inside("systemd-run --quiet --unit=door python3 -m http.server 8099")
        wait(lambda: "1FA3" in self.guest.inside("cat /proc/net/tcp"), "a server at port 8099")
        knocked = subprocess.run(["curl", "-s", "--max-time", "3", f"http://{there}:8099"], check=False, capture_output=True)
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
        self.sessions = Sessions(self.guest, self.published, URL, seen=self.seen, accidents={(5, "trade"): self.too_late(update)})
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
        if NEW_SECRET not in self.guest.inside("systemd-creds decrypt --name=alert-urls /etc/credstore.encrypted/alert-urls -"):
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
        """Another blank card, whose service gets another number, provisioned with the backup of the first.

        It has the first one's orders, and is halted.
        """
        count = "SELECT count(*) FROM intents WHERE posts > 0"
        ((sent,),) = self.sessions.rows(count)
        owner = self.guest.state.stat().st_uid
        self.guest.remove()
        self.exchange.terminate()
        self.guest = self.bench.devices[DEVICE] = self.sessions.machine = self.card(f"tm{os.getpid()}b", blank)
        self.guest.prepare()
        run("chroot", str(self.guest.root), "useradd", "--system", "stranger")
        self.guest.boot()
        self.exchange = serve_exchange(self.guest, self.published, self.scratch / "exchange", self.start.isoformat())
        self.inventory(self.first)
        began = time.monotonic()
        self.bench.play("restore")
        facts = self.status()
        ((found,),) = self.sessions.rows(count)
        if facts["verdict"] != "halted" or "RESTORED" not in facts["latch"] or found != sent or not sent:
            raise Broken(f"a restored device is halted and knows its {sent} orders, this one knows {found}: {facts}")
        if self.guest.state.stat().st_uid == owner:
            raise Broken(f"the service has the number {owner} on both cards: nothing is shown of whose backups these are")
        self.seen["a new card from the backup"] = (
            f"{found} orders of {sent} known, {time.monotonic() - began:.0f} s; user {owner}, then"
            f" {self.guest.state.stat().st_uid}; {facts['latch'][:60]}"
        )
        self.bench.play("restore", fails=True)
        self.seen["restore over a device"] = "refused"

    def uninstall(self) -> None:
        """Nothing stays but what is promised to; what is promised goes when it is said; twice is harmless."""
        self.bench.play("uninstall", "-e", "purge=true", fails=True)
        self.bench.play("uninstall")
        leftovers.judge(self.guest, leftovers.PROMISED)
        if not (self.guest.state / "ledger.sqlite").exists():
            raise Broken("uninstall keeps the ledger")
        everything = ("-e", "machine=true", "-e", "purge=true", "-e", f"confirm_purge={DEVICE}")
        _, again = self.bench.play("uninstall")
        self.bench.play("uninstall", *everything)
        leftovers.judge(self.guest, leftovers.OF_PACKAGES)
        _, once_more = self.bench.play("uninstall", *everything)
        if again or once_more or self.guest.state.exists():
            raise Broken(f"what is gone was removed again: {again} and {once_more} tasks changed")
        self.seen["uninstall"] = (
            f"{len(leftovers.PROMISED)} promised traces stay, the ledger among them; of all that can go"
            f" {len(leftovers.OF_PACKAGES)}; each twice, the second time 0 tasks changed; an unconfirmed purge refused"
        )

    def run(self) -> None:
        """Every step."""
        self.first, size = build_release(self.scratch, "first", {})
        second, _ = build_release(self.scratch, "second", {"docs/operations.md": "\nSecond.\n"})
        sick, _ = build_release(self.scratch, "sick", {"appliance/daemon/supervisor.py": "\nraise SystemExit(9)\n"})
        self.seen["download of a release"] = f"{size / 2**20:.0f} MiB"
        self.guest.prepare()
        self.guest.boot()
        with_network = fetching.serve(self.guest.here, PROXY_PORT)
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

    def remove(self) -> None:
        """Switch it off."""
        self.guest.remove()


if __name__ == "__main__":
    sys.exit(judge(str(__doc__), "provision", Provisioning))
