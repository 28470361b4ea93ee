"""The clock check: synchronised and in agreement with the broker's, before READY and hourly after that.

A rehearsal at a served exchange has the exchange's time, which is right by definition; at a real broker the machine's
own clock counts, and must be synchronised and agree with the broker's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.daemon.briefing import Briefing
from appliance.system.ports import Clock
from appliance.system.time_sync import MAX_SKEW_SECONDS, skew_seconds, unsynchronised
from signals.errors import BrokerUnreachable

AGAIN_SECONDS = 3_600.0

__all__ = ["AGAIN_SECONDS", "MAX_SKEW_SECONDS", "ClockCheck"]


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
