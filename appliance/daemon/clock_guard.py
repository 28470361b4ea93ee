"""The clock: synchronised and in agreement with the broker's before READY and hourly after that, and a halt when it is not.

A rehearsal at a served exchange has the exchange's time, which is right by definition; at a real broker the machine's
own clock counts, and must be synchronised and agree with the broker's.

Invariants
----------
1. A clock that was set by more than the halt limit closes the latch once the device is READY; less is notified.
2. A clock behind the ledger's newest row starts no job, armed or not, until it has passed that row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from appliance.daemon.briefing import Briefing
from appliance.system.ports import Clock, Severity
from appliance.system.time_sync import MAX_SKEW_SECONDS, Jump, skew_seconds, unsynchronised
from signals.errors import BrokerUnreachable, DeviceHalted
from signals.text.wording import utc_words

CLOCK = "CLOCK"
AGAIN_SECONDS = 3_600.0


@dataclass
class ClockCheck:
    """The checks, and when the broker was last asked.

    Attributes
    ----------
    real : Clock
        The machine's.
    unsynchronised : callable
        Why the machine's clock is not synchronised; empty when it is.
    skew : callable
        (address, now) to seconds off the broker's clock.
    """

    real: Clock
    unsynchronised: Callable[[], str] = unsynchronised
    skew: Callable[..., float] = skew_seconds
    _asked: float = field(default=float("-inf"), init=False)

    def closed_by(self, brief: Briefing) -> tuple[str, ...]:
        """Return why the device may not be READY; empty when it may."""
        if brief.exchange:
            return ()
        if brief.host_keeps_time and (reason := self.unsynchronised()):
            return (reason,)
        if not brief.broker:
            return ()
        try:
            skew = self.skew(brief.broker, self.real.now)
        except BrokerUnreachable as error:
            return (str(error),)
        self._asked = self.real.monotonic()
        return (f"the clock is {skew:.1f} s or more off the broker's",) if skew > MAX_SKEW_SECONDS else ()

    def skew_now(self, brief: Briefing, mono_s: float) -> float | None:
        """Ask the broker again when an hour has passed; None when it was not asked, or did not answer."""
        if brief.exchange or not brief.broker or mono_s - self._asked < AGAIN_SECONDS:
            return None
        self._asked = mono_s
        try:
            return self.skew(brief.broker, self.real.now)
        except BrokerUnreachable:
            return None  # the jobs meet it, and say so


class ClockGuard:
    """Faults of the clock, and the reaction to each.

    Parameters
    ----------
    clock_check : ClockCheck
        Whether the machine's clock is synchronised and agrees with the broker's.
    notify : callable
        (severity, key, title, body, monotonic seconds): notifies a person.
    close_latch : callable
        (name, reason): halts the device.
    """

    def __init__(
        self, clock_check: ClockCheck, notify: Callable[[Severity, str, str, str, float], None], close_latch: Callable[[str, str], None]
    ) -> None:
        self._check, self._notify, self._close_latch = clock_check, notify, close_latch
        self._jumps: list[Jump] = []

    def add_jump(self, jump: Jump) -> None:
        """Take note of what happened to time; any thread may. The next look judges it."""
        self._jumps.append(jump)

    def judge_jumps(self, brief: Briefing | None, mono_s: float, *, is_ready: bool) -> None:
        """Notify of each sleep and each setting of the clock since the last look; halt for a large one."""
        limit = brief.halt_skew_seconds if brief else float("inf")
        while self._jumps:
            jump = self._jumps.pop(0)
            if abs(jump.slept) > MAX_SKEW_SECONDS:
                self._notify(Severity.WARN, "slept", "the machine slept", f"for {jump.slept:.0f} s", mono_s)
            if abs(jump.set_by) > MAX_SKEW_SECONDS:
                words = f"somebody set the machine's clock by {jump.set_by:+.1f} s"
                self._notify(Severity.WARN, "clock-set", "the clock jumped", words, mono_s)
                if is_ready and abs(jump.set_by) > limit:
                    self._close_latch(CLOCK, words)

    def closed_by(self, brief: Briefing) -> tuple[str, ...]:
        """Return why the device may not be READY; empty when it may."""
        return self._check.closed_by(brief)

    def check_skew(self, brief: Briefing, mono_s: float) -> None:
        """Compare the clock with the broker's once an hour; far off closes the latch, a little off is notified."""
        skew = self._check.skew_now(brief, mono_s)
        if skew is None or skew <= MAX_SKEW_SECONDS:
            return
        words = f"the clock is {skew:.1f} s or more off the broker's"
        self._notify(Severity.WARN, "clock-skew", "the clock is wrong", words, mono_s)
        if skew > brief.halt_skew_seconds:
            self._close_latch(CLOCK, words)

    def halt_if_clock_behind_ledger(self, at: datetime, newest: datetime | None, brief: Briefing, *, is_armed: bool) -> None:
        """Refuse an instant that is before the newest one on record.

        Raises
        ------
        DeviceHalted
            The clock is behind the ledger; an armed device was halted.
        """
        if newest is None or (newest - at).total_seconds() <= brief.halt_skew_seconds:
            return
        words = f"the clock says {utc_words(at)}, the ledger already holds {utc_words(newest)}"
        if is_armed:
            self._close_latch(CLOCK, words)
        raise DeviceHalted(words, fix="Set the clock right; jobs go on once it has passed the ledger's last row")
