"""The ledger's tables for a person or a program: blotter, signals, positions, tripwires, jobs, halts, alerts.

Every command reads the ledger read-only and without the lock: it disturbs nothing and works while jobs run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.commands.options import DEFAULT_STATE, AsJson, Limit, State, to_session
from appliance.commands.table import render
from appliance.folder import StateFolder
from appliance.ledger import (
    Ledger,
    Mode,
    alerts,
    fills,
    halts,
    intents,
    job_runs,
    plans,
    scores,
    snapshots,
    targets,
    tripwires,
)
from appliance.ledger.job_runs import JobRun
from signals.console import emit
from signals.errors import FixInput

Session = Annotated[
    str,
    typer.Option("--session", metavar="YYYY-MM-DD", help="D; default: the newest one.", show_default=False),
]
Rows = list[dict[str, Any]]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(blotter)
    app.command()(signals)
    app.command()(positions)
    app.command("tripwires")(show_tripwires)
    app.command("jobs")(show_jobs)
    app.command("halts")(show_halts)
    app.command("alerts")(show_alerts)


def blotter(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show the orders of a session: what was meant, what became of it, at what price; the largest first."""
    with _ledger(state) as ledger:
        day = _session(ledger, session)
        prices = _prices(ledger, day)
        rows: Rows = [
            {
                "symbol": entry.intent.key.symbol,
                "side": entry.intent.side.value,
                "quantity": str(entry.intent.quantity),
                "when": entry.intent.time_in_force.value,
                "reference": str(entry.intent.reference_price),
                "filled": str(entry.filled_quantity),
                "price": prices.get(entry.client_order_id),
                "state": entry.state.value,
                "reason": entry.reason,
                "client_order_id": entry.client_order_id,
            }
            for entry in sorted(
                intents.of_session(ledger, day), key=lambda e: (-abs(e.intent.notional), e.client_order_id)
            )
        ]
        plan = plans.load(ledger, day)
    source = vars(plan.provenance) if plan else {}
    columns = ["symbol", "side", "quantity", "when", "reference", "filled", "price", "state", "reason"]
    _show(day, rows, columns, limit, as_json, f"no orders for {day}", extra={"provenance": source})


