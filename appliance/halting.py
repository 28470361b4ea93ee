"""How a halt is carried out, in the one order that survives a crash at any point.

The latch first, durably; then working orders are cancelled; then the ledger and a person are told what became of it.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from appliance.deps import Deps
from appliance.latch import LatchRecord
from appliance.ledger import alerts, halts, intents, plans, snapshots, tripwires
from appliance.loosening import guarded
from appliance.seams import Alert, Severity
from signals.errors import (
    BrokerUnreachable,
    HaltDevice,
    LedgerUnusable,
    OutcomeUnknown,
    ReconBreak,
    TrademlError,
    TripwireHalt,
    UnknownBrokerState,
    UnknownOrder,
)
from signals.files import sha256_of

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
    """Close the latch, cancel every working order, record and tell; return the halt that stands.

    Parameters
    ----------
    deps : Deps
    session : date or None
        D, where the halt belongs to one.
    name : str
        The tripwire, or what closed the latch.
    reason : str
        For a person.
    measure : str
        What was measured, where a tripwire measured it.
    """
    record = deps.latch.halt(name, reason, deps.clock.now())
    carry_out(deps, session, record, name, reason, measure)
    return record


def carry_out(deps: Deps, session: date | None, record: LatchRecord, name: str, reason: str, measure: str = "") -> None:
    """Do what follows once the latch is closed: cancel working orders, record, tell."""
    at = deps.clock.now()
    cancelled = _cancel(deps)
    plan = plans.load(deps.ledger, session) if session is not None else None
    details: dict[str, Any] = {
        "cancel": cancelled, "session": session, "holdings": _holdings(deps), "limits": guarded(deps.config),
        "config_hash": deps.config.decision_hash(), "code_version": deps.code_version,
        **_circumstances(deps, session),
    }  # fmt: skip
    if halts.find(deps.ledger, record.halt_id) is None:
        halts.add(
            deps.ledger,
            halts.HaltRow(
                record.halt_id,
                at,
                name,
                measure or name,
                reason,
                _threshold(deps, session, name),
                plan.digest if plan else None,
                "halt",
                details,
            ),
        )
    told = tell(
        deps, Severity.PAGE, f"halt-{record.halt_id}", f"HALTED by {name}",
        f"{reason}. Working orders: {cancelled}. {_holdings(deps)}."
        f" To go on: appliance rearm --halt-id {record.halt_id} --reason TEXT",
    )  # fmt: skip
    halts.add_details(deps.ledger, record.halt_id, {"notified": told})


def tell(deps: Deps, severity: Severity, key: str, title: str, body: str) -> bool:
    """Tell a person through every channel and record whether it reached one.

    The same words under the same key, once they have reached a person, are not said again within the hour.
    """
    alert = Alert(severity, key, title, body, deps.clock.now())
    last = alerts.last_of(deps.ledger, key)
    is_repeated = last is not None and (last.alert.title, last.alert.body) == (title, body)
    if last is not None and is_repeated and last.delivered and alert.at - last.alert.at < SAID_AGAIN_AFTER:
        return True
    delivered = deps.notifier.notify(alert)
    alerts.add(deps.ledger, alert, delivered=delivered)
    return delivered


def _cancel(deps: Deps) -> str:
    try:
        return "cancelled" if deps.broker.cancel_all() else "the broker did not take the cancellation"
    except (BrokerUnreachable, OutcomeUnknown, HaltDevice) as error:
        return f"not cancelled: {error}"


def _threshold(deps: Deps, session: date | None, name: str) -> str:
    """The limit of the tripwire that halted, as it was recorded; empty for what is no tripwire's halt."""
    rows = tripwires.of_session(deps.ledger, session) if session is not None else ()
    return next((row.limit for row in rows if row.name == name), "")


def _circumstances(deps: Deps, session: date | None) -> dict[str, Any]:
    """What was measured, held and on its way when the latch closed; the hash names the day's figures as recorded."""
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
    standing = snapshots.latest(deps.ledger)
    if standing is None:
        return "no holdings are recorded"
    return f"{len(standing.positions)} positions are held, equity {standing.equity} USD at the last agreement"
