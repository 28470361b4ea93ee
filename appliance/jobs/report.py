"""Job after the close: values the session, on paper and with real-world costs, and writes the report.

Three values are recorded: paper NAV, NAV with real-world costs (reported), and NAV restated for late dividends.

    reported_t = restated_{t-1} + (paper_t - paper_{t-1}) + costs_t              costs: `execution.costs.real`
    restated_t = restated_{t-1} + (paper_t - paper_{t-1}) + costs_t + late_t

The report of a session reads before that session's data are published: a dividend that is inferred from them, or
delivered by a vendor after its ex-date, is not in what was reported. When it is learned it is value-dated to the
ex-date, credited to longs and debited to shorts by what was held before that open: late_t. The reported figure stays
what it was; a backtest over the same sessions equals the restated one to the cent.
"""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

from appliance.context import Deps
from appliance.controls.self_test import run_self_test
from appliance.controls.tripwires import Stage
from appliance.jobs.preconditions import asof_of
from appliance.ledger import fills as fill_rows
from appliance.ledger import nav, reports, snapshots
from appliance.ledger.figures import ReportFigures
from appliance.ledger.nav import ZERO, NavRow
from appliance.ledger.snapshots import AccountSnapshot, Phase
from appliance.monitoring.session_monitoring import measure, notify_if_decayed, notify_if_drifted
from appliance.reports import svg
from appliance.reports.markdown import bars_of, picture_of, render
from appliance.reports.session_data import gather
from appliance.safety.enforce import enforce
from appliance.safety.halt import notify
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Severity
from execution.costs.real import Liquidity, RealCosts, TradedSession, dividends_due, liquidity_of, real_costs
from execution.costs.spread import SPREAD_SESSIONS
from execution.morning import ADV_SESSIONS
from signals.errors import DataNotUsable
from signals.events.recorded import candles
from signals.files import sha256_of
from signals.market.actions import Action, new_names
from signals.market.manifest import PriceBasis
from signals.text.documents import to_json

EVERY = 1_000_000


def restate(session: date, deps: Deps) -> None:
    """Book the dividends that were learned since, on the ex-dates before `session`, and carry them forward."""
    rows = nav.history(deps.ledger, deps.calendar.previous(session), EVERY)
    dataset = deps.market.dataset()
    if not rows or dataset is None:
        return
    known = deps.market.dividends(rows[0].session)
    before: NavRow | None = None
    for row in rows:
        late = _late(row, known.get(row.session, ()), dataset.basis, deps)
        restatement = late
        if before is not None:
            day = row.paper_nav - before.paper_nav + row.dividends + row.borrow + row.fees + row.impact
            restatement = before.restated_nav + day + late - row.real_nav
        now = replace(row, late_dividends=late, restatement=restatement)
        if now != row:
            nav.save(deps.ledger, now)
        before = now


def record(session: date, deps: Deps) -> NavRow | None:
    """Record the session's value from what was agreed with the broker after the close; None when nothing was."""
    closing = snapshots.find(deps.ledger, session, Phase.CLOSE)
    if closing is None:
        return None
    costs = _costs(session, closing, deps)
    before = nav.history(deps.ledger, deps.calendar.previous(session), 1)
    first = snapshots.first(deps.ledger)
    paper_before = before[-1].paper_nav if before else (first.last_equity if first else closing.equity)
    real_before = before[-1].restated_nav if before else paper_before
    values = [p.quantity * p.current_price for p in closing.positions if p.current_price is not None]
    row = NavRow(
        session=session,
        paper_nav=closing.equity,
        real_nav=real_before + (closing.equity - paper_before) + costs.total,
        cash=closing.cash,
        gross=sum(map(abs, values), start=closing.equity * 0),
        net=sum(values, start=closing.equity * 0),
        at=deps.clock.now(),
        dividends=costs.dividends,
        borrow=costs.borrow,
        fees=costs.fees,
        impact=costs.impact,
    )
    nav.save(deps.ledger, row)
    return row


