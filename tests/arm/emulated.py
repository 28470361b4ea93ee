"""A Debian for aarch64 on this machine: its files below one folder, its instructions carried out by qemu-user.

Entry points: `root` builds and keeps it, `registered` teaches the kernel to run its programs, `Board.run` runs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITES = {"3.11": "bookworm", "3.13": "trixie"}
PACKAGES = "ca-certificates,libgomp1,libstdc++6,python3,python3-venv,tzdata"
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "make", "ld", "as", "rustc", "cargo")
EMULATOR = "qemu-aarch64-static"
NEEDED = (EMULATOR, "debootstrap", "dpkg-deb", "chroot")
SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # root's programs, whoever's list of places it is
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ENTRY = "trademl-aarch64"
# The head of an ELF file for this machine (class, byte order, type, number 183), and the bits of it that count.
MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


class Broken(Exception):
    """A rule does not hold, or what is needed is not there."""


class NotRegistered(Broken):
    """The kernel cannot be taught to run aarch64 programs here."""


@dataclass(frozen=True)
class Board:
    """A root of aarch64 programs and the core that is emulated; its `run` is a shell of that machine."""

    root: Path
    cpu: str

    def run(self, *command: str, seconds: float = 1800, **settings: str) -> str:
        """Run a program of the root to its end; return what it printed, or raise `Broken` with its words."""
        return ended(["chroot", str(self.root), *command], {**self.environment, **settings}, seconds)

    def run_direct(self, *command: str, seconds: float = 600, **settings: str) -> str:
        """The same where the kernel knows nothing of aarch64: one program, which starts no other."""
        inside = self.root / "usr/bin" / EMULATOR
        if not inside.exists():
            shutil.copy(emulator(), inside)
        command = ("chroot", str(self.root), f"/usr/bin/{EMULATOR}", *command)
        return ended(command, {**self.environment, **settings}, seconds)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this machine's."""
        return {
            "QEMU_CPU": self.cpu,
            "HOME": "/root",
            "PATH": "/usr/sbin:/usr/bin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


def ended(command: Sequence[str], environment: Mapping[str, str] | None = None, seconds: float = 1800) -> str:
    """Run a command to its end; return what it printed, or raise `Broken` with its last words."""
    environment = environment or {**os.environ, "PATH": SEARCHED}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        last = (done.stdout[-1500:] + done.stderr[-2500:]).strip()
        raise Broken(f"{' '.join(command)[:300]} ended with {done.returncode}:\n{last}")
    return done.stdout


def emulator() -> str:
    """Where the emulator is."""
    found = shutil.which(EMULATOR, path=SEARCHED)
    if found is None:
        raise Broken(f"{EMULATOR} is missing: install the package qemu-user-static")
    return found


def missing() -> list[str]:
    """Programs that building the root needs and this machine does not have."""
    return [name for name in NEEDED if shutil.which(name, path=SEARCHED) is None]


def root(python: str, folder: Path) -> Path:
    """Return the cached root of the Debian whose Python this is; build it on first use.

    The packages are only unpacked. Of what their installing scripts do, a device needs one thing: the authorities
    joined in one file, which Debian's pip opens even when it fetches nothing.
    """
    built = folder / SUITES[python]
    if not built.exists():
        fresh = folder / f"{SUITES[python]}.building"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        ended(["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", f"--include={PACKAGES}", SUITES[python], str(fresh)])
        archives = fresh / "var/cache/apt/archives"
        for package in sorted(archives.glob("*.deb")):
            ended(["dpkg-deb", "-x", str(package), str(fresh)])
        shutil.rmtree(archives)
        authorities = sorted((fresh / "usr/share/ca-certificates/mozilla").glob("*.crt"))
        (fresh / "etc/ssl/certs/ca-certificates.crt").write_text("\n".join(each.read_text() for each in authorities))
        fresh.rename(built)
    compilers = [name for name in COMPILERS if (built / "usr/bin" / name).exists()]
    if compilers:
        raise Broken(f"{built} has a compiler, and must show that none is needed: {compilers}")
    return built


@contextmanager
def registered() -> Iterator[None]:
    """Let the kernel hand aarch64 programs to the emulator, as long as this lasts; needs root.

    Raises
    ------
    NotRegistered
        This machine does not let us: a container without the right to mount, or a kernel without it.
    """
    entry = BINFMT / ENTRY
    # F: the emulator is opened now, so that it need not be inside the root.
    line = b":" + ENTRY.encode() + b":M::" + MAGIC + b":" + MASK + b":" + emulator().encode() + b":F"
    try:
        if not (BINFMT / "register").exists():
            ended(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)])
        if entry.exists():
            entry.write_text("-1")
        (BINFMT / "register").write_bytes(line)
    except (Broken, OSError) as reason:
        raise NotRegistered(f"binfmt_misc: {str(reason).splitlines()[-1]}") from None
    try:
        yield
    finally:
        entry.write_text("-1")
