"""Carries out a halt in the one order that survives a crash at any point: latch, cancel, record, notify.

The latch first, durably; then working orders are cancelled; then the outcome is recorded in the ledger and a person is notified,
whatever that was: no answer of the broker, no clock and no ledger can keep a halt from the page.
"""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta

from appliance.context import Deps
from appliance.controls.latch import LatchRecord
from appliance.ledger import Ledger, alerts, halts, intents, plans, snapshots, tripwires
from appliance.safety.limit_changes import guarded
from appliance.system.clock import instant
from appliance.system.ports import Alert, Notifier, Severity
from execution.brokers.base import Broker
from signals.errors import (
    HaltDevice,
    InvariantBroken,
    LedgerUnusable,
    OutcomeUnknown,
    ReconBreak,
    TrademlError,
    TripwireHalt,
    UnknownBrokerState,
    UnknownOrder,
)
from signals.files import sha256_of
from signals.text.wording import clean, clean_lines, reason_of

CANCELLED = "cancelled"
SAID_AGAIN_AFTER = timedelta(hours=1)
NAMES: dict[type[TrademlError], str] = {
    ReconBreak: "RECON_BREAK",
    UnknownOrder: "UNKNOWN_ORDER",
    OutcomeUnknown: "UNKNOWN_ORDER",
    UnknownBrokerState: "UNKNOWN_BROKER_STATE",
    LedgerUnusable: "LEDGER_UNUSABLE",
}


def halt_name(error: HaltDevice | OutcomeUnknown) -> str:
    """Return the name of the halt that an error asks for."""
    if isinstance(error, TripwireHalt):
        return error.where
    return NAMES.get(type(error), "HALT")


def halt(deps: Deps, session: date | None, name: str, reason: str, *, measure: str = "") -> LatchRecord:
    """Close the latch, cancel every working order, record and notify; return the halt in force.

    Parameters
    ----------
    session : date or None
        D, where the halt belongs to one.
    name : str
        The tripwire, or what closed the latch.
    reason : str
        For a person.
    measure : str
        The measured figure, where a tripwire measured it.

    Raises
    ------
    LedgerUnusable
        The disk takes nothing, not even the closing of the latch; or it took that and not the record.
    """
    deps.latch.close()
    record = deps.latch.halt(name, reason, instant(deps.clock))
    if deps.latch.is_refused:  # nor does it take a journal: nothing leaves, and the next attempt finds out again
        raise LedgerUnusable("a halt cannot be written", where=record.reason, fix="Replace the disk, or remount it")
    carry_out(deps, session, record, name, reason, measure)
    return record


def carry_out(deps: Deps, session: date | None, record: LatchRecord, name: str, reason: str, measure: str = "") -> str:
    """Do what follows once the latch is closed: cancel working orders, record, notify; return the outcome of the orders.

    Raises
    ------
    LedgerUnusable, Locked
        A person was notified, and the halt is not on record: the next attendance records it.
    """
    reason, cancelled = clean(reason), cancel_all(lambda: deps.broker)
    try:
        _record(deps, session, record, name, reason, measure, cancelled)
    finally:
        delivered = notify(
            deps, Severity.PAGE, f"halt-{record.halt_id}", f"HALTED by {name}", _body(record, reason, cancelled, _held(deps))
        )
    halts.add_details(deps.ledger, record.halt_id, {"notified": delivered})
    return cancelled


def carry_out_without_ledger(
    open_broker: Callable[[], Broker], notifier: Notifier, record: LatchRecord, at: datetime, error: TrademlError
) -> str:
    """Cancel working orders and notify a person, where there is no usable ledger; return the outcome of the orders.

    Parameters
    ----------
    record : LatchRecord
        The halt in force.
    at : datetime
        UTC.
    error : TrademlError
        Why there is none.
    """
    cancelled = cancel_all(open_broker)
    body = _body(record, record.reason, cancelled, f"The halt is not in the ledger: {error}")
    notifier.notify(Alert(Severity.PAGE, f"halt-{record.halt_id}", f"HALTED by {record.name}", body, at))
    return cancelled


