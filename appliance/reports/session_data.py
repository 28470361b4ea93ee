"""The session report as a frozen document, gathered from the ledger and the market store.

Money and quantities are Decimals, exactly as recorded. `report_<D>.json` is this document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from appliance.bundles.feature_record import read_features
from appliance.bundles.risk_forecasts import RiskForecast, over_book
from appliance.bundles.shown_records import EventForecast, forecast, seen, spoken
from appliance.context import Deps
from appliance.controls.slippage import SLIPPAGE_SESSIONS, difference_bps, opens_of
from appliance.ledger import alerts, events, fills, intents, job_runs, nav, plans, snapshots, targets, tripwires
from appliance.ledger.events import EventSummary
from appliance.ledger.figures import BookDecisions, BundleUsed, MonitoringFigures, RoundingFigures, ScoreFigures
from appliance.ledger.intents import JournalEntry
from appliance.ledger.snapshots import Phase
from appliance.schedule.timetable import JOBS
from execution.orders import Plan
from execution.planning.config import EntryStyle
from signals.errors import DataNotUsable, FixInput
from signals.events.recorded import SEEN_BY

FORMAT = "trademl-report/1"
ALERTS = 200
EVENT_SESSIONS = 90
PICTURES = 12  # of the events of an evening: 2 kB each in the report's picture


@dataclass(frozen=True)
class JobEnd:
    """How one job of the session ended."""

    job: str
    status: str
    summary: str


@dataclass(frozen=True)
class DataSource:
    """The bars of asof and the dataset that they are from."""

    status: str
    reasons: tuple[str, ...] = ()
    eligible: int | None = None
    dataset: str | None = None
    version: int | None = None
    snapshot_id: str | None = None
    survivorship: str | None = None


@dataclass(frozen=True)
class RefusedOrder:
    """An order that was not planned, the check that refused it, and why."""

    symbol: str
    check: str
    reason: str


@dataclass(frozen=True)
class FrozenPlan:
    """The plan, and what it was made from; a plan of an earlier release has no rounding."""

    digest: str
    equity: Decimal
    orders: int
    rounding_l1: float
    refusals: tuple[RefusedOrder, ...]
    provenance: Mapping[str, str]
    rounding: RoundingFigures | None = None


@dataclass(frozen=True)
class Target:
    """Weight aimed at and held, and the blended score that it is from."""

    symbol: str
    weight: float
    current: float
    z: float | None
    sector: str


@dataclass(frozen=True)
class OrderRow:
    """One order and its outcome."""

    client_order_id: str
    symbol: str
    side: str
    quantity: Decimal
    time_in_force: str
    reference_price: Decimal
    state: str
    filled: Decimal
    reason: str


@dataclass(frozen=True)
class FillRow:
    """One fill; `cash` is its effect on the account in USD."""

    client_order_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    cash: Decimal
    at: datetime | None = None


@dataclass(frozen=True)
class PositionRow:
    """One holding at the close; no value without a price."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    price: Decimal | None
    value: Decimal | None


@dataclass(frozen=True)
class RestatedValue:
    """The real value of the session before, with the dividends learned since."""

    session: date
    reported: Decimal
    restated: Decimal
    late_dividends: Decimal


@dataclass(frozen=True)
class SessionValue:
    """The account's value at the close in USD, on paper and with real-world costs; `gross` and `net` are shares of it."""

    paper_nav: Decimal
    real_nav: Decimal
    cash: Decimal
    gross_usd: Decimal
    net_usd: Decimal
    gross: float | None
    net: float | None
    paper_pnl: Decimal
    real_pnl: Decimal
    dividends: Decimal
    borrow: Decimal
    fees: Decimal
    impact: Decimal
    restated: RestatedValue | None = None


@dataclass(frozen=True)
class FromTheOpen:
    """How far `day` orders filled from the opening price, from `first` to `last`; None where no opening price is known."""

    first: date
    last: date
    fills: int
    difference_bps: float | None


@dataclass(frozen=True)
class ReportedEvent:
    """One event at asof, recorded and not traded: what bundles forecast of it, the shape that is seen, and what past ones like it made.

    `atr` is the distance of stop and target from the next open, as a share; `picture` a PNG in base64, of the likeliest events only.
    """

    symbol: str
    kind: str
    side: int
    atr: float
    forecast: EventForecast
    sees: str | None = None
    sim_conf: float | None = None
    hist_rr_pct: float | None = None
    picture: str | None = None


@dataclass(frozen=True)
class EventReport:
    """The events at asof, likeliest target first, which bundle said what of them, and what those of the last sessions made before costs."""

    events: tuple[ReportedEvent, ...] = ()
    said: tuple[str, ...] = ()
    kinds: tuple[EventSummary, ...] = ()


