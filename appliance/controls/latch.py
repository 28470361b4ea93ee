"""The halt latch: a small durable file that says whether this device may send orders.

It is a file next to the ledger, not in it, so that a lost, corrupt or restored ledger cannot arm a device.
Next to an open latch there is a closed one, written when it was opened: closing is one rename, which needs no reading, no
room on the disk and no words. What is known of the halt is written afterwards, where it can be.

Invariants
----------
1. Absent, unreadable or unknown content means HALTED. Where the file is absent the ledger is asked: a halt in force
   there is in force here, and a device that was armed once is halted for an unknown cause; only one that never was is fresh.
2. `close` is durable when it returns and never raises; `halt` closes first and adds what is known.
3. A halt keeps its id and reason until a person re-arms; later halts are added to it, never over it.
4. Only `arm` (a device that never halted for a reason) and `rearm` (naming the halt) open the latch; both are called
   by a person's command and by nothing else. A reboot changes nothing. A kill that arrives while it is opened wins.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from appliance.ledger import AccessMode, Ledger, halts
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.errors import DeviceHalted, FixInput, LedgerUnusable, Locked
from signals.files import sha256_of
from signals.text.wording import clean, reason_of, utc_words

FILE_NAME = "latch.json"
PREPARED_NAME = "latch.closed"
FRESH_WORDS = "nothing is wrong; no orders are sent until you arm it"
UNREADABLE_WORDS = "the latch file cannot be read, so the device counts as halted"
CLOSED_WORDS = "a kill closed the latch, and why is not written here"
MISSING_WORDS = "the latch file is gone and nobody recorded a halt: its cause is unknown"
UNASKED_WORDS = "the latch file is gone, and the ledger cannot be asked why"
REFUSED_WORDS = "the disk takes nothing, not even this: halt again once it does"
CLOSED, MISSING, UNREADABLE = "CLOSED", "LATCH_MISSING", "LATCH_UNREADABLE"
HALT_ID_LENGTH = 8


class LatchState(StrEnum):
    """Whether orders may be sent."""

    HALTED = "halted"
    ARMED = "armed"


@dataclass(frozen=True)
class LatchRecord:
    """The content of the latch.

    Attributes
    ----------
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
        Further halts while this one was in force.
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
            return f"ARMED since {_instant_words(self.at)} by {self.by}"
        if self.is_fresh:
            return f"HALTED: {self.reason}"
        when = f" at {_instant_words(self.at)}" if self.at else ""
        return f"HALTED by {self.name}{when}, halt id {self.halt_id}: {self.reason}"


def _instant_words(at: str) -> str:
    try:
        return utc_words(datetime.fromisoformat(at))
    except ValueError:
        return at


FRESH = LatchRecord(LatchState.HALTED, name="FRESH", reason=FRESH_WORDS)


