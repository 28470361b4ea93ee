"""Answers requests of the control socket: a halt, a re-arming, an acknowledgement, a cancellation, or a status.

Everything but the closing of the latch and the look is a command of `appliance`, run as a process of its own: the same
code as by hand, with the same refusals. Nothing here sends an order.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from appliance.daemon.control_socket import Command, ControlAnswer, ControlRequest
from appliance.system.ports import Alert, Severity
from signals.errors import LedgerUnusable, Locked
from signals.schedule.child_process import ProcessExit

MANUAL = "MANUAL"
REARM_SECONDS, HALT_SECONDS = 110.0, 60.0


@dataclass(frozen=True)
class ControlActions:
    """Actions that a request on the control socket may take.

    Attributes
    ----------
    close_latch : callable
        (name, reason): closes the latch durably and has a job at work stop and cancel.
    run : callable
        (arguments of `appliance`, seconds): runs it to its end, past a job that holds the lock.
    record : callable
        Records an alert that needs no delivery.
    look : callable
        The facts as JSON fields.
    now : callable
        The machine's clock.
    """

    close_latch: Callable[[str, str], None]
    run: Callable[[Sequence[str], float], ProcessExit]
    record: Callable[[Alert], None]
    look: Callable[[], dict[str, object]]
    now: Callable[[], datetime]


def record(request: ControlRequest, actions: ControlActions) -> None:
    """Write the audit row: who asked for what, and why. A halt is recorded after the latch is closed, if it can be."""
    if request.command not in (Command.STATUS, Command.HALT):
        _record(request, actions)


def _record(request: ControlRequest, actions: ControlActions) -> None:
    body = f"{request.by}: {request.reason}" + (f" (halt {request.halt_id})" if request.halt_id else "")
    alert = Alert(Severity.INFO, f"control-{request.command}", f"{request.command} was asked for", body, actions.now())
    actions.record(alert)


def answer(request: ControlRequest, actions: ControlActions) -> ControlAnswer:
    """Act on one request and say what became of it."""
    return _ACTIONS[request.command](request, actions)


def _halt(request: ControlRequest, actions: ControlActions) -> ControlAnswer:
    actions.close_latch(MANUAL, f"{request.reason} ({request.by})")
    with suppress(LedgerUnusable, Locked):
        _record(request, actions)
    ended = actions.run(("attend",), HALT_SECONDS)
    if ended.code != 0:
        return ControlAnswer(True, f"HALTED by {MANUAL}; working orders are being cancelled: {ended.words}")
    return ControlAnswer(True, f"HALTED by {MANUAL}; working orders were cancelled as far as `appliance status` says")


def _rearm(request: ControlRequest, actions: ControlActions) -> ControlAnswer:
    asked = ("rearm", "--halt-id", request.halt_id, "--reason", request.reason, "--by", request.by, "--yes")
    return _of(actions.run(asked, REARM_SECONDS))


def _of(ended: ProcessExit) -> ControlAnswer:
    return ControlAnswer(ended.code == 0, ended.last_line or ended.words)


_ACTIONS: dict[Command, Callable[[ControlRequest, ControlActions], ControlAnswer]] = {
    Command.HALT: _halt,
    Command.REARM: _rearm,
    Command.ACKNOWLEDGE: lambda request, actions: _of(actions.run(("acknowledge", "--by", request.by), HALT_SECONDS)),
    Command.CANCEL_ALL: lambda _, actions: _of(actions.run(("cancel-all",), HALT_SECONDS)),
    Command.STATUS: lambda _, actions: ControlAnswer(True, json.dumps(actions.look(), default=str, sort_keys=True)),
}
