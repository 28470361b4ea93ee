"""The session report as plain data, gathered from the ledger and the market store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from appliance.context import Deps
from appliance.controls.measures import rounding_figures
from appliance.ledger import alerts, fills, intents, job_runs, nav, plans, snapshots, targets, tripwires
from appliance.ledger.intents import JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.schedule.timetable import JOBS
from execution.orders import Plan
from signals.errors import DataNotUsable

FORMAT = "trademl-report/1"
ALERTS = 200


def gather(session: date, deps: Deps) -> dict[str, Any]:
    """Return the report of the session D; money and quantities as text, exactly as recorded."""
    asof = deps.calendar.previous(session)
    plan = plans.load(deps.ledger, session)
    runs = {run.job: run for run in job_runs.since(deps.ledger, session) if run.session == session}
    return {
        "format": FORMAT,
        "session": session.isoformat(),
        "asof": asof.isoformat(),
        "latch": deps.latch.read().sentence(),
        "venue": deps.config.venue.broker.value,
        "jobs": [
            {"job": run.job, "status": run.status.value if run.status else "running", "summary": run.summary}
            for run in sorted(runs.values(), key=_place)
            if run.status is not None
        ],
        "data": _data(asof, deps),
        "bundle": _chosen(runs, "score", ("bundle_id", "bundle_sha256", "role", "refusal", "bundle_age_sessions")),
        "decisions": _chosen(runs, "plan", ("decisions", "sized_by", "ramp", "turnover", "gross", "net", "reduce_only")),
        "plan": _plan(plan),
        "targets": [
            {"symbol": row.symbol, "weight": row.weight, "current": row.current_weight, "z": row.z, "sector": row.sector}
            for row in targets.load(deps.ledger, session)
        ],
        "orders": [_order(entry) for entry in intents.of_session(deps.ledger, session)],
        "fills": [
            {
                "symbol": b.fill.symbol,
                "side": b.fill.side.value,
                "quantity": str(b.fill.quantity),
                "price": str(b.fill.price),
                "cash": str(b.fill.cash),
                "at": b.fill.at.isoformat(),
                "client_order_id": b.client_order_id,
            }
            for b in fills.of_session(deps.ledger, session)
        ],
        "positions": _positions(session, deps),
        "value": _value(session, deps),
        "tripwires": [
            {"name": row.name, "value": row.value, "limit": row.limit, "action": row.action, "tripped": row.tripped, "detail": row.detail}
            for row in tripwires.of_session(deps.ledger, session)
        ],
        "alerts": [
            {"severity": row.alert.severity.value, "title": row.alert.title, "body": row.alert.body, "delivered": row.delivered}
            for row in reversed(alerts.newest(deps.ledger, ALERTS))
            if _belongs(row.alert.at, asof, session, deps)
        ],
    }


def _place(run: job_runs.JobRun) -> int:
    return JOBS.index(run.job) if run.job in JOBS else len(JOBS)


def _data(asof: date, deps: Deps) -> dict[str, Any]:
    audit, dataset = deps.market.audit(asof), deps.market.dataset()
    return {
        "status": audit.status.value if audit else "absent",
        "reasons": list(audit.reasons) if audit else [],
        "eligible": audit.eligible if audit else None,
        "dataset": dataset.name if dataset else None,
        "version": dataset.version if dataset else None,
        "snapshot_id": _snapshot_id(asof, deps),
        "survivorship": dataset.survivorship if dataset else None,
    }


def _snapshot_id(asof: date, deps: Deps) -> str | None:
    try:
        snapshot = deps.market.snapshot(asof)
    except DataNotUsable:  # nothing was decided on these bars; the day is reported all the same
        return None
    return snapshot.id if snapshot else None


def _chosen(runs: dict[str, job_runs.JobRun], job: str, names: Sequence[str]) -> dict[str, Any]:
    figures = runs[job].figures if job in runs else {}
    return {name: figures.get(name) for name in names}


def _plan(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        "digest": plan.digest,
        "equity": str(plan.equity),
        "orders": len(plan.intents),
        "rounding_l1": plan.rounding.nearest_l1,
        "rounding": rounding_figures(plan.rounding),
        "refusals": [{"symbol": s, "check": c, "reason": r} for s, c, r in plan.refusals],
        "provenance": vars(plan.provenance),
    }


def _order(entry: JournalEntry) -> dict[str, Any]:
    intent = entry.intent
    return {
        "client_order_id": entry.client_order_id,
        "symbol": intent.key.symbol,
        "side": intent.side.value,
        "quantity": str(intent.quantity),
        "time_in_force": intent.time_in_force.value,
        "reference_price": str(intent.reference_price),
        "state": entry.state.value,
        "filled": str(entry.filled_quantity),
        "reason": "" if entry.reason == entry.state.value else entry.reason,
    }


def _positions(session: date, deps: Deps) -> list[dict[str, Any]]:
    closing = snapshots.find(deps.ledger, session, Phase.CLOSE)
    return (
        []
        if closing is None
        else [
            {
                "symbol": p.symbol,
                "quantity": str(p.quantity),
                "average_price": str(p.average_entry_price),
                "price": None if p.current_price is None else str(p.current_price),
                "value": None if p.current_price is None else str(p.quantity * p.current_price),
            }
            for p in closing.positions
        ]
    )


def _value(session: date, deps: Deps) -> dict[str, Any] | None:
    rows = nav.history(deps.ledger, session, 2)
    if not rows or rows[-1].session != session:
        return None
    row = rows[-1]
    first = snapshots.first(deps.ledger)
    before = rows[0].paper_nav if len(rows) == 2 else (first.last_equity if first else row.paper_nav)
    real_before = rows[0].restated_nav if len(rows) == 2 else before
    return {
        "paper_nav": str(row.paper_nav),
        "real_nav": str(row.real_nav),
        "cash": str(row.cash),
        "gross_usd": str(row.gross),
        "net_usd": str(row.net),
        "gross": _share(row.gross, row.paper_nav),
        "net": _share(row.net, row.paper_nav),
        "paper_pnl": str(row.paper_nav - before),
        "real_pnl": str(row.real_nav - real_before),
        "restated": None
        if len(rows) < 2 or not rows[0].restatement
        else {
            "session": rows[0].session.isoformat(),
            "reported": str(rows[0].real_nav),
            "restated": str(rows[0].restated_nav),
            "late_dividends": str(rows[0].late_dividends),
        },
        "dividends": str(row.dividends),
        "borrow": str(row.borrow),
        "fees": str(row.fees),
        "impact": str(row.impact),
    }


def _share(value: Decimal, equity: Decimal) -> float | None:
    return float(value / equity) if equity > 0 else None


def _belongs(at: datetime, asof: date, session: date, deps: Deps) -> bool:
    return deps.calendar.session(asof).close < at <= deps.calendar.session(deps.calendar.next(session)).open
