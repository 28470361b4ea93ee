"""A blank Debian with a person's key on it, as an imaging program leaves a card: what provisioning begins with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.nspawn.rehearsal import STATE, STORE, Machine, run, wait

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = "systemd-sysv,dbus,python3,python3-apt,sudo,openssh-server,ca-certificates"
NETWORKS, PROXY_PORT = "10.199.0.0/16", 3128  # one a device, each with its own cable
OPERATOR = "keeper"


def blank_root(folder: Path) -> Path:
    """Return the cached blank root; build it on first use."""
    root, built = folder / "blank", folder / "blank.building"
    if root.exists():
        return root
    shutil.rmtree(built, ignore_errors=True)
    built.parent.mkdir(parents=True, exist_ok=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(built), seconds=900)
    run("chroot", str(built), "useradd", "--create-home", "--shell", "/bin/bash", OPERATOR)
    run("chroot", str(built), "systemctl", "enable", "systemd-networkd")
    (built / f"etc/sudoers.d/{OPERATOR}").write_text(f"{OPERATOR} ALL=(ALL) NOPASSWD: ALL\n")
    built.rename(root)
    return root


@dataclass
class Guest(Machine):
    """One device on the bench, with a network of its own.

    Attributes
    ----------
    name : str
    blank : Path
    key : Path
        The operator's private ssh key.
    backups : Path
        Folder that stands for what outlives a card.
    number : int
        Of its network.
    neighbours : callable
        Serves what the device finds on its own loopback while it boots.
    """

    name: str = "trademl-a"
    blank: Path = Path()
    key: Path = Path()
    backups: Path = Path()
    number: int = 0
    neighbours: Callable[[], None] = field(default=lambda: None)

    @property
    def here(self) -> str:
        """This end of its cable."""
        return f"10.199.{self.number}.1"

    @property
    def there(self) -> str:
        """The device's address."""
        return f"10.199.{self.number}.2"

    def prepare(self) -> None:
        """A new card: the blank root, and the operator's key."""
        run("cp", "-a", str(self.blank), str(self.root))
        (self.root / "etc/apt/apt.conf.d/01proxy").write_text(f'Acquire::http::Proxy "http://{self.here}:{PROXY_PORT}";\n')
        (self.root / "etc/systemd/network").mkdir(exist_ok=True)
        (self.root / "etc/systemd/network/10-host0.network").write_text(
            f"[Match]\nName=host0\n[Network]\nAddress={self.there}/24\nGateway={self.here}\n"
        )
        home = self.root / f"home/{OPERATOR}/.ssh"
        home.mkdir(mode=0o700)
        shutil.copy(self.key.with_suffix(".pub"), home / "authorized_keys")
        run("chroot", str(self.root), "chown", "-R", f"{OPERATOR}:", f"/home/{OPERATOR}")
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        (self.root / STORE.lstrip("/")).mkdir(parents=True)
        (self.root / "srv/backups").mkdir(parents=True)

    @property
    def state(self) -> Path:
        """The device's state folder, seen from outside."""
        return self.root / STATE.lstrip("/")

    def box(self) -> list[str]:
        """A network of its own, the published store, and where backups go."""
        return ["-M", self.name, "--network-veth", f"--bind-ro={self.store}:{STORE}", f"--bind={self.backups}:/srv/backups"]

    def plug_in(self) -> None:
        """Plug the cable in, and call its neighbours."""
        cable = f"ve-{self.name}"
        wait(lambda: Path(f"/sys/class/net/{cable}").exists(), "the cable")
        run("ip", "address", "replace", f"{self.here}/24", "dev", cable)
        run("ip", "link", "set", cable, "up")
        self.neighbours()

    def boot(self) -> None:
        """Switch it on and wait for ssh."""
        super().boot()
        wait(
            lambda: not subprocess.run(self.ssh("true"), capture_output=True, check=False).returncode,
            "ssh",
            lambda: self.inside_or("networkctl status host0; systemctl status ssh --no-pager"),
        )

    @property
    def control(self) -> str:
        """Socket of the shared connection; ssh ends at once where its path is longer than about 90 characters."""
        return f"/run/trademl-{self.name}.ssh"

    def ssh(self, command: str) -> list[str]:
        """Command line that runs `command` there as the operator."""
        known = self.scratch / f"known-{self.name}"
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "StrictHostKeyChecking": "accept-new",
            "ControlMaster": "auto",
            "UserKnownHostsFile": str(known),
            "ControlPersist": "900",
            "ControlPath": self.control,
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-i", str(self.key), *given, f"{OPERATOR}@{self.there}", command]

    def cut_power(self) -> None:
        """End everything inside at once; no connection waits for an answer that never comes."""
        subprocess.run(["ssh", "-o", f"ControlPath={self.control}", "-O", "exit", self.there], capture_output=True, check=False)
        super().cut_power()

    def remove(self) -> None:
        """Switch it off; the card stays to be looked at."""
        if self.process is not None and self.process.poll() is None:
            self.cut_power()