def signals(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show the scores behind a session, best first, with the weight that is held and the weight that is aimed at."""
    with _ledger(state) as ledger:
        day = _session(ledger, session)
        aimed = {row.symbol: row for row in targets.load(ledger, day)}
        found = ledger.rows(
            "SELECT asof, sleeve FROM scores WHERE asof = (SELECT max(asof) FROM scores WHERE asof < ?)"
            " GROUP BY asof, sleeve ORDER BY sleeve",
            (day.isoformat(),),
        )
        rows: Rows = [
            {
                "rank": row.rank,
                "symbol": row.symbol,
                "score": row.score,
                "z": round(row.z, 3),
                "held": _percent(aimed[row.symbol].current_weight) if row.symbol in aimed else None,
                "target": _percent(aimed[row.symbol].weight) if row.symbol in aimed else None,
                "sleeve": row.sleeve,
                "asof": row.asof,
                "source": row.source,
            }
            for item in found
            for row in scores.load(ledger, date.fromisoformat(str(item["asof"])), str(item["sleeve"]))
        ]
    _show(day, rows, ["rank", "symbol", "score", "z", "held", "target", "sleeve"], limit, as_json,
          f"no scores before {day}")  # fmt: skip


def positions(state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show what is held, as it was last agreed with the broker."""
    with _ledger(state) as ledger:
        held = snapshots.latest(ledger)
    if held is None:
        _show(None, [], [], limit, as_json, "nothing has been agreed with the broker yet")
        return
    rows: Rows = [
        {
            "symbol": p.symbol,
            "quantity": str(p.quantity),
            "entry": str(p.average_entry_price),
            "price": None if p.current_price is None else str(p.current_price),
            "value": None if p.current_price is None else f"{p.quantity * p.current_price:.2f}",
            "weight": None if p.current_price is None else _percent(float(p.quantity * p.current_price / held.equity)),
        }
        for p in held.positions
    ]
    facts = {"phase": held.phase.value, "equity": str(held.equity), "cash": str(held.cash)}
    _show(held.session, rows, ["symbol", "quantity", "entry", "price", "value", "weight"], limit, as_json,
          f"nothing is held; cash {held.cash} USD", extra=facts)  # fmt: skip


def show_tripwires(
    session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False
) -> None:
    """Show every check of a session with its value and limit, what tripped first."""
    with _ledger(state) as ledger:
        day = _session(ledger, session)
        found = sorted(tripwires.of_session(ledger, day), key=lambda row: (not row.tripped, row.name))
    rows: Rows = [
        {"name": r.name, "tripped": "TRIPPED" if r.tripped else "ok", "value": r.value, "limit": r.limit,
         "action": r.action, "detail": r.detail}
        for r in found
    ]  # fmt: skip
    _show(day, rows, ["name", "tripped", "value", "limit", "action", "detail"], limit, as_json,
          f"no check was made for {day}")  # fmt: skip


def show_jobs(
    session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False
) -> None:
    """Show how each job of a session ended."""
    with _ledger(state) as ledger:
        day = _session(ledger, session)
        found: Sequence[JobRun] = [run for run in job_runs.since(ledger, day) if run.session == day]
    rows: Rows = [
        {
            "job": run.job,
            "status": run.status.value if run.status else "not ended",
            "started": run.started_at.isoformat(timespec="seconds"),
            "attempts": run.attempts,
            "summary": run.summary,
        }
        for run in found
    ]
    _show(day, rows, ["job", "status", "started", "attempts", "summary"], limit, as_json, f"no job ran for {day}")


def show_halts(state: State = DEFAULT_STATE, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the latest halts, why, and who opened the latch again."""
    with _ledger(state) as ledger:
        found = halts.newest(ledger, limit)
    rows: Rows = [
        {"id": h.id, "at": h.at.isoformat(timespec="seconds"), "name": h.name, "value": h.value,
         "rearmed_by": h.rearmed_by, "reason": h.reason}
        for h in found
    ]  # fmt: skip
    _show(None, rows, ["id", "at", "name", "value", "rearmed_by", "reason"], limit, as_json, "this device never halted")


def show_alerts(state: State = DEFAULT_STATE, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show what a person was told, newest first, and whether it reached anybody."""
    with _ledger(state) as ledger:
        found = alerts.newest(ledger, limit)
    rows: Rows = [
        {"at": r.alert.at.isoformat(timespec="seconds"), "severity": r.alert.severity.value, "title": r.alert.title,
         "body": r.alert.body, "delivered": r.delivered}
        for r in found
    ]  # fmt: skip
    _show(None, rows, ["at", "severity", "title", "body", "delivered"], limit, as_json, "no alert was ever sent")


def _ledger(state: Path) -> Ledger:
    folder = StateFolder(state)
    folder.require()
    return Ledger(folder.ledger, Mode.READ)


def _session(ledger: Ledger, text: str) -> date:
    if text:
        return to_session(text)
    newest = ledger.value("SELECT max(session) FROM job_runs")
    if not isinstance(newest, str):
        raise FixInput("this device has not run a session yet", mend="Name one with --session, or run one")
    return date.fromisoformat(newest)


def _prices(ledger: Ledger, session: date) -> dict[str, str]:
    """Average fill price by client order id, 4 decimals."""
    found: dict[str, tuple[Any, Any]] = {}
    for booked in fills.of_session(ledger, session):
        quantity, value = found.get(booked.client_order_id, (0, 0))
        found[booked.client_order_id] = (
            quantity + booked.fill.quantity,
            value + booked.fill.quantity * booked.fill.price,
        )
    return {key: f"{value / quantity:.4f}" for key, (quantity, value) in found.items() if quantity}


def _percent(weight: float) -> str:
    return f"{weight:+.2%}"


def _show(
    session: date | None,
    rows: Rows,
    columns: Sequence[str],
    limit: int,
    as_json: bool,
    empty: str,
    extra: dict[str, Any] | None = None,
) -> None:
    shown = rows[:limit]
    text = render(shown, columns, empty=empty)
    if len(rows) > len(shown):
        text += f"\n... {len(rows) - len(shown)} more; --limit shows them"
    head = f"Session {session}\n" if session and rows else ""
    emit({"session": session, "rows": shown, "total": len(rows), **(extra or {})}, as_json=as_json, text=head + text)
