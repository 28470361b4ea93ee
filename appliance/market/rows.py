"""Encodes audits and corporate actions as rows of the market store, without loading arrays: the screens read them."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from signals.errors import InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.sessions import SessionAudit, SessionStatus


def audit_body(audit: SessionAudit) -> str:
    """Write an audit as one JSON document."""
    return json.dumps({**vars(audit), "session": audit.session.isoformat(), "status": str(audit.status)}, sort_keys=True)


def audit_of(body: str) -> SessionAudit:
    """Read back what `audit_body` wrote."""
    row = json.loads(body)
    return SessionAudit(
        date.fromisoformat(row["session"]),
        SessionStatus(row["status"]),
        tuple(row["reasons"]),
        row["eligible"],
        row["usable"],
        row["rows"],
        row["quarantined"],
    )


def action_row(action: Action) -> tuple[object, ...]:
    """Write an action as a row of the table `actions`; figures as decimal text, so that nothing is rounded."""
    return (
        str(action.kind),
        action.symbol,
        action.effective,
        action.known_at,
        None if action.ratio is None else str(action.ratio),
        None if action.cash is None else str(action.cash),
        action.new_symbol,
        action.inferred,
    )


def action_of(row: tuple[Any, ...]) -> Action:
    """Read back what `action_row` wrote."""
    kind, symbol, effective, known_at, ratio, cash, new_symbol, inferred = row
    if not isinstance(symbol, str):
        raise InvariantBroken("an action without a symbol in the market store")
    return Action(
        ActionKind(kind),
        symbol,
        effective,
        known_at,
        None if ratio is None else Decimal(ratio),
        None if cash is None else Decimal(cash),
        new_symbol,
        bool(inferred),
    )
