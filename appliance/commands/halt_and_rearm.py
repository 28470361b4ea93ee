"""The commands `halt`, `acknowledge`, `rearm` and `pause`: the kill switch, the only way to open the latch again, and a pause."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from appliance.config import Venue, load_config
from appliance.context import Deps
from appliance.controls import halt_file, pause
from appliance.controls.latch import Latch, LatchRecord
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import honour_halt_request
from appliance.ledger import AccessMode, Ledger, halts, snapshots
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State, to_session
from appliance.runtime.device import Device, channels, opened
from appliance.runtime.venue import opened_venue
from appliance.safety import reductions
from appliance.safety.escalation import acknowledge
from appliance.safety.halt import CANCELLED, carry_out
from appliance.safety.halt import cancel_all as cancel_all_of
from appliance.safety.limit_changes import guarded, loosened
from appliance.system.clock import SystemClock, venue_time
from appliance.system.operator import confirm_typed, require_as_shown, who
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import BrokerUnreachable, FixInput, Locked, TrademlError
from signals.market.sessions import NEW_YORK
from signals.text.console import emit
from signals.text.documents import from_json
from signals.text.wording import clean, reason_of

MANUAL = "MANUAL"
TAKEN_SECONDS = 2.0  # a process at work looks for the file HALT five times a second
By = Annotated[str, typer.Option("--by", hidden=True, help="Who asks, where the daemon asks for a person.")]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(halt)
    app.command("acknowledge")(acknowledge_halt)
    app.command()(rearm)
    app.command("pause")(pause_command)
    app.command("cancel-all", hidden=True)(cancel_all)


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
    folder, latch = StateFolder(state), Latch(state, DurableFs())
    latch.close()
    folder.require()
    record = latch.halt(MANUAL, clean(reason), SystemClock().now())
    done = _cancel_orders(folder, record, clean(reason), credentials)
    emit({"latch": record.state.value, "halt_id": record.halt_id, "reactions": done}, as_json=as_json, text=f"{record.sentence()}\n{done}")


def rearm(
    halt_id: Annotated[str, typer.Option("--halt-id", help="Of the halt in force; `appliance status` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="What was wrong, and why it is over.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Open the latch after a halt, or end a lasting REDUCE: the id, a reason, a typed word and a clean reconcile now.

    Opening the latch also ends every REDUCE in force. Refused while a limit of config.yml is looser than it was
    when the halt came.
    """
    person, reason = clean(by or who()), clean(reason)
    if not reason.strip():
        raise FixInput("re-arming needs a reason in words", fix="Say what was wrong and why it is over")
    asked = None
    if not yes:  # jobs go on, and another halt may come, while the word is typed
        with opened(state, credentials=credentials) as device, device.deps() as deps:
            asked = _examined(device, deps, halt_id)
        confirm_typed("REARM", f"{asked.what}; {asked.agreed}", yes=yes)
    with opened(state, credentials=credentials) as device, device.deps() as deps:
        found = _examined(device, deps, halt_id)
        if asked is not None:
            require_as_shown(asked.what, found.what)
        if not device.latch.read().is_armed:
            at, latch = device.clock.now(), device.latch.read()
            record = device.latch.rearm(halt_id=halt_id, reason=reason, by=person, at=at)
            halts.record_armed(deps.ledger, at)
            _record(deps, latch, record)
        for row in found.ended:
            halts.rearm(deps.ledger, row.id, device.clock.now(), person, reason)
        snapshots.accept_multiplier(deps.ledger, found.multiplier)
        record = device.latch.read()
    notice = [f"The REDUCE by {row.name} has ended." for row in found.ended]
    emit(
        {"latch": record.state.value, "by": person, "reconcile": found.agreed, "ended": [row.id for row in found.ended]},
        as_json=as_json,
        text="\n".join([found.agreed, *notice, record.sentence()]),
    )


@dataclass(frozen=True)
class ExaminedHalt:
    """What re-arming would do now, after a clean reconcile.

    Attributes
    ----------
    what : str
        In words: what is opened, ended and accepted.
    agreed : str
        The reconcile's own summary.
    multiplier : Decimal
        Margin multiplier of the account that both books agree on.
    """

    what: str
    ended: tuple[halts.HaltRow, ...]
    agreed: str
    multiplier: Decimal


