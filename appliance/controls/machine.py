"""Readings of the machine: free disk, temperature and power supply; injected, so that a replay reads no hardware.

A sensor that this machine does not have is a declared state; one that it has and that cannot be read is missing, which
counts as tripped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.controls.tripwires import NO_SENSOR, Figure
from signals.files import free_share

SYS = Path("/sys")
MILLI = 1000.0


@dataclass(frozen=True)
class MachineReading:
    """One look at the machine.

    Attributes
    ----------
    free_disk : float or None
        Free share of the disk that holds the state folder.
    temperature_celsius : float, NotYet or None
        Of the hottest zone.
    under_voltage : float, NotYet or None
        1 while the power supply sags, else 0.
    """

    free_disk: Figure
    temperature_celsius: Figure
    under_voltage: Figure


class Machine(Protocol):
    """Where readings come from."""

    @property
    def source(self) -> str:
        """The kind of readings, in words for the report."""

    def read(self, state: Path) -> MachineReading:
        """Look at the machine that holds the folder `state`."""


class ThisMachine:
    """The machine that the program runs on, by what Linux says below /sys.

    Parameters
    ----------
    sys : Path
        Where sysfs is mounted.
    """

    source = "read from this machine"

    def __init__(self, sys: Path = SYS) -> None:
        self._sys = sys

    def read(self, state: Path) -> MachineReading:
        """Read disk, thermal zones and the under-voltage alarm."""
        return MachineReading(free_share(state), self._temperature(), self._under_voltage())

    def _temperature(self) -> Figure:
        hottest = _highest(sorted(self._sys.glob("class/thermal/thermal_zone*/temp")))
        return hottest / MILLI if isinstance(hottest, float) else hottest

    def _under_voltage(self) -> Figure:
        """The alarm of a Raspberry Pi's firmware; other machines have none."""
        named = sorted(self._sys.glob("class/hwmon/hwmon*/name"))
        return _highest([name.parent / "in0_lcrit_alarm" for name in named if _is_pi_voltage(name)])


class FixedMachine:
    """A healthy machine that never changes: what happened in the past does not depend on today's disk."""

    source = "a fixed healthy reading: a replay asks no machine"

    def read(self, state: Path) -> MachineReading:
        """Return the same reading for every folder."""
        return MachineReading(0.5, NO_SENSOR, NO_SENSOR)


def _highest(files: Sequence[Path]) -> Figure:
    if not files:
        return NO_SENSOR
    try:
        return max(float(path.read_text()) for path in files)
    except (OSError, ValueError):
        return None


def _is_pi_voltage(name: Path) -> bool:
    try:
        return name.read_text().strip() == "rpi_volt"
    except OSError:
        return False
