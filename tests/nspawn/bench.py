"""The controller's bench: inventory, playbooks, releases, the exchange of a device, and whoever it tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import yaml

from execution.exchange.doors.http import TOKEN_FILE
from tests.fakes import steering
from tests.fakes.store import Published
from tests.nspawn.guest import OPERATOR, REPOSITORY, Guest
from tests.nspawn.rehearsal import Broken, Machine, run, wait

PLAYBOOK = REPOSITORY / "var/ansible/bin/ansible-playbook"
PORT, EARS_PORT = 8787, 8790
URL = f"http://127.0.0.1:{PORT}"
CHANGED = re.compile(r"^\S+\s*:.*changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
FAST = "[Service]\nExecStart=\nExecStart=/opt/appliance/current/bin/appliance run --look-every 0.25 --retry-after 1\n"


@dataclass
class Bench:
    """The controller, and all that it ever printed. The first device is the canary."""

    folder: Path
    devices: dict[str, Guest]
    printed: str = ""

    def write_inventory(self, **settings: Any) -> None:
        """Write the inventory; every device has the same settings."""
        hosts = {
            name: {
                "ansible_host": guest.there,
                "ansible_user": OPERATOR,
                **settings,
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_common_args": " ".join(guest.ssh("")[1:-2]),
            }
            for name, guest in self.devices.items()
        }
        canary = next(iter(self.devices))
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"devices": {"hosts": hosts}, "canary": {"hosts": {canary: {}}}}))

    def write_vault(self, place: str, secrets: Mapping[str, str]) -> None:
        """Write the secrets of `all` or of a device, locked with a pass phrase of this rehearsal alone."""
        plain = self.folder / place / "vault.yml"
        plain.parent.mkdir(parents=True)
        plain.write_text(yaml.safe_dump(dict(secrets)))
        if not self.passphrase.exists():
            self.passphrase.write_text(token_urlsafe(24))
        run(str(PLAYBOOK.with_name("ansible-vault")), "encrypt", "--vault-password-file", str(self.passphrase), str(plain))

    @property
    def passphrase(self) -> Path:
        """File of the pass phrase of the vaults."""
        return self.folder / "passphrase"

    def play(self, playbook: str, *options: str, fails: bool = False) -> tuple[str, int]:
        """Run a playbook; return what it printed and how many tasks changed something."""
        command = [str(PLAYBOOK), "-i", str(self.folder / "hosts.yml"), f"playbooks/{playbook}.yml", *options]
        settings = {**os.environ, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(self.folder)}
        if self.passphrase.exists():
            settings["ANSIBLE_VAULT_PASSWORD_FILE"] = str(self.passphrase)
        done = subprocess.run(command, cwd=REPOSITORY / "ansible", env=settings, capture_output=True, text=True, check=False, timeout=1800)
        said = done.stdout + done.stderr
        self.printed += said
        if (done.returncode != 0) is not fails:
            raise Broken(f"{playbook} {' '.join(options)} ended with {done.returncode}:\n{said[-6000:]}")
        return said, sum(int(changed) for changed, _, _ in CHANGED.findall(said))


def serve_exchange(guest: Machine, published: Published, state: Path, at: str) -> subprocess.Popen[bytes]:
    """Serve the exchange on the guest's own loopback."""
    inside = ["nsenter", "-t", str(guest.leader()), "-n"]
    server = subprocess.Popen(
        [
            *inside,
            sys.executable,
            "-m",
            "execution.exchange",
            "serve",
            "--data",
            str(published.root / "data"),
            "--state",
            str(state),
            "--port",
            str(PORT),
            "--at",
            at,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    answers = [*inside, "curl", "-sf", f"{URL}/_sim/clock"]
    wait(lambda: not subprocess.run(answers, capture_output=True, check=False).returncode, "the exchange")
    steering.keep(URL, state / TOKEN_FILE)
    return server


@dataclass
class Ears:
    """Whoever is told: an address outside the guest, and the messages that arrived there."""

    guest: Guest
    file: Path
    server: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Of its own."""
        return EARS_PORT + self.guest.number

    @property
    def url(self) -> str:
        """As the guest reaches it."""
        return f"http://{self.guest.here}:{self.port}/CANARY-topic"

    def open(self) -> None:
        """Begin to listen."""
        command = [sys.executable, "-m", "tests.nspawn.listening", str(self.port), str(self.file)]
        self.server = subprocess.Popen(command, cwd=REPOSITORY)
        answers = ["curl", "-sf", f"http://127.0.0.1:{self.port}/"]
        wait(lambda: not subprocess.run(answers, capture_output=True, check=False).returncode, "whoever is told")

    def close(self) -> None:
        """Hear nothing more."""
        if self.server is not None:
            self.server.terminate()
            self.server.wait(timeout=30)

    def titles(self) -> list[str]:
        """What was heard, oldest first."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [str(json.loads(line)["title"]) for line in lines]

    def count(self, title: str) -> int:
        """How often this was heard."""
        return sum(found.startswith(title) for found in self.titles())


def build_release(scratch: Path, name: str, edit: Mapping[str, str]) -> tuple[Path, int]:
    """Build a release of the last commit with `edit` appended to some files; return its archive and its size."""
    sources = scratch / f"sources-{name}"
    sources.mkdir()
    run("git", "-C", str(REPOSITORY), "archive", "--output", str(sources / "all.tar"), "HEAD")
    run("tar", "-C", str(sources), "-xf", str(sources / "all.tar"))
    for file, line in edit.items():
        (sources / file).write_text((sources / file).read_text() + line)
    said = run(sys.executable, str(REPOSITORY / "ansible/release.py"), "--sources", str(sources), "--to", str(scratch), seconds=600)
    found = json.loads(said)
    return Path(found["archive"]), int(found["bytes"])


def release_of(archive: Path) -> str:
    """Name of the release in an archive."""
    return archive.name.removeprefix("trademl-").rsplit("-", 2)[0]