def _body(record: LatchRecord, reason: str, cancelled: str, known: str) -> str:
    return f"{reason}. Working orders: {cancelled}. {known}. To go on: appliance rearm --halt-id {record.halt_id} --reason TEXT"


def _record(deps: Deps, session: date | None, record: LatchRecord, name: str, reason: str, measure: str, cancelled: str) -> None:
    if halts.find(deps.ledger, record.halt_id) is not None:
        return
    details: dict[str, object] = {
        "cancel": cancelled,
        "session": session,
        "limits": guarded(deps.config),
        "config_hash": deps.config.decision_hash(),
        "code_version": deps.code_version,
    }
    digest, limit = None, ""
    try:
        plan = plans.load(deps.ledger, session) if session is not None else None
        digest, limit = plan.digest if plan else None, _threshold(deps, session, name)
        details |= {"holdings": _holdings(deps), **_circumstances(deps, session)}
    except (HaltDevice, InvariantBroken) as error:  # what it cannot say is no reason not to record the halt itself
        details["unreadable"] = str(error)
    row = halts.HaltRow(record.halt_id, instant(deps.clock), name, measure or name, reason, limit, digest, halts.HALT, details)
    halts.add(deps.ledger, row)


def notify(deps: Deps, severity: Severity, key: str, title: str, body: str) -> bool:
    """Notify a person through every channel and record whether it reached one.

    The same words under the same key, once they have reached a person, are not said again within the hour.
    """
    title, body = clean(title), clean_lines(body)
    alert = Alert(severity, key, title, body, instant(deps.clock))
    last = _last(deps.ledger, key)
    is_repeated = last is not None and (last.alert.title, last.alert.body) == (title, body)
    if last is not None and is_repeated and last.delivered and alert.at - last.alert.at < SAID_AGAIN_AFTER:
        return True
    delivered = deps.notifier.notify(alert)
    alerts.add(deps.ledger, alert, delivered=delivered)
    return delivered


def warn(deps: Deps, key: str, title: str, body: str) -> bool:
    """Notify a person, as `notify` does, of what needs a look and halts nothing."""
    return notify(deps, Severity.WARN, key, title, body)


def _last(ledger: Ledger, key: str) -> alerts.AlertRow | None:
    """The last alert of this key; none where the ledger does not say, so that the new one leaves."""
    try:
        return alerts.last_of(ledger, key)
    except LedgerUnusable:
        return None


def cancel_all(open_broker: Callable[[], Broker]) -> str:
    """Ask the broker once to cancel every order, and return what became of it in words, whatever that was."""
    try:
        return CANCELLED if open_broker().cancel_all() else "the broker did not take the cancellation"
    except Exception as error:  # noqa: BLE001 - no answer, however spoilt, may keep a halt from being recorded and notified
        return clean(f"not cancelled: {reason_of(error)}")


def _held(deps: Deps) -> str:
    try:
        return _holdings(deps)
    except LedgerUnusable as error:
        return f"The ledger does not say what is held: {error}"


def _threshold(deps: Deps, session: date | None, name: str) -> str:
    """The limit of the tripwire that halted, as it was recorded; empty for what is no tripwire's halt."""
    rows = tripwires.of_session(deps.ledger, session) if session is not None else ()
    return next((row.limit for row in rows if row.name == name), "")


def _circumstances(deps: Deps, session: date | None) -> dict[str, object]:
    """Figures, positions and open orders when the latch closed; the hash names the day's figures as recorded."""
    rows = tripwires.of_session(deps.ledger, session) if session is not None else ()
    measured = {row.name: row.value for row in rows}
    held = snapshots.latest(deps.ledger)
    return {
        "measured": measured,
        "inputs_sha256": sha256_of(json.dumps(measured, sort_keys=True).encode()),
        "positions": {p.symbol: str(p.quantity) for p in held.positions} if held else {},
        "orders": {e.client_order_id: e.state.value for e in intents.unfinished(deps.ledger)},
    }


def _holdings(deps: Deps) -> str:
    held = snapshots.latest(deps.ledger)
    if held is None:
        return "no holdings are recorded"
    return f"{len(held.positions)} positions are held, equity {held.equity} USD at the last agreement"
