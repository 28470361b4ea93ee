"""Plans: the frozen orders of one session, written once with their intents and loaded ever after."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from appliance.ledger import intents, values
from appliance.ledger.database import Ledger
from execution.orders import Plan, Provenance, Rounding
from signals.errors import InvariantBroken, LedgerUnusable


def save(ledger: Ledger, plan: Plan, at: datetime) -> Plan:
    """Freeze `plan` with its intents PLANNED; return the plan in force: the first one saved for the session.

    A second plan of the session, equal or not, is not written: what was frozen stands.
    """
    with ledger.transaction():
        standing = load(ledger, plan.session)
        if standing is not None:
            return standing
        source = plan.provenance
        body = {
            "intents": [intents.to_json(intent) for intent in plan.intents],
            "refusals": [list(refusal) for refusal in plan.refusals],
            "references": {symbol: str(price) for symbol, price in plan.references.items()},
            "adv_usd": {symbol: str(volume) for symbol, volume in plan.adv_usd.items()},
            "path": {symbol: str(shares) for symbol, shares in plan.path.items()},
            "rounding": vars(plan.rounding),
        }
        ledger.execute(
            "INSERT INTO plans (session, asof, account, digest, equity, bundle_sha256, snapshot_id, config_hash,"
            " code_version, rounding_l1, body, committed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                plan.session.isoformat(),
                plan.asof.isoformat(),
                plan.account,
                plan.digest,
                values.amount(plan.equity),
                source.bundle_sha256,
                source.snapshot_id,
                source.config_hash,
                source.code_version,
                plan.rounding.nearest_l1,
                json.dumps(body, separators=(",", ":")),
                values.stamp(at),
            ),
        )
        for intent in plan.intents:
            intents.add(ledger, intent, at)
    return plan


def load(ledger: Ledger, session: date) -> Plan | None:
    """Return the frozen plan of `session`, or None; raise `LedgerUnusable` when it no longer has its digest."""
    row = ledger.row("SELECT * FROM plans WHERE session = ?", (session.isoformat(),))
    if row is None:
        return None
    body: dict[str, Any] = json.loads(values.text(row, "body"))
    plan = Plan(
        session=values.day(row, "session"),
        asof=values.day(row, "asof"),
        account=values.text(row, "account"),
        equity=values.number(row, "equity"),
        intents=tuple(intents.from_json(item) for item in body["intents"]),
        provenance=Provenance(
            values.text(row, "bundle_sha256"),
            values.text(row, "snapshot_id"),
            values.text(row, "config_hash"),
            values.text(row, "code_version"),
        ),
        refusals=tuple((str(symbol), str(check), str(reason)) for symbol, check, reason in body["refusals"]),
        rounding=_rounding(body.get("rounding"), values.real(row, "rounding_l1")),
        references={symbol: Decimal(price) for symbol, price in body["references"].items()},
        adv_usd={symbol: Decimal(volume) for symbol, volume in body["adv_usd"].items()},
        path={symbol: Decimal(shares) for symbol, shares in body.get("path", {}).items()},
    )
    if plan.digest != values.text(row, "digest"):
        raise LedgerUnusable("the frozen plan does not have its digest", where=str(session), fix="Restore the last backup")
    return plan


def _rounding(stored: dict[str, Any] | None, l1: float) -> Rounding:
    """Read what whole shares cost a plan; a plan of an earlier release kept one figure, and no path."""
    if stored is None:
        return Rounding(nearest_l1=l1)
    return Rounding(**{**stored, "never_held": tuple(stored["never_held"])})


def before(ledger: Ledger, session: date) -> Plan | None:
    """Return the newest frozen plan of an earlier session."""
    row = ledger.row("SELECT max(session) AS session FROM plans WHERE session < ?", (session.isoformat(),))
    return load(ledger, values.day(row, "session")) if row and row["session"] else None


def require(ledger: Ledger, session: date) -> Plan:
    """Return the frozen plan of a session that must have one."""
    plan = load(ledger, session)
    if plan is None:
        raise InvariantBroken("no plan was frozen for the session", where=str(session))
    return plan


def sessions(ledger: Ledger, first: date) -> tuple[date, ...]:
    """Return the sessions from `first` on that have a plan, oldest first."""
    found = ledger.rows("SELECT session FROM plans WHERE session >= ? ORDER BY session", (first.isoformat(),))
    return tuple(values.day(row, "session") for row in found)