def _examined(device: Device, deps: Deps, halt_id: str) -> ExaminedHalt:
    """Refuse what may not be re-armed, reconcile, and return what would be done."""
    reduced = reductions.in_force(deps.ledger)
    is_armed = device.latch.read().is_armed
    if is_armed and halt_id in {row.id for row in reduced}:
        reduced = tuple(row for row in reduced if row.id == halt_id)
    else:
        device.latch.require_halt(halt_id)
    if halt_file.is_requested(device.fs, device.folder):
        words = halt_file.stated_reason(device.fs, device.folder)
        raise FixInput("the file HALT is still in the state folder", where=words, fix="Remove it first")
    _refuse_loosened(deps, halt_id)
    agreed = ENTRIES["reconcile_morning"].job(device.calendar.next(device.calendar.last_closed(device.clock.now())), deps)
    known, held = snapshots.accepted(deps.ledger), snapshots.latest(deps.ledger)
    assert known is not None and held is not None, "both books were just agreed"
    other = known.multiplier != held.multiplier
    parts = [
        *([] if is_armed else ["open the latch"]),
        *(f"end the REDUCE by {row.name}" for row in reduced),
        *([f"accept {held.multiplier} for {known.multiplier} as the account's margin multiplier"] if other else []),
    ]
    return ExaminedHalt(" and ".join(parts), tuple(reduced), agreed.summary, held.multiplier)


