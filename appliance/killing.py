"""The kill switch of a process that is at work: a signal, or the file HALT, ends what it does and cancels its orders.

Entry point: `killable`, around everything that may send an order.

Invariants
----------
1. The latch is closed, durably, inside the signal's handler, before anything else; from there on no order is posted.
2. The work is then broken off wherever it stands, as a crash would: waits and requests on their way included.
   Cancel-all is the very next request. A hosted exchange lives in this process and is not broken off: the work there
   takes no time, and stops by itself at the next order.
3. An order whose request was on its way is looked up afterwards, and cancelled if it arrived after the cancel-all.
4. SIGTERM and SIGUSR1 kill; SIGINT only interrupts, which is what a reboot sends: an armed device stays armed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from appliance.clock import SystemClock
from appliance.deps import Deps
from appliance.device import Device
from appliance.halting import carry_out
from appliance.jobs.running import honour_halt_request
from appliance.latch import LatchRecord
from appliance.ledger import intents
from appliance.ledger.states import LIVE_AT_BROKER
from appliance.orderpath import OrderPath
from appliance.orderpath.recovery import recover
from signals.errors import DeviceHalted, HaltDevice, OutcomeUnknown, TryAgain

MANUAL = "MANUAL"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LOOK_SECONDS = 0.2


class Killed(BaseException):
    """Raised into the work when a person kills it; nothing may catch it but `killable`."""


class KillSwitch:
    """What the signals do: close the latch once, remember the halt, break the work off.

    Parameters
    ----------
    device : Device
    breaks_off : bool
        Whether to raise `Killed` into the work.
    """

    def __init__(self, device: Device, *, breaks_off: bool) -> None:
        self._device, self._breaks_off = device, breaks_off
        self.halt: LatchRecord | None = None
        self.reason = ""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the first signal; later ones find the latch closed already."""
        if self.halt is not None:
            return
        content = self._device.fs.read(self._device.folder.halt_request)
        words = "" if content is None else content.decode(errors="replace").strip()[:200] or "no reason given"
        self.reason = f"the file HALT was found: {words}" if words else f"signal {signal.Signals(number).name}"
        self.halt = self._device.latch.halt(MANUAL, self.reason, SystemClock().now())
        if self._breaks_off:
            raise Killed


@contextmanager
def killable(device: Device) -> Iterator[None]:
    """Let a signal or the file HALT kill the work inside.

    Raises
    ------
    DeviceHalted
        It was killed: the latch is closed and cancel-all was sent.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield
        return
    if device.fs.read(device.folder.halt_request) is not None:
        with device.deps() as deps:
            honour_halt_request(deps, None)
    switch = KillSwitch(device, breaks_off=not device.config.venue.is_hosted)
    before = {number: signal.signal(number, switch) for number in SIGNALS}
    stop = threading.Event()
    threading.Thread(target=_watch, args=(device, stop), daemon=True).start()
    try:
        yield
    except Killed:
        pass
    finally:
        stop.set()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN if switch.halt else before[number])
        try:
            if switch.halt is not None:
                _react(device, switch.halt, switch.reason)
        finally:
            for number in SIGNALS:
                signal.signal(number, before[number])
    if switch.halt is not None:
        raise DeviceHalted(switch.halt.sentence(), mend="Find the cause before you re-arm")


def _watch(device: Device, stop: threading.Event) -> None:
    """Turn the appearance of the file HALT into the signal."""
    while not stop.wait(LOOK_SECONDS):
        if device.folder.halt_request.exists():
            os.kill(os.getpid(), signal.SIGUSR1)
            return


def _react(device: Device, record: LatchRecord, reason: str) -> None:
    with device.deps() as deps:
        carry_out(deps, None, record, MANUAL, reason, "halt_requests")
        deps.fs.remove(deps.folder.halt_request)
        _cancel_what_arrived_late(deps)


def _cancel_what_arrived_late(deps: Deps) -> None:
    """Invariant 3; what cannot be proven now is resolved by the next reconcile, before anything else."""
    try:
        recover(OrderPath.of(deps))
        if intents.in_states(deps.ledger, LIVE_AT_BROKER):
            deps.broker.cancel_all()
            recover(OrderPath.of(deps))
    except (HaltDevice, OutcomeUnknown, TryAgain):
        return
