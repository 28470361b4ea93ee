"""The halt latch: one small durable file that says whether this device may send orders.

It stands beside the ledger and outside it, so that a lost, corrupt or restored ledger cannot arm a device.

Invariants
----------
1. Absent, unreadable or unknown content means HALTED: a fresh or restored device sends nothing until a person arms it.
2. `halt` is on disk when it returns, before any other reaction of its caller; it never fails because of what it finds.
3. A halt keeps its id and reason until a person re-arms; later halts are added to it, never over it.
4. Only `arm` (a device that never halted for a reason) and `rearm` (naming the halt) open the latch; both are called
   by a person's command and by nothing else. A reboot changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from appliance.seams import Fs
from signals.errors import DeviceHalted, FixInput
from signals.files import sha256_of

FILE_NAME = "latch.json"
FRESH_WORDS = "nothing is wrong; no orders are sent until you arm it"
UNREADABLE_WORDS = "the latch file cannot be read, so the device counts as halted"
HALT_ID_LENGTH = 8


class LatchState(StrEnum):
    """Whether orders may be sent."""

    HALTED = "halted"
    ARMED = "armed"


@dataclass(frozen=True)
class LatchRecord:
    """What the latch says.

    Attributes
    ----------
    state : LatchState
    halt_id : str
        Names the halt that `rearm` must repeat; empty while armed and on a fresh device.
    name : str
        The tripwire or error that halted; FRESH on a device that was never armed.
    reason : str
        For a person.
    at : str
        ISO 8601 instant of the change; empty on a fresh device.
    by : str
        Who re-armed or armed; empty on a halt.
    later : tuple of str
        Further halts while this one stood.
    """

    state: LatchState
    halt_id: str = ""
    name: str = ""
    reason: str = ""
    at: str = ""
    by: str = ""
    later: tuple[str, ...] = ()

    @property
    def is_armed(self) -> bool:
        """Whether orders may be sent."""
        return self.state is LatchState.ARMED

    @property
    def is_fresh(self) -> bool:
        """Whether the device has never been armed and nothing has halted it."""
        return self.name == FRESH.name

    def sentence(self) -> str:
        """One sentence for a person."""
        if self.is_armed:
            return f"ARMED since {self.at} by {self.by}"
        if self.is_fresh:
            return f"HALTED: {self.reason}"
        return f"HALTED by {self.name} at {self.at}, halt id {self.halt_id}: {self.reason}"


FRESH = LatchRecord(LatchState.HALTED, name="FRESH", reason=FRESH_WORDS)


class Latch:
    """The latch of one state folder.

    Parameters
    ----------
    state : Path
        The device's state folder.
    fs : Fs
    """

    def __init__(self, state: Path, fs: Fs) -> None:
        self._path = state / FILE_NAME
        self._fs = fs

    def read(self) -> LatchRecord:
        """Return what the latch says now (invariant 1)."""
        content = self._fs.read(self._path)
        if content is None:
            return FRESH
        try:
            row = json.loads(content)
            return LatchRecord(
                LatchState(row["state"]), row["halt_id"], row["name"], row["reason"], row["at"], row["by"],
                tuple(row["later"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            return LatchRecord(LatchState.HALTED, _identity(content), "LATCH_UNREADABLE", UNREADABLE_WORDS)

    def require_armed(self) -> None:
        """Raise `DeviceHalted` unless orders may be sent."""
        record = self.read()
        if not record.is_armed:
            mend = "Run `appliance arm`" if record.is_fresh else (
                f"Find the cause, then run `appliance rearm --halt-id {record.halt_id} --reason TEXT`"
            )  # fmt: skip
            raise DeviceHalted(record.sentence(), mend=mend)

    def halt(self, name: str, reason: str, at: datetime) -> LatchRecord:
        """Close the latch durably and return the halt that stands (invariants 2 and 3)."""
        standing = self.read()
        if standing.is_armed or standing.is_fresh:
            halt_id = _identity(f"{name}|{reason}|{at.isoformat()}".encode())
            record = LatchRecord(LatchState.HALTED, halt_id, name, reason, at.isoformat())
        else:
            record = replace(standing, later=(*standing.later, f"{at.isoformat()} {name}: {reason}"))
        self._write(record)
        return record

    def require_armable(self) -> None:
        """Raise `FixInput` when a halt stands that the first arming must not clear."""
        standing = self.read()
        if not standing.is_armed and not standing.is_fresh:
            raise FixInput(
                "a halt stands; the first arming does not clear it", where=standing.sentence(),
                mend=f"Run `appliance rearm --halt-id {standing.halt_id} --reason TEXT`",
            )  # fmt: skip

    def require_halt(self, halt_id: str) -> None:
        """Raise `FixInput` unless the halt `halt_id` stands."""
        standing = self.read()
        if standing.is_armed:
            raise FixInput("the device is armed; there is nothing to clear")
        if standing.is_fresh:
            raise FixInput("this device was never armed", mend="Run `appliance arm`")
        if halt_id != standing.halt_id:
            raise FixInput(
                f"halt {halt_id} does not stand", where=standing.sentence(), mend=f"Use --halt-id {standing.halt_id}"
            )

    def arm(self, *, by: str, at: datetime) -> LatchRecord:
        """Open the latch of a device that was never armed; raise `FixInput` when a halt stands."""
        self.require_armable()
        standing = self.read()
        if standing.is_armed:
            return standing
        record = LatchRecord(LatchState.ARMED, name="ARM", reason="armed for the first time", at=at.isoformat(), by=by)
        self._write(record)
        return record

    def rearm(self, *, halt_id: str, reason: str, by: str, at: datetime) -> LatchRecord:
        """Open the latch after the halt `halt_id`; raise `FixInput` when another halt, or none, stands."""
        self.require_halt(halt_id)
        if not reason.strip():
            raise FixInput("re-arming needs a reason in words", mend="Say what was wrong and why it is over")
        record = LatchRecord(LatchState.ARMED, name="REARM", reason=reason, at=at.isoformat(), by=by)
        self._write(record)
        return record

    def _write(self, record: LatchRecord) -> None:
        row = vars(record) | {"later": list(record.later)}
        self._fs.write(self._path, json.dumps(row, sort_keys=True, indent=1).encode())


def _identity(content: bytes) -> str:
    return sha256_of(content)[:HALT_ID_LENGTH]
