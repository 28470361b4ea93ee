"""Build a release of the device: one archive that holds everything a device installs, so that it needs no network.

    python ansible/release.py --machine aarch64 --python 3.11 --to var/releases

The archive `trademl-<id>-<machine>-py<version>.tar` holds the wheels of `requirements/device.txt`, or with
`--extra alerts` of `requirements/device-alerts.txt` (downloaded by hash for that machine, none is ever compiled), the
wheel of the device's own packages, the lock, units, settings and documents, and `release.json` with the SHA-256 of
each. The id is the version and a digest of all that: the same sources give the same id.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("signals", "portfolio", "execution", "appliance")
CARRIED = {"systemd": "appliance*", "configs": "*.yml", "docs": "*.md"}
TRAINER_SCRIPT = 'trainer = "trainer.__main__:main"\n'
GLIBC = {"3.11": 36, "3.13": 41}  # of Debian 12 and 13, whose Pythons these are
OLDEST_GLIBC = 17
FIXED_TIME = "315532800"  # 1980-01-01, the oldest that a zip file can hold


def main() -> int:
    """Build it and print what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", choices=("x86_64", "aarch64"), default=platform.machine())
    parser.add_argument("--python", choices=tuple(GLIBC), default="3.11")
    parser.add_argument("--to", type=Path, default=ROOT / "var/releases")
    parser.add_argument("--wheels", type=Path, default=ROOT / "var/wheels", help="cache of downloaded wheels")
    parser.add_argument("--sources", type=Path, default=ROOT, help="of the device's packages")
    parser.add_argument("--extra", choices=("alerts",), help="what the device shall have besides")
    asked = parser.parse_args()
    lock = f"requirements/device{f'-{asked.extra}' if asked.extra else ''}.txt"
    asked.to.mkdir(parents=True, exist_ok=True)
    cache = asked.wheels.resolve() / f"{asked.machine}-{asked.python}"
    cache.mkdir(parents=True, exist_ok=True)
    download(asked.sources / lock, cache, asked.machine, asked.python)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        built = assemble(Path(folder), asked.sources, cache, asked.machine, asked.python, lock)
        archive = asked.to / f"trademl-{built['id']}-{asked.machine}-py{asked.python}.tar"
        pack(Path(folder) / "release", archive)
    print(json.dumps({"archive": str(archive), "id": built["id"], "bytes": archive.stat().st_size}))
    return 0


def run(*command: str, **settings: str) -> None:
    """Run a command to its end, or end with its words."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **settings})
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)[:200]} ended with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def platforms(machine: str, python: str) -> list[str]:
    """Every tag that a device of this kind can run; pip takes them by name only."""
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[python], OLDEST_GLIBC - 1, -1)), f"manylinux2014_{machine}"]


def download(lock: Path, to: Path, machine: str, python: str) -> None:
    """Fetch the wheels that the lock names, each held to its hash."""
    tags = [f"--platform={tag}" for tag in platforms(machine, python)]
    abi = "cp" + python.replace(".", "")
    run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        *tags,
        f"--python-version={python}",
        "--implementation=cp",
        f"--abi={abi}",
        "--abi=abi3",
        "--abi=none",
        "--dest",
        str(to),
        "-r",
        str(lock),
    )


def assemble(
    scratch: Path, sources: Path, wheels: Path, machine: str, python: str, lock_name: str = "requirements/device.txt"
) -> dict[str, object]:
    """Lay the release out below `scratch/release` and return its manifest."""
    release = scratch / "release"
    for name, pattern in CARRIED.items():
        (release / name).mkdir(parents=True)
        for path in sorted((sources / name).glob(pattern)):
            shutil.copyfile(path, release / name / path.name)
    own = project_wheel(scratch / "project", sources)
    shutil.copytree(wheels, release / "wheelhouse")
    shutil.copy(own, release / "wheelhouse")
    lock = (sources / lock_name).read_text()
    name, version = own.name.split("-")[:2]
    line = f"{name}=={version} --hash=sha256:{sha256(own)}\n"
    (release / "requirements.txt").write_text(lock.rstrip("\n") + "\n" + line)
    wanted = {item.lower().replace("_", "-") for item in re.findall(r"^([\w.-]+)==", lock + line, flags=re.M)}
    for wheel in sorted((release / "wheelhouse").iterdir()):
        if wheel.name.split("-")[0].lower().replace("_", "-") not in wanted:
            wheel.unlink()  # of an earlier lock
    files = {str(p.relative_to(release)): sha256(p) for p in sorted(release.rglob("*")) if p.is_file()}
    digest = hashlib.sha256(json.dumps([machine, python, files]).encode()).hexdigest()
    manifest = {"id": f"{version}-{digest[:12]}", "version": version, "machine": machine, "python": python}
    (release / "release.json").write_text(json.dumps({**manifest, "files": files}, indent=1))
    return dict(manifest)


def project_wheel(scratch: Path, sources: Path) -> Path:
    """Build the wheel of the device's packages, apart from the work tree; the trainer stays at home."""
    scratch.mkdir()
    for name in PACKAGES:
        shutil.copytree(sources / name, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
    project = (sources / "pyproject.toml").read_text()
    if TRAINER_SCRIPT not in project:
        sys.exit("pyproject.toml names the trainer's program differently: correct TRAINER_SCRIPT")
    (scratch / "pyproject.toml").write_text(project.replace(TRAINER_SCRIPT, ""))
    for name in ("README.md", "LICENSE"):
        shutil.copy(sources / name, scratch)
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "--wheel-dir",
        str(scratch / "wheel"),
        str(scratch),
        SOURCE_DATE_EPOCH=FIXED_TIME,
    )
    (found,) = (scratch / "wheel").iterdir()
    return found


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(folder: Path, archive: Path) -> None:
    """Pack the folder; wheels are compressed already, and the same content gives the same bytes."""

    def plain(item: tarfile.TarInfo) -> tarfile.TarInfo:
        item.mtime, item.uid, item.gid, item.uname, item.gname = int(FIXED_TIME), 0, 0, "", ""
        item.mode = 0o755 if item.isdir() else 0o644
        return item

    fresh = archive.with_suffix(".new")
    with tarfile.open(fresh, "w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)
    fresh.replace(archive)


if __name__ == "__main__":
    sys.exit(main())