@dataclass(frozen=True)
class TripwireCheck:
    """One check against its limit."""

    name: str
    value: str | None
    limit: str
    action: str
    tripped: bool
    detail: str


@dataclass(frozen=True)
class SentAlert:
    """One alert, and whether it reached somebody."""

    severity: str
    title: str
    body: str
    delivered: bool = True


@dataclass(frozen=True, kw_only=True)
class SessionReport(MonitoringFigures):
    """Everything that is reported of the session D; `controls` and `machine` are sentences."""

    session: date
    asof: date
    latch: str
    venue: str
    controls: str
    machine: str
    jobs: tuple[JobEnd, ...]
    data: DataSource
    bundle: BundleUsed
    decisions: BookDecisions
    plan: FrozenPlan | None
    targets: tuple[Target, ...] = ()
    orders: tuple[OrderRow, ...] = ()
    fills: tuple[FillRow, ...] = ()
    positions: tuple[PositionRow, ...] = ()
    value: SessionValue | None = None
    tripwires: tuple[TripwireCheck, ...] = ()
    alerts: tuple[SentAlert, ...] = ()
    from_the_open: FromTheOpen | None = None
    risk: tuple[RiskForecast, ...] = ()
    events: EventReport = EventReport()
    format: str = FORMAT


def gather(session: date, deps: Deps, measured: MonitoringFigures, controls: str) -> SessionReport:
    """Return the report of the session D; `measured` and the sentence on its controls are the report job's own."""
    asof = deps.calendar.previous(session)
    plan = plans.load(deps.ledger, session)
    runs = {run.job: run for run in job_runs.since(deps.ledger, session) if run.session == session}
    aimed = targets.load(deps.ledger, session)
    return SessionReport(
        **vars(measured),
        session=session,
        asof=asof,
        latch=deps.latch.read().sentence(),
        venue=deps.config.venue.broker.value,
        controls=controls,
        machine=deps.machine.source,
        jobs=tuple(JobEnd(run.job, run.status.value, run.summary) for run in sorted(runs.values(), key=_place) if run.status is not None),
        data=_data(asof, deps),
        bundle=runs["score"].read(BundleUsed) if "score" in runs else BundleUsed(),
        decisions=runs["plan"].read(BookDecisions) if "plan" in runs else BookDecisions(),
        plan=_plan(plan),
        targets=tuple(Target(row.symbol, row.weight, row.current_weight, row.z, row.sector) for row in aimed),
        orders=tuple(_order(entry) for entry in intents.of_session(deps.ledger, session)),
        fills=tuple(_fill(booked) for booked in fills.of_session(deps.ledger, session)),
        positions=_positions(session, deps),
        value=_value(session, deps),
        tripwires=tuple(
            TripwireCheck(row.name, row.value, row.limit, row.action, row.tripped, row.detail)
            for row in tripwires.of_session(deps.ledger, session)
        ),
        alerts=tuple(
            SentAlert(row.alert.severity.value, row.alert.title, row.alert.body, row.delivered)
            for row in reversed(alerts.newest(deps.ledger, ALERTS))
            if _belongs(row.alert.at, asof, session, deps)
        ),
        from_the_open=_from_the_open(asof, deps),
        risk=_risk(runs.get("score"), {row.symbol: row.weight for row in aimed}, deps),
        events=_events(asof, deps),
    )


def _risk(scored: job_runs.JobRun | None, weights: Mapping[str, float], deps: Deps) -> tuple[RiskForecast, ...]:
    """Summarise what the risk bundle forecast of the target book; nothing where none scored, or its file is gone."""
    file = scored.read(ScoreFigures).forecasts if scored else None
    try:
        return over_book(read_features(deps.folder.features, file), weights) if file else ()
    except FixInput:  # the day is reported all the same
        return ()


def _events(asof: date, deps: Deps) -> EventReport:
    rows = events.of_session(deps.ledger, asof)
    first = deps.calendar.days[max(0, deps.calendar.index(asof) - EVENT_SESSIONS + 1)]
    kinds = events.summaries(deps.ledger, events.labelled(deps.ledger, first, asof))
    if not rows:
        return EventReport(kinds=kinds)
    (records, said), shown = spoken(deps.ledger, deps.folder, asof), list[ReportedEvent]()
    for row in rows:
        shape = seen(records[SEEN_BY], row.symbol) if SEEN_BY in records else None
        sees = () if shape is None else (str(shape[0]), *shape[1:])
        shown.append(ReportedEvent(row.symbol, row.kind, row.side, row.atr, forecast(row, records), *sees))
    shown.sort(key=lambda one: (-(one.forecast.probability or 0.0), one.symbol))
    pictures = records[SEEN_BY].pictures if SEEN_BY in records else {}
    shown[:PICTURES] = [replace(one, picture=pictures.get(one.symbol)) for one in shown[:PICTURES]]
    return EventReport(tuple(shown), said, kinds)


