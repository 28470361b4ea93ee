"""Clock synchronisation: whether the machine's clock is trustworthy, and whether it jumped or was suspended.

Invariants
----------
1. Nothing here sets a clock, and nothing waits longer than `ASK_SECONDS`.
2. Unknown counts as wrong: a clock that nobody reports as synchronised is not.
"""

import ctypes
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException

from appliance.system.clock import ASK_SECONDS, SystemClock, get
from signals.errors import BrokerUnreachable
from signals.text.wording import reason_of

MAX_SKEW_SECONDS = 2.0
DATE_SECOND = timedelta(seconds=1)  # a Date header has whole seconds: the true instant is in the second after it
STA_UNSYNC = 0x40
TIME_ERROR = 5
CHRONY = ("chronyc", "-n", "-h", "127.0.0.1", "-c", "tracking")
UNSYNCHRONISED = "the clock is not synchronised"


def chrony_says(run: Callable[[Sequence[str]], str | None]) -> str | None:
    """Why chrony's clock is not to be believed; empty when it is; None where chrony does not answer.

    Parameters
    ----------
    run : callable
        Runs a command and returns its output, or None when it cannot.
    """
    answer = run(CHRONY)
    fields = answer.strip().split(",") if answer else []
    if len(fields) < 14:
        return None
    if fields[13] == "Not synchronised" or fields[0] in ("", "00000000", "7F7F0101"):
        return f"{UNSYNCHRONISED}: chrony has no source"
    offset = abs(float(fields[4]))
    return f"{UNSYNCHRONISED}: chrony is {offset:.1f} s off" if offset > MAX_SKEW_SECONDS else ""


def kernel_says(adjtimex: Callable[[], tuple[int, int] | None]) -> str | None:
    """Why the kernel's clock is not to be believed; empty when it is; None where the kernel may not be asked."""
    answer = adjtimex()
    if answer is None:
        return None
    state, status = answer
    return f"{UNSYNCHRONISED}: the kernel says so" if state == TIME_ERROR or status & STA_UNSYNC else ""


def unsynchronised() -> str:
    """Why this machine's clock is not to be believed, asking chrony first and then the kernel; empty when it is."""
    reason = chrony_says(_output)
    if reason is None:
        reason = kernel_says(_adjtimex)
    return f"{UNSYNCHRONISED}: neither chrony nor the kernel says that it is" if reason is None else reason


def skew_seconds(url: str, now: Callable[[], datetime]) -> float:
    """How far the clock is from the Date header of `url`, at least, in seconds; zero within the header's resolution.

    Raises
    ------
    BrokerUnreachable
        It does not answer, or says no date.
    """
    before = now()
    try:
        dated, _ = get(url, "/v2/clock")
        reported = parsedate_to_datetime(dated).astimezone(UTC)
    except (OSError, HTTPException, ValueError, TypeError) as error:
        raise BrokerUnreachable("the broker does not report the date", where=reason_of(error)) from None
    return proven_skew_seconds(before, reported, now(), DATE_SECOND)


def proven_skew_seconds(before: datetime, said: datetime, after: datetime, resolution: timedelta = timedelta(0)) -> float:
    """How far the clock is off, at least, by an answer that was given some time between asking and hearing it.

    Parameters
    ----------
    before, after : datetime
        This clock when the question left and when the answer was there.
    said : datetime
        The other clock's time, cut down to its `resolution`.
    """
    return max(0.0, (before - said - resolution).total_seconds(), (said - after).total_seconds())


@dataclass(frozen=True)
class Instants:
    """The three clocks of a machine at one moment, in seconds."""

    wall: float
    monotonic: float
    boottime: float


@dataclass(frozen=True)
class Jump:
    """A change of the clocks between two readings.

    Attributes
    ----------
    set_by : float
        Seconds by which somebody set the wall clock.
    slept : float
        Seconds for which the machine was suspended.
    """

    set_by: float
    slept: float


def between(earlier: Instants, later: Instants) -> Jump:
    """Distinguish a set clock from a suspended machine: the boot clock goes on in a suspended machine."""
    passed = later.boottime - earlier.boottime
    return Jump(later.wall - earlier.wall - passed, passed - (later.monotonic - earlier.monotonic))


def instants() -> Instants:
    """Read the three clocks of this machine."""
    wall = SystemClock().now().timestamp()
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS has none; its monotonic clock stops in sleep
    return Instants(wall, SystemClock().monotonic(), time.clock_gettime(boot))


def _output(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def _adjtimex() -> tuple[int, int] | None:
    """Ask the kernel without changing anything: its clock state and the status bits."""
    ask = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if ask is None:  # no Linux
        return None
    asked = _Timex()
    state = ask(ctypes.byref(asked))
    return None if state < 0 else (state, asked.status)
