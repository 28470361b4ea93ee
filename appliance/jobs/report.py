"""After the close: the session's value, what it would have cost outside the paper world, and the report."""

from __future__ import annotations

import json
from datetime import date

from appliance.deps import Deps
from appliance.exercise import exercise
from appliance.halting import tell
from appliance.job import JobReport, JobStatus
from appliance.jobs.gate import asof_of
from appliance.ledger import fills as fill_rows
from appliance.ledger import nav, reports, snapshots
from appliance.ledger.snapshots import Phase, Snapshot
from appliance.recording import enforce
from appliance.reports.curve import draw
from appliance.reports.day import gather
from appliance.reports.markdown import render
from appliance.seams import Severity
from appliance.tripwires import Stage
from appliance.watching import tell_if_gone, watch
from execution.costs.real import Liquidity, RealCosts, liquidity_of, real_costs
from execution.morning import ADV_SESSIONS
from execution.restating import new_names
from signals.errors import DataNotUsable
from signals.files import sha256_of
from signals.manifest import PriceBasis

CURVE, LIFE = "equity.png", "expectation.png"


def report(session: date, deps: Deps) -> JobReport:
    """Write `reports/report_<D>.json`, `.md` and the equity curve.

    Everything in it comes from the ledger and the market store: written again, it is the same to the byte but for what
    happened since.
    """
    watched = watch(session, deps)
    enforce(deps, session, Stage.REVIEW, watched.figures)
    tell_if_gone(session, deps, watched.content["expectation"])
    controls = exercise(deps.config.limits())
    if controls.dead:
        tell(deps, Severity.PAGE, f"controls-{session}", "a control cannot fire", controls.sentence())
    row = _nav(session, deps)
    content = {
        **gather(session, deps),
        **watched.content,
        "controls": controls.sentence(),
        "machine": deps.machine.source,
    }
    body = (json.dumps(content, indent=1, sort_keys=True, default=str) + "\n").encode()
    name = f"report_{session}"
    deps.fs.write(deps.folder.reports / f"{name}.json", body)
    deps.fs.write(deps.folder.reports / f"{name}.md", render(content).encode())
    deps.fs.write(deps.folder.reports / CURVE, draw(nav.history(deps.ledger, session, 10_000)))
    if watched.picture:
        deps.fs.write(deps.folder.reports / LIFE, watched.picture)
    at = deps.clock.now()
    reports.save(deps.ledger, reports.ReportRow(session, f"reports/{name}.json", sha256_of(body), at))
    value = f"paper NAV {row.paper_nav:,.2f} USD, real NAV {row.real_nav:,.2f} USD" if row else "no value is known"
    return JobReport(
        "report", session, JobStatus.DONE, f"{value}; reports/{name}.md",
        {**watched.content, "path": f"reports/{name}.json", "paper_nav": str(row.paper_nav) if row else None,
         "real_nav": str(row.real_nav) if row else None},
    )  # fmt: skip


def _nav(session: date, deps: Deps) -> nav.NavRow | None:
    """Record the session's value from what was agreed with the broker after the close; None when nothing was."""
    closing = snapshots.find(deps.ledger, session, Phase.CLOSE)
    if closing is None:
        return None
    costs = _costs(session, closing, deps)
    before = nav.history(deps.ledger, deps.calendar.previous(session), 1)
    first = snapshots.first(deps.ledger)
    paper_before = before[-1].paper_nav if before else (first.last_equity if first else closing.equity)
    real_before = before[-1].real_nav if before else paper_before
    values = [p.quantity * p.current_price for p in closing.positions if p.current_price is not None]
    row = nav.NavRow(
        session=session, paper_nav=closing.equity,
        real_nav=real_before + (closing.equity - paper_before) + costs.total,
        cash=closing.cash, gross=sum(map(abs, values), start=closing.equity * 0),
        net=sum(values, start=closing.equity * 0), at=deps.clock.now(),
        dividends=costs.dividends, borrow=costs.borrow, fees=costs.fees, impact=costs.impact,
    )  # fmt: skip
    nav.save(deps.ledger, row)
    return row


def _liquidity(asof: date, deps: Deps) -> dict[str, Liquidity]:
    """Of every name at asof; nothing where the store does not reach: those names are then named as unpriced."""
    try:
        bars = deps.market.bars(asof, ADV_SESSIONS + 1)
    except DataNotUsable:
        return {}
    volumes, spreads = deps.market.dollar_volumes(asof, ADV_SESSIONS), deps.market.spreads(asof, ADV_SESSIONS)
    return liquidity_of(bars, volumes, spreads)


def _costs(session: date, closing: Snapshot, deps: Deps) -> RealCosts:
    asof = asof_of(session, deps)
    actions = deps.market.actions(session, session)
    renamed = new_names(actions)
    liquidity = {renamed.get(s, s): found for s, found in _liquidity(asof, deps).items()}
    filled = [booked.fill for booked in fill_rows.of_session(deps.ledger, session)]
    opening = snapshots.find(deps.ledger, session, Phase.OPEN)
    held = {p.symbol: p.quantity for p in opening.positions} if opening else {}
    dataset = deps.market.dataset()
    basis = dataset.basis if dataset else PriceBasis.TOTAL_RETURN
    return real_costs(filled, held, closing.positions, liquidity, actions, basis, session, deps.calendar.next(session))