def _from_the_open(asof: date, deps: Deps) -> FromTheOpen | None:
    """Compare the fills of the last sessions with the opens of their bars; None for other entries than `day`."""
    if deps.config.execution.entry.kind is not EntryStyle.DAY:
        return None
    span = min(SLIPPAGE_SESSIONS, deps.calendar.index(asof) + 1)
    first = deps.calendar.offset(asof, 1 - span)
    booked = fills.since(deps.ledger, first, asof)
    try:
        opens = opens_of(deps.market.bars(asof, span)) if booked else {}
    except DataNotUsable:  # the day is reported all the same
        opens = {}
    return FromTheOpen(first, asof, len(booked), difference_bps(booked, opens))


def _place(run: job_runs.JobRun) -> int:
    return JOBS.index(run.job) if run.job in JOBS else len(JOBS)


def _data(asof: date, deps: Deps) -> DataSource:
    audit, dataset = deps.market.audit(asof), deps.market.dataset()
    return DataSource(
        status=audit.status.value if audit else "absent",
        reasons=tuple(audit.reasons) if audit else (),
        eligible=audit.eligible if audit else None,
        dataset=dataset.name if dataset else None,
        version=dataset.version if dataset else None,
        snapshot_id=_snapshot_id(asof, deps),
        survivorship=dataset.survivorship if dataset else None,
    )


def _snapshot_id(asof: date, deps: Deps) -> str | None:
    try:
        snapshot = deps.market.snapshot(asof)
    except DataNotUsable:  # nothing was decided on these bars; the day is reported all the same
        return None
    return snapshot.id if snapshot else None


def _plan(plan: Plan | None) -> FrozenPlan | None:
    if plan is None:
        return None
    return FrozenPlan(
        digest=plan.digest,
        equity=plan.equity,
        orders=len(plan.intents),
        rounding_l1=plan.rounding.nearest_l1,
        refusals=tuple(RefusedOrder(*refusal) for refusal in plan.refusals),
        provenance=vars(plan.provenance),
        rounding=RoundingFigures.of(plan.rounding),
    )


def _order(entry: JournalEntry) -> OrderRow:
    intent = entry.intent
    return OrderRow(
        client_order_id=entry.client_order_id,
        symbol=intent.key.symbol,
        side=intent.side.value,
        quantity=intent.quantity,
        time_in_force=intent.time_in_force.value,
        reference_price=intent.reference_price,
        state=entry.state.value,
        filled=entry.filled_quantity,
        reason="" if entry.reason == entry.state.value else entry.reason,
    )


def _fill(booked: fills.BookedFill) -> FillRow:
    fill = booked.fill
    return FillRow(booked.client_order_id, fill.symbol, fill.side.value, fill.quantity, fill.price, fill.cash, fill.at)


def _positions(session: date, deps: Deps) -> tuple[PositionRow, ...]:
    closing = snapshots.find(deps.ledger, session, Phase.CLOSE)
    return tuple(
        PositionRow(
            p.symbol, p.quantity, p.average_entry_price, p.current_price, None if p.current_price is None else p.quantity * p.current_price
        )
        for p in (closing.positions if closing else ())
    )


def _value(session: date, deps: Deps) -> SessionValue | None:
    rows = nav.history(deps.ledger, session, 2)
    if not rows or rows[-1].session != session:
        return None
    row = rows[-1]
    first = snapshots.first(deps.ledger)
    before = rows[0].paper_nav if len(rows) == 2 else (first.last_equity if first else row.paper_nav)
    real_before = rows[0].restated_nav if len(rows) == 2 else before
    return SessionValue(
        paper_nav=row.paper_nav,
        real_nav=row.real_nav,
        cash=row.cash,
        gross_usd=row.gross,
        net_usd=row.net,
        gross=_share(row.gross, row.paper_nav),
        net=_share(row.net, row.paper_nav),
        paper_pnl=row.paper_nav - before,
        real_pnl=row.real_nav - real_before,
        dividends=row.dividends,
        borrow=row.borrow,
        fees=row.fees,
        impact=row.impact,
        restated=_restated(rows[0]) if len(rows) == 2 else None,
    )


def _restated(row: nav.NavRow) -> RestatedValue | None:
    return RestatedValue(row.session, row.real_nav, row.restated_nav, row.late_dividends) if row.restatement else None


def _share(value: Decimal, equity: Decimal) -> float | None:
    return float(value / equity) if equity > 0 else None


def _belongs(at: datetime, asof: date, session: date, deps: Deps) -> bool:
    return deps.calendar.session(asof).close < at <= deps.calendar.session(deps.calendar.next(session)).open
