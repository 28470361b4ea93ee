"""What the machine says of itself: read, absent, or unreadable, which are three different things."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.controls.machine import FixedMachine, ThisMachine
from appliance.controls.tripwires import NO_SENSOR


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_hottest_zone_counts_in_degrees(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/temp", "48312\n")
    write(tmp_path / "class/thermal/thermal_zone1/temp", "80500\n")
    assert ThisMachine(tmp_path).read(tmp_path).temperature_celsius == pytest.approx(80.5)


@pytest.mark.parametrize(("alarm", "figure"), [("0\n", 0.0), ("1\n", 1.0)])
def test_the_under_voltage_alarm_is_the_firmware_s(tmp_path: Path, alarm: str, figure: float) -> None:
    write(tmp_path / "class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path / "class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert ThisMachine(tmp_path).read(tmp_path).under_voltage == figure


def test_an_absent_sensor_is_declared(tmp_path: Path) -> None:
    seen = ThisMachine(tmp_path).read(tmp_path)
    assert seen.temperature_celsius is NO_SENSOR and seen.under_voltage is NO_SENSOR


def test_a_sensor_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/temp", "hot")
    write(tmp_path / "class/hwmon/hwmon1/name", "rpi_volt\n")
    seen = ThisMachine(tmp_path).read(tmp_path)
    assert seen.temperature_celsius is None and seen.under_voltage is None


def test_the_disk_is_measured_and_missing_where_there_is_none(tmp_path: Path) -> None:
    free = ThisMachine(tmp_path).read(tmp_path).free_disk
    assert isinstance(free, float) and 0 < free < 1
    assert ThisMachine(tmp_path).read(tmp_path / "nowhere").free_disk is None


def test_a_replay_s_machine_is_the_same_everywhere_and_says_what_it_is(tmp_path: Path) -> None:
    assert FixedMachine().read(tmp_path) == FixedMachine().read(tmp_path / "nowhere")
    assert "replay asks no machine" in FixedMachine().source
