"""Encodes bars, audits and corporate actions as rows of the market store, without loading arrays."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signals.errors import InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.audits import SessionAudit, SessionStatus
from signals.market.bars import CLASSIFIED, GAP_FIELDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


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


COLUMNS = (
    "session, symbol, security, open, high, low, close, volume, total_return, overnight_return, eligible, kind, sector,"
    " gap_return, gap_overnight, undecided, sector_code, shares"
)
# What a bars file without these columns has in their place: nothing is made up.
LATER = {**{name: f"NULL::DOUBLE AS {name}" for name in (*GAP_FIELDS, *CLASSIFIED)}, "undecided": "false AS undecided"}


def columns_in(connection: DuckDBPyConnection, path: Path) -> str:
    """Return what to select of a bars file: what it does not have is not made up."""
    present = {name for (name,) in connection.execute("SELECT name FROM parquet_schema(?)", [str(path)]).fetchall()}
    columns = [name if name in present else LATER.get(name, name) for name in COLUMNS.split(", ")]
    return ", ".join(["session::DATE AS session", *columns[1:]])
