"""The dependencies of the order path: ledger, broker, clock, latch and calendar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial

from appliance.context import Deps
from appliance.controls import pause
from appliance.controls.latch import Latch
from appliance.ledger import Ledger
from appliance.market.vendor_record import PriceSource
from appliance.system.ports import Clock
from execution.brokers.base import Broker
from execution.config import ExecutionConfig
from signals.errors import TripwireHalt
from signals.market.sessions import NEW_YORK, Calendar, Session

OTHER_DEVICE = "OTHER_DEVICE"


@dataclass(frozen=True)
class OrderPath:
    """Everything that sending an order touches.

    Attributes
    ----------
    latch : Latch
        Read before every post.
    prices : callable
        Opens the broker's market data when orders are judged; None where there are none to ask.
    paused : callable
        Says why a person wants nothing new ordered for a session, empty otherwise; looked at before every order.
    """

    ledger: Ledger
    broker: Broker
    clock: Clock
    latch: Latch
    calendar: Calendar
    config: ExecutionConfig
    prices: Callable[[], PriceSource | None] = lambda: None
    paused: Callable[[date], str] = lambda session: ""

    @classmethod
    def of(cls, deps: Deps) -> OrderPath:
        """Take from a job's dependencies what the order path needs."""
        config = deps.config.execution
        paused = partial(pause.sentence, deps.fs, deps.folder)
        return cls(deps.ledger, deps.broker, deps.clock, deps.latch, deps.calendar, config, lambda: deps.prices, paused)

    def midnight(self, session: date) -> datetime:
        """New York midnight at which the session's day begins, in UTC: no order of the session is older."""
        return datetime.combine(session, time(0), NEW_YORK).astimezone(UTC)

    def hours(self, session: date) -> Session | None:
        """Trading hours of a session that has orders; None where it was struck from the calendar since, for a closure."""
        days = self.calendar.days
        is_struck = days[0] < session < days[-1] and not self.calendar.is_session(session)
        return None if is_struck else self.calendar.session(session)


def another_device(what: str, where: str) -> TripwireHalt:
    """Return the halt of a device whose own kind of orders come from somewhere else, with what a person can do."""
    return TripwireHalt(
        f"{what}: another device trades this account, or this ledger is lost or older than the account ({where})",
        where=OTHER_DEVICE,
        fix="Is there another device? Stop one of the two for good. Is there none? Restore the newest backup, or fill "
        "an empty ledger by `appliance rebuild`. Otherwise leave this one halted",
    )
