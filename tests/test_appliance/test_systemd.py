"""The units verify clean and are hardened to an exposure of at most 2.0 (D1)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
TOOL = shutil.which("systemd-analyze")
MAX_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(TOOL is None, reason="systemd-analyze absent")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they are, but for the program's path: it exists on a device, not here."""
    found = []
    for source in sorted(UNITS.iterdir()):
        copy = tmp_path / source.name
        copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", source.read_text(), flags=re.M))
        found.append(copy)
    return found


@needs_systemd
def test_the_units_verify_clean(units: list[Path]) -> None:
    done = subprocess.run(
        [str(TOOL), "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_service_is_hardened(units: list[Path]) -> None:
    service = next(unit for unit in units if unit.suffix == ".service")
    done = subprocess.run(
        [str(TOOL), "security", "--offline=true", f"--threshold={int(MAX_EXPOSURE * 10)}", str(service)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert exposure is not None and float(exposure[1]) <= MAX_EXPOSURE
    assert done.returncode == 0


def test_secrets_come_as_credentials_alone() -> None:
    text = (UNITS / "appliance.service").read_text()
    assert text.count("LoadCredentialEncrypted=") == 2
    assert not re.search(r"(SECRET|KEY_ID|TOKEN)\s*=", text)


def test_the_timer_is_no_coarser_than_the_timetable() -> None:
    from appliance.schedule import TIMETABLE

    assert "OnCalendar=*:0/5\n" in (UNITS / "appliance.timer").read_text()
    for slot in TIMETABLE:
        assert slot.at.clock.minute % 5 == 0 and slot.at.minutes % 5 == 0