def _late(row: NavRow, dividends: tuple[Action, ...], basis: PriceBasis, deps: Deps) -> Decimal:
    """Dividends of the row's ex-date beyond those reported; what was found before where the store lacks the session."""
    if not dividends and not row.dividends and not row.late_dividends:
        return ZERO
    if deps.market.audit(row.session) is None:
        return row.late_dividends
    opening = snapshots.find(deps.ledger, row.session, Phase.OPEN)
    held = {p.symbol: p.quantity for p in opening.positions} if opening else {}
    return dividends_due(held, dividends, basis) - row.dividends


def _liquidity(asof: date, deps: Deps) -> dict[str, Liquidity]:
    """Of every name at asof; nothing where the store does not reach: those names are then named as unpriced."""
    try:
        bars = deps.market.bars(asof, SPREAD_SESSIONS)
    except DataNotUsable:
        return {}
    volumes, spreads = deps.market.dollar_volumes(asof, ADV_SESSIONS), deps.market.spreads(asof, ADV_SESSIONS)
    dataset = deps.market.dataset()
    is_raw = dataset is not None and dataset.basis is PriceBasis.RAW
    return liquidity_of(bars, volumes, spreads, deps.market.closes(asof) if is_raw else {})


def _costs(session: date, closing: AccountSnapshot, deps: Deps) -> RealCosts:
    asof = asof_of(session, deps)
    actions = deps.market.actions(session, session)
    renamed = new_names(actions)
    liquidity = {renamed.get(s, s): found for s, found in _liquidity(asof, deps).items()}
    filled = [booked.fill for booked in fill_rows.of_session(deps.ledger, session)]
    opening = snapshots.find(deps.ledger, session, Phase.OPEN)
    held = {p.symbol: p.quantity for p in opening.positions} if opening else {}
    dataset = deps.market.dataset()
    basis = dataset.basis if dataset else PriceBasis.TOTAL_RETURN
    traded = TradedSession(session, deps.calendar.next(session), filled, held, closing.positions, actions, basis)
    return real_costs(traded, liquidity)


CURVE = "equity.svg"
BEFORE = ("equity.png", "expectation.png")  # what earlier releases drew; left there it would seem current


def report(session: date, deps: Deps) -> JobReport:
    """Write `reports/report_<D>.json`, `.md`, the equity curve and the bars before the events.

    Everything in it comes from the ledger and the market store: written again, it is the same to the byte but for what
    happened since.
    """
    restate(session, deps)
    watched = measure(session, deps)
    enforce(deps, session, Stage.REVIEW, watched.figures)
    notify_if_decayed(session, deps, watched.content)
    notify_if_drifted(session, deps, watched.content)
    controls = run_self_test(deps.config.limits())
    if controls.dead:
        notify(deps, Severity.PAGE, f"controls-{session}", "a control cannot fire", controls.sentence())
    row = record(session, deps)
    content = gather(session, deps, watched.content, controls.sentence())
    body = (json.dumps(to_json(content), indent=1, sort_keys=True) + "\n").encode()
    name = f"report_{session}"
    deps.fs.write(deps.folder.reports / f"{name}.json", body)
    deps.fs.write(deps.folder.reports / f"{name}.md", render(content).encode())
    deps.fs.write(deps.folder.reports / CURVE, svg.draw(nav.history(deps.ledger, session, 10_000)))
    titled = [(f"{one.symbol} {one.kind} {'long' if one.side > 0 else 'short'}", one.picture) for one in content.events.events]
    if shown := [(title, candles(picture)) for title, picture in titled if picture]:
        deps.fs.write(deps.folder.reports / bars_of(session), svg.candles(shown))
    for sleeve, picture in watched.pictures.items():
        deps.fs.write(deps.folder.reports / picture_of(sleeve), picture)
    for old in BEFORE:
        deps.fs.remove(deps.folder.reports / old)
    at = deps.clock.now()
    reports.save(deps.ledger, reports.ReportRow(session, f"reports/{name}.json", sha256_of(body), at))
    value = f"paper NAV {row.paper_nav:,.2f} USD, real NAV {row.real_nav:,.2f} USD" if row else "no value is known"
    return JobReport(
        "report",
        session,
        JobStatus.DONE,
        f"{value}; reports/{name}.md",
        ReportFigures(
            **vars(watched.content),
            path=f"reports/{name}.json",
            paper_nav=row.paper_nav if row else None,
            real_nav=row.real_nav if row else None,
        ),
    )
