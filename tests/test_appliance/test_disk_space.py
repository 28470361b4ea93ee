"""D8: a disk that fills loses its caches first, then halts the device, and says so; what is no cache stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, time
from pathlib import Path

import pytest

from appliance.context import Deps
from appliance.controls.machine import MachineReading, ThisMachine
from appliance.controls.tripwires import NO_SENSOR, Figure
from appliance.jobs.prune import free_disk_space
from appliance.ledger import Ledger, alerts, halts
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import DurableFs
from tests.fakes.broker import FakeBroker, Inbox, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D = date(2024, 3, 12)
KEPT = (
    "ledger.sqlite",
    "latch.json",
    "market.duckdb",
    "reports/report_2024-03-11.md",
    "backups/ledger/x/backup.json",
    "ledger.sqlite.replaced-20240101T000000Z",
    "bundles/12-abc/model.onnx",
    "bundles/3-abc/model.onnx",
)


@dataclass
class Disk:
    """What the machine answers, look by look; the last answer stays."""

    answers: list[Figure]
    source: str = "a test"
    asked: int = field(default=0)

    def read(self, state: Path) -> MachineReading:
        self.asked += 1
        free = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return MachineReading(free, NO_SENSOR, NO_SENSOR)


def furnish(root: Path) -> None:
    """A state folder with something of everything."""
    for name in KEPT[2:]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 1_000)
    for number in range(4, 12):
        (root / f"bundles/{number}-abc").mkdir()
        (root / f"bundles/{number}-abc/model.onnx").write_bytes(b"x" * 1_000_000)
    (root / "bundles/current.json").write_text(json.dumps({"seq": 3, "folder": "3-abc"}))
    for cache in ("incoming", "copies"):
        (root / cache).mkdir()
        (root / cache / "part").write_bytes(b"x" * 1_000_000)


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[Deps]:
    clock = VirtualClock(CALENDAR.session(D).at(time(8)))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        found = deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, DurableFs(), ledger, Inbox())  # type: ignore[arg-type]
        found.latch.arm(by="ana", at=clock.now())
        furnish(tmp_path)
        yield found


def left(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_with_room_nothing_is_touched_and_nobody_is_told(deps: Deps, tmp_path: Path) -> None:
    before = left(tmp_path)
    free_disk_space(replace(deps, machine=Disk([0.10])), D)  # type: ignore[arg-type]
    assert left(tmp_path) == before and alerts.newest(deps.ledger, 10) == ()
    assert deps.latch.read().is_armed


def test_a_filling_disk_loses_its_caches_and_the_device_goes_on(deps: Deps, tmp_path: Path) -> None:
    free_disk_space(replace(deps, machine=Disk([0.099, 0.03])), D)  # type: ignore[arg-type]
    found = left(tmp_path)
    assert found >= set(KEPT) and not [name for name in found if name.startswith(("incoming", "copies"))]
    assert sorted(name for name in found if name.endswith("model.onnx")) == sorted(KEPT[-2:])
    ((_, row),) = [(n, alert) for n, alert in enumerate(alerts.newest(deps.ledger, 10))]
    assert row.alert.title == "the disk is filling" and "9.5 MB of caches were removed; 3% of the disk" in row.alert.body
    assert deps.latch.read().is_armed


@pytest.mark.parametrize("after", [0.0299, 0.0, None])
def test_a_disk_that_stays_full_without_its_caches_halts_once(deps: Deps, tmp_path: Path, after: float | None) -> None:
    full = replace(deps, machine=Disk([0.02, after, 0.02, after]))  # type: ignore[arg-type]
    free_disk_space(full, D)
    standing = deps.latch.read()
    assert not standing.is_armed and standing.name == "DISK" and "of caches were removed" in standing.reason
    row = halts.find(deps.ledger, standing.halt_id)
    assert row is not None and row.measure == "free_disk"
    assert left(tmp_path) >= set(KEPT)
    free_disk_space(full, D)
    assert deps.latch.read().later == ()


def test_a_disk_that_cannot_be_measured_is_left_to_the_tripwires(deps: Deps) -> None:
    free_disk_space(replace(deps, machine=Disk([None])), D)  # type: ignore[arg-type]
    assert deps.latch.read().is_armed


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB, where mounting one is allowed."""
    folder = tmp_path / "card"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here: the filling card is not tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_card_that_fills_is_swept_and_then_halts_the_device(card: Path) -> None:
    clock = VirtualClock(CALENDAR.session(D).at(time(8)))
    with Ledger(card / "ledger.sqlite") as ledger:
        broker = FakeBroker(clock, CALENDAR, {})
        deps = deps_of(card, broker, clock, CALENDAR, DurableFs(), ledger, Inbox())  # type: ignore[arg-type]
        deps.latch.arm(by="ana", at=clock.now())
        furnish(card)
        fill(card, 0.05)
        free_disk_space(deps, D)  # ten megabytes of caches are a third of this card
        assert deps.latch.read().is_armed and ThisMachine().read(card).free_disk > 0.3  # type: ignore[operator]
        fill(card, 0.02)
        free_disk_space(deps, D)
        assert deps.latch.read().name == "DISK" and broker.cancelled == [clock.now()]
    assert left(card) >= set(KEPT)


def fill(card: Path, leave: float) -> None:
    usage = shutil.disk_usage(card)
    with (card / f"ballast-{leave}").open("wb") as stream:
        stream.write(bytes(int(usage.free - leave * usage.total)))