def pause_command(
    until: Annotated[
        str, typer.Option("--until", metavar="YYYY-MM-DD", help="Last session D without new orders.", show_default=False)
    ] = "",
    end: Annotated[bool, typer.Option("--end", help="Go on now.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="In words, for the record.")] = "paused by hand",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop new orders up to a session, without a halt: the device goes on pulling, scoring, reconciling and reporting.

    What is held stays held, and orders that were sent stay sent (`appliance halt` cancels). It ends by itself.

    Example: appliance pause --until 2026-12-31 --reason "on holiday"
    """
    folder, fs = StateFolder(state), DurableFs()
    folder.require()
    if end == bool(until):
        raise FixInput("a pause begins or ends", fix="Give one of --until YYYY-MM-DD and --end")
    if end:
        pause.end(fs, folder)
        emit({"paused": ""}, as_json=as_json, text="Nothing is paused.")
        return
    begun = pause.Pause(to_session(until), who(), SystemClock().now(), clean(reason))
    if (today := _today(folder)) is not None and begun.until < today:
        raise FixInput(f"a pause until {begun.until} would be over: nothing was paused", where="--until", fix="Name a session to come")
    pause.begin(fs, folder, begun)
    emit({"paused": str(begun.until), "by": begun.by}, as_json=as_json, text=f"{begun.sentence}. `appliance pause --end` ends it.")


def _today(folder: StateFolder) -> date | None:
    """The venue's day in New York; None where it is not known."""
    venue = load_config(folder.config).venue
    try:
        at = venue_time(folder.root, SystemClock(), is_exchange=venue.broker is Venue.EXCHANGE, url=str(venue.url or ""))
    except BrokerUnreachable:  # whoever wants no orders is not refused for it
        return None
    return at.astimezone(NEW_YORK).date() if at else None


def acknowledge_halt(state: State = DEFAULT_STATE, by: By = "", as_json: AsJson = False) -> None:
    """Acknowledge the halt in force: no more hourly reminders. The device stays halted."""
    folder = StateFolder(state)
    folder.require()
    latch = Latch(state, DurableFs()).read()
    if latch.is_armed or latch.is_fresh:
        raise FixInput("the device is not halted; there is nothing to acknowledge", where=latch.sentence())
    person = by or who()
    with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
        acknowledge(ledger, latch, person, SystemClock().now())
    emit({"halt_id": latch.halt_id, "by": person}, as_json=as_json, text=f"Acknowledged by {person}. {latch.sentence()}")


def cancel_all(state: State = DEFAULT_STATE, credentials: Credentials = None) -> None:
    """Cancel every working order and change nothing else; the daemon's screens ask for it."""
    folder = StateFolder(state)
    folder.require()
    config = load_config(folder.config)
    with opened_venue(config, folder, credentials=folder.key_folder(credentials), start=SystemClock().now()) as counterparty:
        done = cancel_all_of(counterparty.broker)
    text = "Working orders were cancelled." if done == CANCELLED else f"Working orders: {done}."
    emit({"cancelled": done == CANCELLED}, as_json=False, text=text)


def _cancel_orders(folder: StateFolder, record: LatchRecord, reason: str, credentials: Path | None) -> str:
    fs, is_notified = DurableFs(), False
    try:
        with opened(folder.root, credentials=credentials) as device, device.deps() as deps:
            is_notified = True  # whatever carrying it out ends with
            cancelled = carry_out(deps, None, record, MANUAL, reason, "halt_requests")
    except Locked:
        is_asked = halt_file.request(fs, folder, reason)
        notice = _cancel_past_the_lock(folder, credentials)
        if not is_asked:
            return f"Another process is at work, and can send no new orders.{notice}"
        _await_cancellation(folder, credentials)
        return f"Another process is at work: it was asked to cancel its orders, and can send no new ones.{notice}"
    except (TrademlError, OSError) as error:
        halt_file.request(fs, folder, reason)
        notice = _cancel_past_the_lock(folder, credentials)
        if not is_notified:
            body = f"{record.sentence()}.{notice} It is not in the ledger: {reason_of(error)}"
            at = SystemClock().now()
            alert = Alert(Severity.PAGE, f"halt-{record.halt_id}", f"HALTED by {MANUAL}", clean(body), at)
            with suppress(TrademlError, OSError):  # an address that cannot be read is said by every other command
                channels(folder, folder.key_folder(credentials)).notify(alert)
        return f"The latch is closed. The halt is not recorded yet: {reason_of(error)}.{notice}"
    if cancelled != CANCELLED:
        return f"The halt is recorded. Working orders: {cancelled}."
    return "Working orders were cancelled and the halt is recorded."


def _cancel_past_the_lock(folder: StateFolder, credentials: Path | None) -> str:
    """Send cancel-all from here too, where the venue is no part of the process that holds the lock."""
    try:
        config = load_config(folder.config)
        if config.venue.is_hosted:
            return ""
        with opened_venue(config, folder, credentials=folder.key_folder(credentials), start=SystemClock().now()) as counterparty:
            done = cancel_all_of(counterparty.broker)
    except (TrademlError, OSError) as error:
        done = f"not cancelled: {reason_of(error)}"
    return " Cancel-all was sent from here too." if done == CANCELLED else f" Cancel-all from here: {done}."


def _await_cancellation(folder: StateFolder, credentials: Path | None) -> None:
    """Wait until the file HALT is gone; when the other process ended without seeing it, do here what it asks."""
    clock = SystemClock()
    until = clock.monotonic() + TAKEN_SECONDS
    while halt_file.is_requested(DurableFs(), folder) and clock.monotonic() < until:
        try:
            with opened(folder.root, credentials=credentials) as device, device.deps() as deps:
                honour_halt_request(deps, None)
            return
        except Locked:
            clock.sleep(TAKEN_SECONDS / 20)
        except TrademlError:
            return  # the latch is closed and the file stays for whoever works next


def _refuse_loosened(deps: Deps, halt_id: str) -> None:
    """Raise `FixInput` when a limit is looser than the halt's own record says it was."""
    row = halts.find(deps.ledger, halt_id)
    before = from_json(dict[str, float], row.details.get("limits") or {}) if row else {}
    if found := loosened(before, guarded(deps.config)):
        raise FixInput(
            "limits were loosened while the device was halted",
            where="; ".join(found),
            fix="Put them back in config.yml; change them, if you must, while it is armed",
        )


def _record(deps: Deps, latch: LatchRecord, record: LatchRecord) -> None:
    """Record who opened the latch, for every halt that the ledger holds open."""
    at = deps.clock.now()
    if halts.find(deps.ledger, latch.halt_id) is None:  # a crash came between the latch and the ledger
        name, reason = latch.name, latch.reason
        halts.add(deps.ledger, halts.HaltRow(latch.halt_id, at, name, name, reason, "", None, halts.HALT))
    for row in halts.open_halts(deps.ledger, halts.HALT):
        halts.rearm(deps.ledger, row.id, at, record.by, record.reason)
