#!/usr/bin/python3
"""Manages the releases of one device: installed side by side, switched in one rename, rolled back automatically.

    appliance-release install FOLDER     build a release from its wheelhouse; nothing is switched
    appliance-release activate ID        switch to it, and back again unless it is well within --gate seconds
    appliance-release rollback           switch to the release that was in force before
    appliance-release restart            restart the service, where and when that is harmless
    appliance-release settle             at boot: go back from a switch that nobody saw the end of
    appliance-release list               every release, and which one is in force
    appliance-release prune              remove the releases beyond the newest --keep; never one that may be needed

It needs the system's Python and nothing else: it has to work when every release is broken.

Invariants
----------
1. `current` always names a complete release: it is a symbolic link that is replaced by one rename.
2. A switch is written down (`pending`) before it is made and struck out after its verdict: whoever finds it there
   goes back to the release that it names.
3. A release is complete only once its marker is on disk; an incomplete one is built again from nothing.
4. Nothing is switched while orders are near: the device is asked, and where it cannot answer, the hours from 08:45 to
   16:45 New York on weekdays count as near.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

BASE, STATE, HEALTH = Path("/opt/appliance"), Path("/var/lib/appliance"), Path("/run/appliance/health.json")
UNIT, USER = "appliance.service", "appliance"
MARKER, MANIFEST, PENDING = ".complete", "release.json", "pending"
DONE, BAD, ROLLED_BACK, NOT_NOW = 0, 2, 3, 5
GATE_SECONDS, STEADY_SECONDS, OLD_GATE_SECONDS = 120.0, 5.0, 120.0
BEFORE, AFTER = (8, 45), (16, 45)


class Refused(Exception):
    """What was asked for is not done; nothing was changed."""

    def __init__(self, words: str, code: int = BAD) -> None:
        super().__init__(words)
        self.code = code


def sync(folder: Path) -> None:
    """Make names inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: str) -> None:
    """Replace `path` whole."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


@dataclass
class Service:
    """The unit, as systemd knows it."""

    unit: str = UNIT
    health: Path = HEALTH

    def restart(self) -> None:
        """Read the units again and restart; `is_well` judges the result."""
        for words in (("daemon-reload",), ("reset-failed", self.unit), ("restart", "--no-block", self.unit)):
            subprocess.run(["systemctl", *words], check=False, capture_output=True, timeout=90)

    def stop(self) -> None:
        """Stop it: there is nothing that it could run."""
        subprocess.run(["systemctl", "stop", self.unit], check=False, capture_output=True, timeout=90)

    def reload(self) -> None:
        """Read the units again."""
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True, timeout=90)

    def pid(self) -> int:
        """Number of the main process once the unit is READY; else 0."""
        asked = ["systemctl", "show", "-p", "ActiveState", "-p", "MainPID", self.unit]
        said = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=30).stdout.splitlines()
        facts = dict(line.split("=", 1) for line in said if "=" in line)
        return int(facts.get("MainPID", 0)) if facts.get("ActiveState") == "active" else 0

    def health_of(self, pid: int) -> str:
        """The verdict that this very process has published; empty while it has published none."""
        try:
            facts = json.loads(self.health.read_text(encoding="utf-8"))
            return str(facts["verdict"]) if facts["process"]["pid"] == pid else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def is_well(self, seconds: float) -> str:
        """Wait until it is READY, stays so, and says that it is not down; return what is missing, or nothing."""
        until, pid, since = time.monotonic() + seconds, 0, 0.0
        while time.monotonic() < until:
            found = self.pid()
            if found != pid:
                pid, since = found, time.monotonic()
            if pid and time.monotonic() - since >= STEADY_SECONDS and self.health_of(pid) not in ("", "down"):
                return ""
            time.sleep(0.2)
        return f"not {'well' if pid else 'READY'} within {seconds:.0f} s"


def self_test(release: Path) -> str:
    """Run the release's own program once; return what is wrong, empty when nothing."""
    program = release / "bin/appliance"
    try:
        done = subprocess.run([program, "--help"], check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its program does not run: {error}"
    return "" if done.returncode == 0 else f"its program ends with {done.returncode}: {done.stderr[-300:]}"


def orders_are_near(base: Path, state: Path) -> str:
    """Ask the device in force; empty when it may be changed, else when it may."""
    if not (state / "config.yml").exists():
        return ""
    command = ["runuser", "-u", USER, "--", str(base / "current/bin/appliance"), "may-update", "--state", str(state)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode in (DONE, NOT_NOW):
            return done.stdout.strip() if done.returncode == NOT_NOW else ""
    except (OSError, subprocess.TimeoutExpired):
        pass
    now = datetime.now(ZoneInfo("America/New_York"))
    near = now.weekday() < 5 and BEFORE <= (now.hour, now.minute) < AFTER
    return "the release in force cannot say, and the market's hours are near" if near else ""


class Releases:
    """The folder of releases and the names that choose among them.

    The functions that it is given are what touches the running machine.
    """

    def __init__(
        self,
        base: Path,
        *,
        restart: Callable[[], None],
        stop: Callable[[], None],
        is_well: Callable[[float], str],
        self_test: Callable[[Path], str],
        near: Callable[[], str],
        reload: Callable[[], None],
    ) -> None:
        self.base, self.folder = base, base / "releases"
        self._restart, self._stop, self._reload = restart, stop, reload
        self._is_well, self._self_test, self._near = is_well, self_test, near

    def named(self, name: str) -> str | None:
        """The release that `current` or `previous` names, if it is complete."""
        link = self.base / name
        if not link.is_symlink():
            return None
        found = link.readlink().name
        return found if self.is_complete(found) else None

    def is_complete(self, release: str) -> bool:
        """Whether it was built to its end."""
        return bool(release) and (self.folder / release / MARKER).is_file()

    def complete(self) -> list[str]:
        """Every complete release, the newest first."""
        marks = sorted(self.folder.glob(f"*/{MARKER}"), key=lambda mark: mark.stat().st_mtime_ns, reverse=True)
        return [mark.parent.name for mark in marks]

    def switch(self, name: str, release: str | None) -> None:
        """Let `name` mean `release` in one rename; None removes the name."""
        link, fresh = self.base / name, self.base / f".{name}.new"
        fresh.unlink(missing_ok=True)
        if release is None:
            link.unlink(missing_ok=True)
        else:
            fresh.symlink_to(Path("releases") / release)
            fresh.replace(link)
        sync(self.base)

    def activate(self, release: str, *, gate: float, whenever: bool = False) -> str:
        """Switch to `release` and hold it to the gate; go back unless it passes."""
        if not self.is_complete(release):
            raise Refused(f"{release} is not installed")
        self.settle(restart=True)
        before = self.named("current")
        if before == release:
            return "already"
        if not whenever and (words := self._near()):
            raise Refused(words, NOT_NOW)
        if words := self._self_test(self.folder / release):
            self._note("refused", before, release, words)
            raise Refused(f"{release}: {words}")
        write(self.base / PENDING, json.dumps({"from": before, "to": release}))
        self.switch("current", release)
        self._restart()
        words = self._is_well(gate)
        if not words:
            if before is not None:
                self.switch("previous", before)
            self._note("active", before, release, "")
            self._strike_out()
            return "active"
        return self._go_back(before, release, words)

    def rollback(self, *, gate: float, whenever: bool = False) -> str:
        """Switch to the release before."""
        before = self.named("previous")
        if before is None:
            raise Refused("there is no release before this one")
        return self.activate(before, gate=gate, whenever=whenever)

    def restart(self, *, gate: float, whenever: bool = False) -> str:
        """Restart the release in force, so that it reads its settings and credentials again."""
        if not whenever and (words := self._near()):
            raise Refused(words, NOT_NOW)
        self._restart()
        if words := self._is_well(gate):
            raise Refused(f"{self.named('current')} is {words}", ROLLED_BACK)
        return "restarted"

    def settle(self, *, restart: bool = False) -> str:
        """Go back from a switch whose end nobody saw; at boot the service starts afterwards by itself."""
        try:
            row = json.loads((self.base / PENDING).read_text(encoding="utf-8"))
            before, release = row["from"], row["to"]
        except FileNotFoundError:
            return "nothing"
        except (ValueError, KeyError, TypeError):
            before, release = self.named("previous"), "?"
        if before is not None and self.is_complete(before):
            self.switch("current", before)
            self._reload()
            if restart:
                self._restart()
        self._note("settled", before, release, "its gate was never judged")
        self._strike_out()
        return "settled"

    def prune(self, keep: int) -> list[str]:
        """Remove what is neither in force, nor before it, nor among the newest `keep`; return what was removed."""
        needed = {self.named("current"), self.named("previous"), *self.complete()[:keep]}
        gone = []
        for folder in sorted(self.folder.iterdir()):
            if folder.name not in needed:
                (folder / MARKER).unlink(missing_ok=True)
                shutil.rmtree(folder)
                gone.append(folder.name)
        return gone

    def _go_back(self, before: str | None, release: str, words: str) -> str:
        told = f"{release} was {words}"
        if before is None:
            self._stop()
            self.switch("current", None)
            self._note("given up", before, release, words)
            self._strike_out()
            raise Refused(f"{told}; there is no release to go back to", ROLLED_BACK)
        self.switch("current", before)
        self._restart()
        again = self._is_well(OLD_GATE_SECONDS)
        self._note("rolled back", before, release, words)
        self._strike_out()
        raise Refused(f"{told}; {before} is in force again{f' and {again}' if again else ''}", ROLLED_BACK)

    def _strike_out(self) -> None:
        (self.base / PENDING).unlink(missing_ok=True)
        sync(self.base)

    def _note(self, what: str, before: str | None, release: str, words: str) -> None:
        row = {"at": datetime.now(UTC).isoformat(), "what": what, "from": before, "to": release, "words": words}
        with (self.base / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def checked(source: Path) -> dict[str, object]:
    """Read a release's manifest and hold every file to it."""
    try:
        manifest: dict[str, object] = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])  # type: ignore[call-overload]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{source} is not a release: {error}") from None
    found = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()} - {MANIFEST}
    if found != set(files):
        raise Refused(f"{source} does not hold what it says: {sorted(found ^ set(files))[:3]}")
    for name, digest in files.items():
        with (source / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise Refused(f"{name} is damaged")
    return manifest


def install(source: Path, releases: Releases, python: str = "/usr/bin/python3") -> str:
    """Build the release in its place, without any network; the marker comes last."""
    manifest = checked(source)
    release, target = str(manifest["id"]), releases.folder / str(manifest["id"])
    if releases.is_complete(release):
        return "already"
    asked = "import platform, sys; print(platform.machine(), '%d.%d' % sys.version_info[:2])"
    here = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True).stdout.split()
    if here != [manifest["machine"], manifest["python"]]:
        wanted = f"{manifest['machine']} and Python {manifest['python']}"
        raise Refused(f"{release} is for {wanted}, this is {' '.join(here)}")
    if target.exists():
        shutil.rmtree(target)
    pip = [str(target / "bin/python3"), "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
    steps = (
        [python, "-m", "venv", str(target)],
        [
            *pip,
            "install",
            "--quiet",
            "--no-index",
            "--find-links",
            str(source / "wheelhouse"),
            "--only-binary=:all:",
            "--require-hashes",
            "-r",
            str(source / "requirements.txt"),
        ],
        [*pip, "check"],
    )
    for step in steps:
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(f"{' '.join(step[:6])} ...: {(done.stderr or done.stdout)[-600:]}")
    for name in ("systemd", "configs", "docs"):
        shutil.copytree(source / name, target / name)
    shutil.copy(source / MANIFEST, target / MANIFEST)
    os.sync()
    write(target / MARKER, release + "\n")
    return "installed"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=BASE, help="where the releases are")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install").add_argument("folder", type=Path)
    for name in ("activate", "rollback", "restart"):
        command = commands.add_parser(name)
        command.add_argument("--gate", type=float, default=GATE_SECONDS, help="seconds in which it must be well")
        command.add_argument("--whenever", action="store_true", help="even while orders are near")
        if name == "activate":
            command.add_argument("release")
    commands.add_parser("settle").add_argument("--restart", action="store_true", help="restart the service, too")
    commands.add_parser("list")
    commands.add_parser("prune").add_argument("--keep", type=int, default=2)
    return parser.parse_args()


def main() -> int:
    """Do it, and say in one line of JSON what came of it."""
    asked, service = options(), Service()
    releases = Releases(
        asked.base,
        restart=service.restart,
        stop=service.stop,
        reload=service.reload,
        is_well=service.is_well,
        self_test=self_test,
        near=lambda: orders_are_near(asked.base, STATE),
    )
    releases.folder.mkdir(parents=True, exist_ok=True)
    done: object
    try:
        if asked.command == "install":
            done = install(asked.folder, releases)
        elif asked.command == "activate":
            done = releases.activate(asked.release, gate=asked.gate, whenever=asked.whenever)
        elif asked.command == "rollback":
            done = releases.rollback(gate=asked.gate, whenever=asked.whenever)
        elif asked.command == "restart":
            done = releases.restart(gate=asked.gate, whenever=asked.whenever)
        elif asked.command == "settle":
            done = releases.settle(restart=asked.restart)
        elif asked.command == "prune":
            done = releases.prune(asked.keep)
        else:
            done = releases.complete()
    except Refused as refused:
        print(json.dumps({"refused": str(refused), "current": releases.named("current")}))
        return refused.code
    found = {"done": done, "current": releases.named("current"), "previous": releases.named("previous")}
    print(json.dumps(found))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