class Latch:
    """The latch of one state folder.

    Parameters
    ----------
    state : Path
        The device's state folder.
    """

    def __init__(self, state: Path, fs: Fs) -> None:
        self._ledger = StateFolder(state).ledger
        self._path, self._prepared = state / FILE_NAME, state / PREPARED_NAME
        self._fs = fs
        self._refused: tuple[bytes, LatchRecord] | None = None

    def read(self) -> LatchRecord:
        """Return what the latch says now (invariant 1)."""
        try:
            content = self._fs.read(self._path)
        except OSError as error:
            return LatchRecord(LatchState.HALTED, _identity(str(error.errno).encode()), UNREADABLE, UNREADABLE_WORDS)
        if content is None:
            return self._absent()
        if self._refused is not None and self._refused[0] == content:
            return self._refused[1]
        return _decoded(content)

    def _absent(self) -> LatchRecord:
        """The meaning of an absent latch, by the ledger next to it."""
        if not self._ledger.exists():
            return FRESH
        try:
            with Ledger(self._ledger, AccessMode.READ) as ledger:
                current, last = halts.open_halts(ledger, halts.HALT), halts.last_armed(ledger)
        except (LedgerUnusable, Locked):
            return LatchRecord(LatchState.HALTED, _identity(MISSING.encode()), MISSING, UNASKED_WORDS)
        if current:
            row = current[-1]
            return LatchRecord(LatchState.HALTED, row.id, row.name, row.value, row.at.isoformat())
        if last is None:
            return FRESH
        return LatchRecord(LatchState.HALTED, _identity(f"{MISSING}|{last}".encode()), MISSING, MISSING_WORDS)

    def prepare(self) -> None:
        """Write a closed latch next to an open one that has none, and remove the one next to a closed latch.

        A disk that does not take it is no reason not to go on: `close` has another way.
        """
        with suppress(OSError):
            content = self._fs.read(self._path)
            if content is not None and _decoded(content).is_armed:
                if self._fs.exists(self._prepared):
                    return
                self._fs.write(self._prepared, _encoded(_closed(content)))
                if self._is_open():
                    return  # and not closed meanwhile by another process, whose record this one must not replace
            self._fs.remove(self._prepared)

    def close(self) -> None:
        """Close the latch durably, by the simplest means that works; never raises (invariant 2)."""
        with suppress(OSError):
            self._fs.rename(self._prepared, self._path)
            return
        if not self._is_open():
            return
        with suppress(OSError):  # nothing was prepared: an older release armed this device
            self._fs.write(self._path, _encoded(_closed(b"")))
            return
        with suppress(OSError):
            self._fs.remove(self._path)  # absent, with a ledger that was armed, means halted

    def _is_open(self) -> bool:
        try:
            content = self._fs.read(self._path)
        except OSError:
            return False
        return content is not None and _decoded(content).is_armed

    def require_armed(self) -> None:
        """Raise `DeviceHalted` unless orders may be sent."""
        record = self.read()
        if not record.is_armed:
            fix = (
                "Run `appliance arm`"
                if record.is_fresh
                else (f"Find the cause, then run `appliance rearm --halt-id {record.halt_id} --reason TEXT`")
            )
            raise DeviceHalted(record.sentence(), fix=fix)

    def halt(self, name: str, reason: str, at: datetime) -> LatchRecord:
        """Close the latch durably, add what is known, and return the halt in force (invariants 2 and 3).

        Where the disk takes nothing at all, this object says halted for as long as the file says what it says now.
        """
        self.close()
        current, words = self.read(), clean(reason)
        if current.name == CLOSED:
            record = replace(current, name=name, reason=words, at=at.isoformat())
        elif current.is_armed or current.is_fresh:
            halt_id = _identity(f"{name}|{words}|{at.isoformat()}".encode())
            record = LatchRecord(LatchState.HALTED, halt_id, name, words, at.isoformat())
        else:
            record = replace(current, later=(*current.later, f"{utc_words(at)} {name}: {words}"))
        with suppress(OSError):
            self._fs.write(self._path, _encoded(record))
            return record
        if current.is_armed and (content := self._fs.read(self._path)) is not None:
            record = replace(record, reason=f"{words}; {REFUSED_WORDS}")
            self._refused = content, record
        return record

    @property
    def is_refused(self) -> bool:
        """Whether a halt was asked for that the disk did not take in any form: it ends with this process."""
        return self._refused is not None and self.read() is self._refused[1]

    def require_armable(self) -> None:
        """Raise `FixInput` when a halt is in force that the first arming must not clear."""
        current = self.read()
        if not current.is_armed and not current.is_fresh:
            raise FixInput(
                "a halt is in force; the first arming does not clear it",
                where=current.sentence(),
                fix=f"Run `appliance rearm --halt-id {current.halt_id} --reason TEXT`",
            )

    def require_halt(self, halt_id: str) -> None:
        """Raise `FixInput` unless the halt `halt_id` is in force."""
        current = self.read()
        if current.is_armed:
            raise FixInput("the device is armed; there is nothing to clear")
        if current.is_fresh:
            raise FixInput("this device was never armed", fix="Run `appliance arm`")
        if halt_id != current.halt_id:
            raise FixInput(f"halt {halt_id} is not in force", where=current.sentence(), fix=f"Use --halt-id {current.halt_id}")

    def arm(self, *, by: str, at: datetime) -> LatchRecord:
        """Open the latch of a device that was never armed; raise `FixInput` when a halt is in force."""
        self.require_armable()
        current = self.read()
        if current.is_armed:
            return current
        record = LatchRecord(LatchState.ARMED, name="ARM", reason="armed for the first time", at=at.isoformat(), by=by)
        return self._open(record, current)

    def rearm(self, *, halt_id: str, reason: str, by: str, at: datetime) -> LatchRecord:
        """Open the latch after the halt `halt_id`; raise `FixInput` when another halt, or none, is in force."""
        self.require_halt(halt_id)
        if not reason.strip():
            raise FixInput("re-arming needs a reason in words", fix="Say what was wrong and why it is over")
        record = LatchRecord(LatchState.ARMED, name="REARM", reason=clean(reason), at=at.isoformat(), by=by)
        return self._open(record, self.read())

    def _open(self, record: LatchRecord, current: LatchRecord) -> LatchRecord:
        """Write what closes the latch, then the open latch; who closes it meanwhile has taken the former away."""
        content = _encoded(record)
        try:
            self._fs.write(self._prepared, _encoded(_closed(current.halt_id.encode() + content)))
            self._fs.write(self._path, content)
        except OSError as error:
            raise FixInput(
                "the latch cannot be written, so it stays closed", where=reason_of(error), fix="Free space on the disk"
            ) from None
        if not self._fs.exists(self._prepared):
            at = datetime.fromisoformat(record.at)
            found = self.halt("MANUAL", "a kill arrived while the latch was being opened", at)
            raise FixInput("the device was halted while it was being armed", where=found.sentence())
        return record


def _encoded(record: LatchRecord) -> bytes:
    return json.dumps(vars(record) | {"later": list(record.later)}, sort_keys=True, indent=1).encode()


def _decoded(content: bytes) -> LatchRecord:
    try:
        row = json.loads(content)
        halt_id, name, reason, at, by = (clean(row[key]) for key in ("halt_id", "name", "reason", "at", "by"))
        return LatchRecord(LatchState(row["state"]), halt_id, name, reason, at, by, tuple(map(clean, row["later"])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return LatchRecord(LatchState.HALTED, _identity(content), UNREADABLE, UNREADABLE_WORDS)


def _closed(content: bytes) -> LatchRecord:
    """The halt of a latch that was closed before anything could be said of it."""
    return LatchRecord(LatchState.HALTED, _identity(CLOSED.encode() + content), CLOSED, CLOSED_WORDS)


def _identity(content: bytes) -> str:
    return sha256_of(content)[:HALT_ID_LENGTH]
