"""The kill switch and the only way back: `halt` and `rearm`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from appliance.clock import SystemClock
from appliance.commands.options import DEFAULT_STATE, AsJson, Credentials, State
from appliance.commands.person import confirm_typed, who
from appliance.deps import Deps
from appliance.device import Device, opened
from appliance.folder import StateFolder
from appliance.fs import DurableFs
from appliance.halting import carry_out
from appliance.jobs.table import ENTRIES
from appliance.latch import Latch, LatchRecord
from appliance.ledger import halts
from signals.console import emit
from signals.errors import FixInput, Locked, TrademlError

MANUAL = "MANUAL"


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(halt)
    app.command()(rearm)


def halt(
    reason: Annotated[str, typer.Option("--reason", help="In words, for the record.")] = "halted by hand",
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Stop sending orders now and cancel every working one.

    The latch is closed first, whatever else the device is doing. When another process works in the state folder, it is
    asked through the file HALT to cancel. The same file, made by hand, halts a device too.
    """
    folder = StateFolder(state)
    folder.require()
    record = Latch(state, DurableFs()).halt(MANUAL, reason, SystemClock().now())
    done = _cancel_orders(folder, record, reason, credentials)
    emit({"latch": record.state.value, "halt_id": record.halt_id, "reactions": done}, as_json=as_json,
         text=f"{record.sentence()}\n{done}")  # fmt: skip


def rearm(
    halt_id: Annotated[str, typer.Option("--halt-id", help="Of the halt that stands; `appliance status` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="What was wrong, and why it is over.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open the latch after a halt: needs the halt's id, a reason, a typed word and a clean reconcile right now."""
    with opened(state, credentials=credentials) as device:
        device.latch.require_halt(halt_id)
        if deps_request := device.fs.read(device.folder.halt_request):
            raise FixInput(
                "the file HALT is still in the state folder", where=deps_request.decode(errors="replace")[:100],
                mend="Remove it first",
            )  # fmt: skip
        with device.deps() as deps:
            session = _current_session(device)
            clean = ENTRIES["reconcile_morning"].job(session, deps)
            confirm_typed("REARM", f"open the latch; {clean.summary}", yes=yes)
            at = device.clock.now()
            record = device.latch.rearm(halt_id=halt_id, reason=reason, by=who(), at=at)
            _record(deps, halt_id, record)
    emit({"latch": record.state.value, "by": record.by, "reconcile": clean.summary}, as_json=as_json,
         text=f"{clean.summary}\n{record.sentence()}")  # fmt: skip


def _cancel_orders(folder: StateFolder, record: LatchRecord, reason: str, credentials: Path | None) -> str:
    try:
        with opened(folder.root, credentials=credentials) as device, device.deps() as deps:
            carry_out(deps, None, record, MANUAL, reason, "halt_requests")
            return "Working orders were cancelled and the halt is recorded."
    except Locked:
        DurableFs().write(folder.halt_request, reason.encode())
        return "Another process is at work: it was asked to cancel its orders, and can send no new ones."
    except TrademlError as error:
        DurableFs().write(folder.halt_request, reason.encode())
        return f"The latch is closed; working orders could not be cancelled now: {error}"


def _current_session(device: Device) -> date:
    return device.calendar.next(device.calendar.last_closed(device.clock.now()))


def _record(deps: Deps, halt_id: str, record: LatchRecord) -> None:
    if halts.find(deps.ledger, halt_id) is None:  # a crash came between the latch and the ledger
        at = deps.clock.now()
        halts.add(deps.ledger, halts.HaltRow(halt_id, at, MANUAL, MANUAL, record.reason, "", None, "halt"))
    halts.rearm(deps.ledger, halt_id, deps.clock.now(), record.by, record.reason)
