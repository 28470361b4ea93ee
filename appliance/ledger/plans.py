"""Plans: the frozen orders of one session, written once with their intents and loaded ever after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from appliance.ledger import intents
from appliance.ledger.database import Ledger
from appliance.ledger.values import columns_of
from execution.orders import Plan, Provenance, Rounding
from signals.errors import InvariantBroken, LedgerUnusable


@dataclass(frozen=True)
class _PlanRow:
    session: date
    asof: date
    account: str
    digest: str
    equity: Decimal
    provenance: Provenance
    rounding_l1: float
    body: Mapping[str, Any]


def save(ledger: Ledger, plan: Plan, at: datetime) -> Plan:
    """Freeze `plan` with its intents PLANNED; return the plan in force: the first one saved for the session.

    A second plan of the session, equal or not, is not written: what was frozen stands.
    """
    with ledger.transaction():
        standing = load(ledger, plan.session)
        if standing is not None:
            return standing
        body = {
            "intents": [intents.to_json(intent) for intent in plan.intents],
            "refusals": [list(refusal) for refusal in plan.refusals],
            "references": {symbol: str(price) for symbol, price in plan.references.items()},
            "adv_usd": {symbol: str(volume) for symbol, volume in plan.adv_usd.items()},
            "path": {symbol: str(shares) for symbol, shares in plan.path.items()},
            "rounding": vars(plan.rounding),
        }
        ledger.insert(
            "plans",
            {
                "session": plan.session,
                "asof": plan.asof,
                "account": plan.account,
                "digest": plan.digest,
                "equity": plan.equity,
                **columns_of(plan.provenance),
                "rounding_l1": plan.rounding.nearest_l1,
                "body": json.dumps(body, separators=(",", ":")),
                "committed_at": at,
            },
        )
        for intent in plan.intents:
            intents.add(ledger, intent, at)
    return plan


def load(ledger: Ledger, session: date) -> Plan | None:
    """Return the frozen plan of `session`, or None; raise `LedgerUnusable` when it no longer has its digest."""
    row = ledger.first(_PlanRow, "SELECT * FROM plans WHERE session = ?", (session,))
    if row is None:
        return None
    body = row.body
    plan = Plan(
        session=row.session,
        asof=row.asof,
        account=row.account,
        equity=row.equity,
        intents=tuple(intents.from_json(item) for item in body["intents"]),
        provenance=row.provenance,
        refusals=tuple((str(symbol), str(check), str(reason)) for symbol, check, reason in body["refusals"]),
        rounding=_rounding(body.get("rounding"), row.rounding_l1),
        references={symbol: Decimal(price) for symbol, price in body["references"].items()},
        adv_usd={symbol: Decimal(volume) for symbol, volume in body["adv_usd"].items()},
        path={symbol: Decimal(shares) for symbol, shares in body.get("path", {}).items()},
    )
    if plan.digest != row.digest:
        raise LedgerUnusable("the frozen plan does not have its digest", where=str(session), fix="Restore the last backup")
    return plan


def _rounding(stored: dict[str, Any] | None, l1: float) -> Rounding:
    """Read what whole shares cost a plan; a plan of an earlier release kept one figure, and no path."""
    if stored is None:
        return Rounding(nearest_l1=l1)
    return Rounding(**{**stored, "never_held": tuple(stored["never_held"])})


def before(ledger: Ledger, session: date) -> Plan | None:
    """Return the newest frozen plan of an earlier session."""
    found = ledger.first(date, "SELECT session FROM plans WHERE session < ? ORDER BY session DESC LIMIT 1", (session,))
    return None if found is None else load(ledger, found)


def require(ledger: Ledger, session: date) -> Plan:
    """Return the frozen plan of a session that must have one."""
    plan = load(ledger, session)
    if plan is None:
        raise InvariantBroken("no plan was frozen for the session", where=str(session))
    return plan


def sessions(ledger: Ledger, first: date) -> tuple[date, ...]:
    """Return the sessions from `first` on that have a plan, oldest first."""
    return tuple(ledger.read(date, "SELECT session FROM plans WHERE session >= ? ORDER BY session", (first,)))
