"""Two devices, one inventory: what an update does to a fleet, and whom a device tells when nobody looks.

Two blank Debians are booted by systemd-nspawn and provisioned in one run from a bucket, with secrets out of vaults under a
pass phrase, each armed with an exchange of its own:

canary       an update that is never well goes back on the canary, and the second device is not touched
serial       a good one goes to the canary, and only when it is well there to the second
power        the canary loses its power between switch and verdict: it boots into the release that worked, and tells
backup       a backup that fails is told once each time; a message that nobody takes is seen, and comes later
giving up    a daemon that cannot stay up is told of, also when the release's program does not run at all

    make fleet-test             # as root; needs systemd-nspawn, debootstrap, ssh and the network of the package index
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes.seaweed import BUCKET, READER, serving, upload
from tests.fakes.store import publish_store
from tests.nspawn import fetching
from tests.nspawn.bench import FAST, URL, Bench, Ears, build_release, release_of, serve_exchange
from tests.nspawn.guest import NETWORKS, OPERATOR, PROXY_PORT, Guest
from tests.nspawn.judging import judge
from tests.nspawn.rehearsal import Broken, run, wait

CANARY, SECOND = "pi-canary", "pi-second"
SICK_GATE, CUT_GATE = 20, 600
SECRETS = ("alert-urls", "s3-key-id", "s3-secret-key", "alpaca-key-id", "alpaca-secret-key")
OF_THE_FLEET, OF_A_DEVICE = (tuple(f"vault_{name.replace('-', '_')}" for name in names) for names in (SECRETS[:3], SECRETS[3:]))
RELEASE = "/opt/appliance/bin/appliance-release"
PROGRAM = "/opt/appliance/current/bin/appliance"
SETTLED = "appliance-settled: an interrupted update was gone back from"
NO_BACKUP = "appliance-backup: no backup could be taken"
GAVE_UP = "appliance: the daemon was started in vain"
LAST_RESORT = "appliance needs a person"
HASTY = "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=0.2\n"


class Fleet:
    """Two devices on the bench, what is done to them, and what was seen."""

    def __init__(self, scratch: Path, blank: Path) -> None:
        self.scratch, self.seen = scratch, dict[str, str]()
        self.published = publish_store(scratch / "store")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(scratch / "key"))
        self.devices = {name: self.card(name, number, blank) for number, name in enumerate((CANARY, SECOND))}
        self.canary, self.second = self.devices[CANARY], self.devices[SECOND]
        self.bench = Bench(scratch, self.devices)
        self.ears = Ears(self.canary, scratch / "heard.jsonl")
        self.exchanges: dict[str, subprocess.Popen[bytes]] = {}
        self.proxies: list[Any] = []
        self.bucket = ExitStack()
        self.endpoint = ""

    def card(self, name: str, number: int, blank: Path) -> Guest:
        """A blank card for one of them."""
        backups = self.scratch / f"backups-{name}"
        (backups / "ledgers").mkdir(parents=True)
        return Guest(
            self.scratch / name,
            self.scratch,
            self.scratch / "store",
            name=f"tm{os.getpid()}{number}",
            blank=blank,
            key=self.scratch / "key",
            backups=backups,
            number=number,
            neighbours=lambda: self.serve(name),
        )

    def inventory(self, archive: Path, **settings: Any) -> None:
        """Write the inventory with this release."""
        self.bench.write_inventory(
            **{
                "base_operator": OPERATOR,
                "ssh_allowed_users": [OPERATOR],
                "firewall_ssh_from": [NETWORKS],
                "appliance_release_archive": str(archive),
                "appliance_store": f"s3://{BUCKET}/store",
                "appliance_store_endpoint": self.endpoint,
                "appliance_url": URL,
                "appliance_root_key": self.published.trust.read_text(),
                "appliance_fixed_ic": "0.05",
                "appliance_credentials": {name: f"{{{{ vault_{name.replace('-', '_')} }}}}" for name in SECRETS},
                "backups_to": "/srv/backups/ledgers",
                **settings,
            }
        )

    def releases(self, guest: Guest) -> dict[str, Any]:
        """Which releases the device has, and which is in force."""
        return dict(json.loads(guest.inside(f"{RELEASE} list")))

    def history(self, guest: Guest) -> list[dict[str, Any]]:
        """Every switch of the device."""
        return [json.loads(line) for line in guest.inside("cat /opt/appliance/history.jsonl").splitlines()]

    def status(self, guest: Guest) -> dict[str, Any]:
        """What the device says of itself."""
        return dict(json.loads(guest.inside("/opt/appliance/bin/appliance status --json || true")))

    def began(self, guest: Guest) -> datetime:
        """When systemd started the daemon that runs now."""
        micros = guest.inside("systemctl show -P ExecMainStartTimestampMonotonic appliance").strip()
        seconds = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC) + int(micros) / 1e6
        return datetime.fromtimestamp(seconds).astimezone()

    def is_up(self, guest: Guest) -> bool:
        """Whether systemd has heard READY."""
        return guest.inside_or("systemctl is-active appliance").strip() == "active"

    def serve(self, name: str) -> None:
        """Serve the exchange of a device that boots; the one of its last boot ends."""
        if name in self.exchanges:
            self.exchanges[name].terminate()
            self.exchanges[name].wait(timeout=30)
        day = self.published.sessions(1)[0]
        at = windows(day, self.published.manifest.calendar, TIMETABLE)[0].at - timedelta(hours=2)
        state = self.scratch / f"exchange-{name}"
        self.exchanges[name] = serve_exchange(self.devices[name], self.published, state, at.isoformat())

    def fill_bucket_and_vaults(self) -> None:
        """The store in a bucket that devices may only read, and every secret in a vault: the fleet's, and those of each account."""
        server = self.bucket.enter_context(serving(self.scratch / "weed", "0.0.0.0"))
        upload(server, self.published.root)
        port = server.endpoint.rsplit(":", 1)[-1]
        self.endpoint = f"http://{{{{ ansible_host.rsplit('.', 1)[0] }}}}.1:{port}"  # each device's end of its cable
        self.bench.write_vault("group_vars/all", dict(zip(OF_THE_FLEET, (self.ears.url, *READER), strict=True)))
        for name in self.devices:
            self.bench.write_vault(f"host_vars/{name}", dict(zip(OF_A_DEVICE, self.keys(name), strict=True)))

    def keys(self, name: str) -> tuple[str, str]:
        """Key and secret of a device's own account."""
        return f"PK{name.upper()}", f"{name}-{self.bench.folder.name}-canary"

    def look_for_secrets(self) -> None:
        """Each device pulled from the bucket, with nothing of a secret in what ansible printed or in a plain file of its card."""
        for name, guest in self.devices.items():
            if self.endpoint.rsplit(":", 1)[-1] not in guest.inside("cat /var/lib/appliance/config.yml"):
                raise Broken(f"{name} does not read the bucket")
            for secret in (READER[1], self.keys(name)[1]):
                found = guest.inside_or(f"grep -rlF {secret} /etc /opt /var/lib /home || true").strip()
                if found or secret in self.bench.printed:
                    raise Broken(f"a secret is readable: {found or 'printed'}")
        self.seen["secrets"] = "from vaults under a pass phrase, an account a device; in no plain file of a card and in no output"

    # -- the steps ---------------------------------------------------------------------------------------------------

    def provision(self, archive: Path) -> None:
        """Both from nothing, in one run; armed, so that whatever is wrong shows in their status."""
        self.ears.open()
        self.fill_bucket_and_vaults()
        for guest in self.devices.values():
            guest.prepare()
            guest.boot()
            self.proxies.append(fetching.serve(guest.here, PROXY_PORT))
        self.inventory(archive)
        began = time.monotonic()
        self.bench.play("provision")
        self.seen["two devices from nothing"] = f"one run, from a bucket, {time.monotonic() - began:.0f} s"
        self.look_for_secrets()
        for guest in self.devices.values():
            folder = guest.root / "etc/systemd/system/appliance.service.d"
            (folder / "rehearsal.conf").write_text(FAST)
            guest.inside("systemctl daemon-reload && systemctl restart appliance")
            guest.inside("/opt/appliance/bin/appliance arm --yes")
            facts = self.status(guest)
            if not facts["armed"] or facts["daemon"] != "runs":
                raise Broken(f"a device that is armed is armed, this one: {facts}")

    def stop_at_the_canary(self, first: Path, sick: Path) -> None:
        """A release that is never well."""
        before, pid = self.history(self.second), self.second.main_pid()
        self.inventory(sick, appliance_gate_seconds=SICK_GATE)
        said, _ = self.bench.play("update", fails=True)
        if f"{release_of(first)} is in force again" not in said or SECOND in said.split("PLAY RECAP")[-1]:
            raise Broken(f"the roll-out goes back on the canary and says nothing of the second:\n{said[-3000:]}")
        row = self.history(self.canary)[-1]
        if (row["what"], row["to"]) != ("rolled back", release_of(sick)) or not self.is_up(self.canary):
            raise Broken(f"the canary did not go back: {row}")
        there = self.releases(self.second)
        if self.history(self.second) != before or self.second.main_pid() != pid or release_of(sick) in there["done"]:
            raise Broken(f"the second device was touched: {there}")
        self.seen["a sick release"] = "gone back from on the canary; the second neither switched nor restarted, and was not even given it"

    def go_on_serially(self, good: Path) -> None:
        """A good one: the second device begins when the canary has been judged."""
        self.inventory(good)
        began = time.monotonic()
        self.bench.play("update")
        for name, guest in self.devices.items():
            if self.releases(guest)["current"] != release_of(good) or not self.is_up(guest):
                raise Broken(f"the good release is not in force on {name}")
        judged = datetime.fromisoformat(self.history(self.canary)[-1]["at"])
        after = (self.began(self.second) - judged).total_seconds()
        built = self.second.root / "opt/appliance/releases" / release_of(good) / ".complete"
        if after <= 0 or built.stat().st_mtime < judged.timestamp():
            raise Broken(f"the second device was touched before the canary was judged; switched after {after:.1f} s")
        self.seen["a good release"] = (
            f"both in {time.monotonic() - began:.0f} s; the second switched {after:.0f} s after the canary's verdict"
        )

    def lose_power(self, good: Path, sick: Path) -> None:
        """Between the switch and its verdict; and again at the same place with a release that would have been well."""
        guest, ears = self.canary, self.ears
        for number, release in enumerate((release_of(sick), self.before), start=1):
            guest.inside(f"systemd-run --quiet --unit=switch{number} {RELEASE} activate {release} --gate {CUT_GATE}")
            wait(lambda name=release: self.releases(guest)["current"] == name, f"the switch to {release}")  # type: ignore[misc]
            if not (guest.root / "opt/appliance/pending").exists():
                raise Broken("a switch is written down before it is made")
            guest.cut_power()
            guest.boot()
            wait(lambda: self.is_up(guest), "READY", lambda: guest.inside_or("journalctl -u appliance -n 25 -o cat"))
            row, facts = self.history(guest)[-1], self.status(guest)
            if (row["what"], row["from"], row["to"]) != ("settled", release_of(good), release):
                raise Broken(f"what was cut off is gone back from, this was: {row}")
            if self.releases(guest)["current"] != release_of(good) or (guest.root / "opt/appliance/pending").exists():
                raise Broken(f"the release that worked is not in force: {self.releases(guest)}")
            if not facts["armed"]:
                raise Broken(f"a cut in an update leaves the latch as it is, here: {facts['latch']}")
            wait(lambda want=number: ears.count(SETTLED) == want, "the message of going back", self.heard)  # type: ignore[misc]
        guest.inside("systemctl restart appliance-settle")
        self.steady(SETTLED, 2)
        self.seen["power lost in an update"] = (
            "twice, by a sick release and by a good one: booted into the release before, READY, armed, told once each"
        )

    def fail_to_back_up(self) -> None:
        """The place for backups is gone; then so is whoever is told."""
        guest, ears, place = self.canary, self.ears, self.canary.backups / "ledgers"
        place.rename(place.with_name("unplugged"))
        for number in (1, 2):
            self.fail("appliance-backup")
            wait(lambda want=number: ears.count(NO_BACKUP) == want, "the message of a backup", self.heard)  # type: ignore[misc]
        self.steady(NO_BACKUP, 2)
        ears.close()
        self.fail("appliance-backup")
        wait(lambda: self.status(guest)["undelivered"] == 1, "an alert that reached nobody")
        failed = guest.inside("systemctl --failed --plain --no-legend")
        if "appliance-alert@appliance-backup.service" not in failed:
            raise Broken(f"an alert unit that reached nobody has failed, here: {failed}")
        said, _ = self.bench.play("collect-status")
        lines = [line.strip(" '\",-") for line in said.splitlines() if f"{CANARY} " in line and "degraded" in line]
        if not any("1 alerts reached nobody" in line for line in lines):
            raise Broken(f"the fleet's table does not show it:\n{said[-2000:]}")
        ears.open()
        guest.inside("systemctl restart appliance")
        wait(lambda: ears.count(NO_BACKUP) == 3, "the message that nobody took", self.heard)
        place.with_name("unplugged").rename(place)
        guest.inside("systemctl start appliance-backup")
        wait(lambda: self.status(guest)["undelivered"] == 0, "a device that is well", lambda: str(self.status(guest)))
        self.steady(NO_BACKUP, 3)
        self.seen["a backup that fails"] = "told three times for three; the one that nobody took came later"
        self.seen["a broken alert path"] = " ".join(lines[-1].split())

    def give_up(self) -> None:
        """The daemon does not stay up; then its program is not even there."""
        guest, ears = self.canary, self.ears
        (guest.root / "etc/systemd/system/appliance.service.d/zz-hasty.conf").write_text(HASTY)
        guest.inside("systemctl daemon-reload")
        wait(self.is_given_up, "giving up")
        wait(lambda: ears.count(GAVE_UP) == 1, "the message of giving up", self.heard)
        guest.inside(f"systemctl reset-failed appliance && mv {PROGRAM} {PROGRAM}.away")
        guest.inside_or("systemctl start appliance")
        wait(lambda: ears.count(LAST_RESORT) == 1, "the message without a program", self.heard)
        guest.inside(f"mv {PROGRAM}.away {PROGRAM} && systemctl reset-failed appliance")
        guest.inside("systemctl start --no-block appliance")
        wait(lambda: self.is_up(guest), "READY")
        self.steady(GAVE_UP, 1)
        self.steady(LAST_RESORT, 1)
        self.seen["a daemon that cannot stay up"] = "told once; and once without the release's program"

    def is_given_up(self) -> bool:
        """Kill the daemon wherever it stands; whether systemd has had enough."""
        self.canary.inside_or("kill -9 $(systemctl show -P MainPID appliance)" if self.canary.main_pid() else "true")
        return self.canary.inside_or("systemctl is-failed appliance").strip() == "failed"

    def fail(self, unit: str) -> None:
        """Let a unit fail."""
        said = self.canary.inside_or(f"systemctl start {unit}")
        if self.canary.inside_or(f"systemctl is-failed {unit}").strip() != "failed":
            raise Broken(f"{unit} should have failed: {said}")

    def heard(self) -> str:
        """What the canary has told so far, and what its alert units say."""
        journal = self.canary.inside_or("journalctl -u 'appliance-alert@*' -n 20 --no-pager -o cat")
        return f"{self.ears.titles()}\n{journal}"

    def steady(self, title: str, count: int) -> None:
        """Nothing more of this is heard."""
        time.sleep(3)
        if self.ears.count(title) != count:
            raise Broken(f"{title!r} is heard {count} times, here: {self.ears.titles()}")

    def run(self) -> None:
        """Every step."""
        first, _ = build_release(self.scratch, "first", {})
        good, _ = build_release(self.scratch, "good", {"docs/operations.md": "\nGood.\n"})
        sick, _ = build_release(self.scratch, "sick", {"appliance/daemon/supervisor.py": "\nraise SystemExit(9)\n"})
        self.before = release_of(first)
        try:
            self.provision(first)
            self.stop_at_the_canary(first, sick)
            self.go_on_serially(good)
            self.lose_power(good, sick)
            self.fail_to_back_up()
            self.give_up()
        finally:
            self.bucket.close()
            for exchange in self.exchanges.values():
                exchange.terminate()
            self.ears.close()
            for proxy in self.proxies:
                proxy.shutdown()

    def remove(self) -> None:
        """Switch it off."""
        for guest in self.devices.values():
            guest.remove()


if __name__ == "__main__":
    sys.exit(judge(str(__doc__), "fleet", Fleet))
