"""Schedules the attendance, a short process that cancels orders, records halts, delivers alerts and frees disk space."""

from collections.abc import Callable
from datetime import datetime

from appliance.alerts.reminders import has_undelivered, is_reminder_due
from appliance.controls import halt_file
from appliance.controls.latch import Latch
from appliance.daemon.attempts import Attempts, Pace
from appliance.daemon.ledger_view import LedgerView
from appliance.daemon.log import REPEAT_SECONDS
from appliance.ledger import halts
from appliance.status.vitals import is_filling
from appliance.system.state_folder import DurableFs, StateFolder
from signals.schedule.child_process import TRY_AGAIN, ProcessExit


class Attendances:
    """Decides when the next one comes: longer after each that failed, for each may have notified a person.

    Parameters
    ----------
    venue_now : callable
        The instant by the clock that the device goes by, or the machine's while that one does not answer.
    """

    def __init__(
        self, folder: StateFolder, latch: Latch, ledger_view: LedgerView, attempts: Attempts, pace: Pace, venue_now: Callable[[], datetime]
    ) -> None:
        self._folder, self._latch, self._ledger_view = folder, latch, ledger_view
        self._attempts, self._pace, self._venue_now = attempts, pace, venue_now
        self._is_urgent, self._failed = True, 0

    def hurry(self) -> None:
        """Have the next look ask whether one is needed; any thread may."""
        self._is_urgent = True

    def is_needed(self, mono_s: float) -> bool:
        """Whether one is to be started now."""
        is_due = self._attempts.is_due
        if self._is_halt_asked() and is_due("HALT", mono_s):
            return True
        if is_due("room", mono_s) and is_filling(self._folder):
            self._attempts.wait_until("room", mono_s + self._pace.lost)
            return True
        if not self._is_urgent and not is_due("attend", mono_s):
            return False
        latch, ledger = self._latch.read(), self._ledger_view.reader()
        if is_reminder_due(ledger, latch, self._venue_now()):
            return True
        if not latch.is_armed and not latch.is_fresh and halts.find(ledger, latch.halt_id) is None:
            return True
        is_urgent, self._is_urgent = self._is_urgent, False
        return (is_urgent or is_due("lost", mono_s)) and has_undelivered(ledger, self._venue_now())

    def started(self, mono_s: float) -> None:
        """Record that one was started."""
        self._is_urgent = False
        self._attempts.wait_until("lost", mono_s + self._pace.lost)

    def ended(self, ended: ProcessExit, mono_s: float) -> None:
        """Record how one ended; one that only found the state folder locked has not failed."""
        self._failed = 0 if ended.code in (0, TRY_AGAIN) else self._failed + 1
        wait = min(self._pace.retry * 2 ** max(0, self._failed - 1), REPEAT_SECONDS)
        self._attempts.wait_until("attend", mono_s + wait)
        if self._is_halt_asked():
            self._attempts.wait_until("HALT", mono_s + (self._pace.look if ended.code == TRY_AGAIN else wait))

    def _is_halt_asked(self) -> bool:
        return halt_file.is_requested(DurableFs(), self._folder)
