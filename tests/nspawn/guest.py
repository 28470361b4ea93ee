"""A blank Debian with a person's key on it, as an imaging program leaves a card: what provisioning begins with."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.nspawn.rehearsal import STATE, STORE, Machine, run, wait

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = "systemd-sysv,dbus,python3,python3-apt,sudo,openssh-server,ca-certificates"
HERE, THERE, NETWORK, PROXY_PORT = "10.199.0.1", "10.199.0.2", "10.199.0.0/24", 3128
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
    (built / "etc/apt/apt.conf.d/01proxy").write_text(f'Acquire::http::Proxy "http://{HERE}:{PROXY_PORT}";\n')
    (built / "etc/systemd/network").mkdir(exist_ok=True)
    (built / "etc/systemd/network/10-host0.network").write_text(
        f"[Match]\nName=host0\n[Network]\nAddress={THERE}/24\nGateway={HERE}\n"
    )
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
    """

    name: str = "trademl-a"
    blank: Path = Path()
    key: Path = Path()
    backups: Path = Path()

    def prepare(self) -> None:
        """A new card: the blank root, and the operator's key."""
        run("cp", "-a", str(self.blank), str(self.root))
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
        return ["-M", self.name, "--network-veth", f"--bind-ro={self.store}:{STORE}",
                f"--bind={self.backups}:/srv/backups"]  # fmt: skip

    def boot(self) -> None:
        """Switch it on, plug the cable in, and wait for ssh."""
        super().boot()
        cable = f"ve-{self.name}"
        run("ip", "address", "replace", f"{HERE}/24", "dev", cable)
        run("ip", "link", "set", cable, "up")
        wait(lambda: not subprocess.run(self.ssh("true"), capture_output=True, check=False).returncode, "ssh",
             lambda: self.inside_or("networkctl status host0; systemctl status ssh --no-pager"))  # fmt: skip

    def ssh(self, command: str) -> list[str]:
        """Command line that runs `command` there as the operator."""
        known = self.scratch / f"known-{self.name}"
        options = {
            "BatchMode": "yes", "ConnectTimeout": "5", "StrictHostKeyChecking": "accept-new", "ControlMaster": "auto",
            "UserKnownHostsFile": str(known), "ControlPersist": "900", "ControlPath": f"{self.scratch}/ssh-{self.name}",
        }  # fmt: skip
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-i", str(self.key), *given, f"{OPERATOR}@{THERE}", command]

    def remove(self) -> None:
        """Switch it off; the card stays to be looked at."""
        subprocess.run(["ssh", "-o", f"ControlPath={self.scratch}/ssh-{self.name}", "-O", "exit", THERE],
                       capture_output=True, check=False)  # fmt: skip
        if self.process is not None and self.process.poll() is None:
            self.cut_power()
