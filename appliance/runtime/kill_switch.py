"""The kill switch of a running process: a signal or the file HALT stops the work and cancels its orders.

Entry point: `killable`, around everything that may send an order.

Invariants
----------
1. The latch is closed, durably, inside the signal's handler, before anything else; from there on no order is posted.
   No fault of the disk or of the file HALT gets in the way, and nothing raised there but `Killed`
   reaches the work: an error of the disk is never taken for one of the broker's.
2. The work is then broken off wherever it is, as a crash would: waits and requests on their way included.
   Cancel-all is the very next request. A hosted exchange lives in this process and is not broken off: the work there
   takes no time, and stops by itself at the next order.
3. An order whose request was on its way is looked up afterwards, and cancelled if it arrived after the cancel-all.
4. A ledger that turns out damaged while the work goes on ends in the same way, with what can be done without it.
5. SIGTERM and SIGUSR1 kill; SIGINT only interrupts, which is what a reboot sends: an armed device stays armed.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from appliance.context import Deps
from appliance.controls import halt_file
from appliance.controls.latch import Latch
from appliance.jobs.runner import take_halt_file_away
from appliance.ledger import intents
from appliance.ledger.intents import LIVE_AT_BROKER
from appliance.orders import OrderPath
from appliance.orders.recovery import recover
from appliance.runtime.device import Device
from appliance.safety.halt import cancel_all, carry_out
from appliance.system.clock import SystemClock
from signals.errors import DeviceHalted, HaltDevice, LedgerDamaged, LedgerUnusable, Locked, OutcomeUnknown, TryAgain

MANUAL, DAMAGED = "MANUAL", "LEDGER_DAMAGED"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LOOK_SECONDS = 0.2
LATE_SECONDS = 1.0  # for a request that was on its way when the work was broken off


class Killed(BaseException):
    """Raised into the work when a person kills it; nothing may catch it but `killable`."""


class KillSwitch:
    """The handler of the signals: close the latch once, break the work off.

    Parameters
    ----------
    breaks_off : bool
        Whether to raise `Killed` into the work.
    """

    def __init__(self, latch: Latch, *, breaks_off: bool) -> None:
        self._latch, self._breaks_off = latch, breaks_off
        self.by = ""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the first signal; later ones find the latch closed already."""
        if self.by:
            return
        self.by = f"signal {signal.Signals(number).name}"
        try:
            self._latch.close()
        finally:
            if self._breaks_off:
                raise Killed


@contextmanager
def killable(device: Device) -> Iterator[None]:
    """Let a signal, the file HALT or a damaged ledger end the work inside.

    Raises
    ------
    DeviceHalted
        It was killed: the latch is closed and cancel-all was sent.
    LedgerDamaged
        The latch is closed, cancel-all was sent and a person notified.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield
        return
    device.latch.prepare()
    switch = KillSwitch(device.latch, breaks_off=not device.config.venue.is_hosted)
    before = {number: signal.signal(number, switch) for number in SIGNALS}
    stop = threading.Event()
    try:
        device.honour_halt_request(None)
        device.require_ledger()
        threading.Thread(target=_watch, args=(device, stop), daemon=True).start()
        yield
    except Killed:
        pass
    except LedgerDamaged as error:
        device.notify_without_ledger(device.latch.halt(DAMAGED, str(error), SystemClock().now()), error)
        raise
    finally:
        stop.set()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN if switch.by else before[number])
        try:
            if switch.by:
                _react(device, switch.by)
        finally:
            for number in SIGNALS:
                signal.signal(number, before[number])
    if switch.by:
        raise DeviceHalted(device.latch.read().sentence(), fix="Find the cause before you re-arm")


def _watch(device: Device, stop: threading.Event) -> None:
    """Turn the appearance of the file HALT into the signal."""
    while not stop.wait(LOOK_SECONDS):
        if halt_file.is_requested(device.fs, device.folder):
            os.kill(os.getpid(), signal.SIGUSR1)
            return


def _react(device: Device, by: str) -> None:
    """Write the reason to the latch, cancel, record, notify: after the work was broken off, each where it can be done."""
    reason, is_asked = by, halt_file.is_requested(device.fs, device.folder)
    if is_asked:
        reason = f"the file HALT was found: {halt_file.stated_reason(device.fs, device.folder)}"
    record = device.latch.halt(MANUAL, reason, SystemClock().now())
    try:
        with ExitStack() as stack:
            try:
                deps = stack.enter_context(device.deps())
            except (LedgerUnusable, Locked) as error:
                device.notify_without_ledger(record, error)
                raise
            carry_out(deps, None, record, MANUAL, reason, "halt_requests")
            if is_asked:
                take_halt_file_away(deps)
            _cancel_late_orders(deps)
    except (LedgerUnusable, Locked):  # an attendance records the halt; what arrived late cannot be looked up here
        SystemClock().sleep(LATE_SECONDS)
        cancel_all(device.counterparty.broker)


def _cancel_late_orders(deps: Deps) -> None:
    """Invariant 3; what cannot be proven now is resolved by the next reconcile, before anything else."""
    try:
        recover(OrderPath.of(deps))
        if intents.in_states(deps.ledger, LIVE_AT_BROKER):
            deps.broker.cancel_all()
            recover(OrderPath.of(deps))
    except (LedgerUnusable, Locked):
        raise
    except (HaltDevice, OutcomeUnknown, TryAgain):
        return
