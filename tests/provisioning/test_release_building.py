"""A release holds what a device installs, by hash, and nothing of the trainer; the same sources give the same one."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.provisioning.test_releases import program

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("release_builder", ROOT / "ansible/release.py")
assert SPEC is not None and SPEC.loader is not None
builder: Any = importlib.util.module_from_spec(SPEC)
sys.modules["release_builder"] = builder
SPEC.loader.exec_module(builder)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for downloaded wheels: one that the lock names, one of an earlier lock."""
    folder = tmp_path_factory.mktemp("wheels")
    (folder / "numpy-2.4.6-cp311-cp311-manylinux_2_28_aarch64.whl").write_bytes(b"numpy")
    (folder / "forgotten-1.0-py3-none-any.whl").write_bytes(b"old")
    return folder


@pytest.fixture(scope="module")
def built(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    scratch = tmp_path_factory.mktemp("built")
    return scratch / "release", builder.assemble(scratch, ROOT, wheels, "aarch64", "3.11")


def test_every_file_stands_in_the_manifest_by_its_hash(built: tuple[Path, dict[str, Any]]) -> None:
    """The device's own check accepts it; what the lock does not name is not carried."""
    release, manifest = built
    assert program.checked(release)["id"] == manifest["id"]
    carried = {path.name.split("-")[0] for path in (release / "wheelhouse").iterdir()}
    assert carried == {"numpy", "trademl"}
    assert {path.name for path in release.iterdir()} == {"release.json", "requirements.txt", "wheelhouse", "systemd", "configs", "docs"}


def test_the_lock_is_the_devices_and_the_programs_own_wheel_by_hash(built: tuple[Path, dict[str, Any]]) -> None:
    release, manifest = built
    lock = (release / "requirements.txt").read_text()
    assert lock.startswith((ROOT / "requirements/device.txt").read_text().rstrip("\n"))
    (wheel,) = (release / "wheelhouse").glob("trademl-*.whl")
    assert lock.endswith(f"trademl=={manifest['version']} --hash=sha256:{builder.sha256(wheel)}\n")
    entries = re.findall(r"^\S+==.*?(?=^\S|\Z)", lock, flags=re.M | re.S)
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_trainer_stays_at_home(built: tuple[Path, dict[str, Any]]) -> None:
    (wheel,) = (built[0] / "wheelhouse").glob("trademl-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (entry,) = (name for name in names if name.endswith("entry_points.txt"))
        scripts = re.findall(r"^(\S+) = ", file.read(entry).decode(), flags=re.M)
    assert not any(name.startswith("trainer/") for name in names)
    assert {"signals/market/bars.py", "appliance/ledger/schema.sql", "appliance/__main__.py"} <= set(names)
    assert sorted(scripts) == ["appliance", "paper-exchange"]


def test_the_same_sources_give_the_same_archive(built: tuple[Path, dict[str, Any]], wheels: Path, tmp_path: Path) -> None:
    """To the byte; and its name is what a playbook reads the release's id from."""
    again = builder.assemble(tmp_path, ROOT, wheels, "aarch64", "3.11")
    assert again == built[1]
    for folder, name in ((built[0], "one.tar"), (tmp_path / "release", "two.tar")):
        builder.pack(folder, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert json.load(tar.extractfile("release.json") or sys.stdin)["machine"] == "aarch64"
    pattern = re.search(r"regex_search\('(.+?)', '", (ROOT / "ansible/roles/appliance/tasks/release.yml").read_text())
    assert pattern is not None
    found = re.fullmatch(pattern[1].replace("\\\\", "\\"), f"trademl-{again['id']}-aarch64-py3.11.tar")
    assert found is not None and found[1] == again["id"]


def test_a_device_takes_every_wheel_that_its_system_can_run() -> None:
    """Debian 12 has glibc 2.36, Debian 13 has 2.41."""
    assert builder.platforms("aarch64", "3.11")[0] == "manylinux_2_36_aarch64"
    assert builder.platforms("aarch64", "3.13")[0] == "manylinux_2_41_aarch64"
    for tag in ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"):
        assert tag in builder.platforms("aarch64", "3.11")
