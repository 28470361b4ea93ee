"""The ledger's frozen plans: the orders of one session, written once together with their intents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from appliance.ledger import intents
from appliance.ledger.database import Ledger, columns_of
from appliance.ledger.intents import StoredIntent
from execution.orders import Plan, Provenance, Rounding
from signals.errors import InvariantBroken, LedgerUnusable
from signals.text.documents import BadDocument, from_json, to_json


@dataclass(frozen=True)
class PlanBody:
    """Contents of a frozen plan besides its columns; one of an earlier release has no path, rounding, shares of steps and multiplier."""

    intents: tuple[StoredIntent, ...]
    refusals: tuple[tuple[str, str, str], ...]
    references: Mapping[str, Decimal]
    adv_usd: Mapping[str, Decimal]
    path: Mapping[str, Decimal] = field(default_factory=dict)
    rounding: Rounding | None = None
    step_shares: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)
    urgencies: Mapping[str, float] = field(default_factory=dict)
    multiplier: float = 1.0


@dataclass(frozen=True)
class _PlanRow:
    session: date
    asof: date
    account: str
    digest: str
    equity: Decimal
    provenance: Provenance
    rounding_l1: float
    body: Mapping[str, object]


def save(ledger: Ledger, plan: Plan, at: datetime) -> Plan:
    """Freeze `plan` with its intents PLANNED; return the plan in force: the first one saved for the session.

    A second plan of the session, equal or not, is not written: the frozen one remains.
    """
    with ledger.transaction():
        existing = load(ledger, plan.session)
        if existing is not None:
            return existing
        body = PlanBody(
            intents=tuple(StoredIntent.of(intent) for intent in plan.intents),
            refusals=plan.refusals,
            references=plan.references,
            adv_usd=plan.adv_usd,
            path=plan.path,
            rounding=plan.rounding,
            step_shares=plan.step_shares,
            urgencies=plan.urgencies,
            multiplier=plan.multiplier,
        )
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
                "body": json.dumps(to_json(body), separators=(",", ":")),
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
    try:
        body = from_json(PlanBody, row.body)
    except BadDocument as error:
        raise LedgerUnusable(f"the frozen plan cannot be read: {error}", where=str(session), fix="Restore the last backup") from None
    plan = Plan(
        session=row.session,
        asof=row.asof,
        account=row.account,
        equity=row.equity,
        intents=tuple(stored.intent for stored in body.intents),
        provenance=row.provenance,
        refusals=body.refusals,
        rounding=body.rounding or Rounding(nearest_l1=row.rounding_l1),
        references=body.references,
        adv_usd=body.adv_usd,
        step_shares=body.step_shares,
        urgencies=body.urgencies,
        multiplier=body.multiplier,
        path=body.path,
    )
    if plan.digest != row.digest:
        raise LedgerUnusable("the frozen plan does not have its digest", where=str(session), fix="Restore the last backup")
    return plan


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
