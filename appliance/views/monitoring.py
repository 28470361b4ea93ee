"""Data quality, attribution, expected and realised results, and drift: as tables, read from job records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import (
    AttributedSession,
    ModelVerdict,
    MonitoringFigures,
    Observation,
    PullFigures,
    ScoreFigures,
    SessionFigures,
)
from appliance.ledger.job_runs import JobRun
from appliance.views.view import View, ViewRow
from signals.monitoring.running_stats import deepest_falls, paid_bps, running_mean
from signals.text.documents import to_json

REPORT = "report"
ATTRIBUTION_PARTS = ("market", "sector", "style", "selection", "costs", "rounding", "refused orders", "skips")
ATTRIBUTION_COLUMNS = ("session", "total", *ATTRIBUTION_PARTS)
DATA_COLUMNS = ("asof", "status", "names", "expected", "version", "snapshot", "reasons")
ABSENT = "absent"
DRIFT_COLUMNS = ("name", "psi", "limit", "used", "verdict")
LIFE_COLUMNS = ("figure", "sessions", "live", "low", "median", "high", "verdict")
LIFE_SESSIONS = 400


@dataclass(frozen=True)
class PaidSession:
    """Of an attributed session, what its trading cost."""

    session: date
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    traded: Decimal = Decimal(0)


@dataclass(frozen=True)
class SleeveLife:
    """Sessions of one sleeve that a report observed first."""

    live: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class LivedSessions(SleeveLife):
    """Of a report's figures what a life is made of: hundreds are read at once, and the rest of them is many times that."""

    attribution: tuple[PaidSession, ...] = ()
    by_sleeve: Mapping[str, SleeveLife] | None = None


def drift(ledger: Ledger, session: date) -> View:
    """Return every watched figure against its limit, as the newest report up to `session` measured it."""
    run = next((r for r in _newest_first(ledger, session) if r.figures.get("drift") or r.figures.get("shown")), None)
    if run is None:
        return View(DRIFT_COLUMNS, (), "no report has measured drift yet", session)
    figures = run.read(MonitoringFigures)
    traded = {"": figures.drift} if figures.by_sleeve is None else {sleeve: one.drift for sleeve, one in figures.by_sleeve.items()}
    tables = {sleeve: one for sleeve, one in {**traded, **(figures.shown or {})}.items() if one is not None}
    rows = [
        {**row, "name": f"{sleeve}: {row['name']}" if sleeve else row["name"]}
        for sleeve, table in tables.items()
        for row in to_json(table.rows)
    ]
    return View(DRIFT_COLUMNS, tuple(rows), "", run.session, {"window_sessions": next(iter(tables.values())).window_sessions})


def expectation(ledger: Ledger, session: date) -> View:
    """Return realised against expected results, and the data of their charts.

    Facts hold the sequential test, every observation, the figures after each of them (`lived`), the mean excess return of each
    decile of the score over them (`deciles`, lowest first), and the promised fans: lowest, middle and highest quantile after
    the numbers of sessions in `after`. Of several sleeves a row names its sleeve, the
    facts are those of the first, and `sleeves` holds those of each by its name.
    """
    runs = _newest_first(ledger, session)
    run, lives = next(((run, found) for run in runs if (found := run.read(MonitoringFigures).lives)), (None, {}))
    empty = "nothing to set against a promise yet: scores are judged two sessions later, and the bundle must promise"
    if run is None:
        return View(LIFE_COLUMNS, (), empty, session)
    recorded = [each.read(LivedSessions) for each in runs]
    facts = {sleeve: _life(sleeve, found, recorded) for sleeve, found in lives.items()}
    figures = {sleeve: one.pop("figures") for sleeve, one in facts.items()}
    first = next(iter(facts.values()))
    if "" in lives:
        return View(LIFE_COLUMNS, tuple(figures[""]), empty, run.session, first)
    rows = tuple({"sleeve": sleeve, **row} for sleeve, table in figures.items() for row in table)
    return View(("sleeve", *LIFE_COLUMNS), rows, empty, run.session, {**first, "sleeves": facts})


def _life(sleeve: str, found: ModelVerdict, recorded: Sequence[LivedSessions]) -> dict[str, Any]:
    mine = [each.by_sleeve[sleeve].live if each.by_sleeve and sleeve in each.by_sleeve else each.live for each in recorded]
    rows = {row.session: row for live in mine for row in live if row.lineage == found.lineage}
    life = [rows[day] for day in sorted(rows) if found.since <= day <= found.until]
    each = [row.deciles for row in life if row.deciles is not None]
    deciles = [sum(column) / len(each) for column in zip(*each, strict=True)]
    return {**to_json(found), "life": to_json(life), "lived": _lived(life, recorded), "deciles": deciles}


def _lived(life: Sequence[Observation], recorded: Sequence[LivedSessions]) -> dict[str, list[float]]:
    costs = {row.session: row for each in recorded for row in each.attribution}
    paid = [
        bps
        for day in sorted(costs)
        if life and day >= life[0].session
        if (bps := paid_bps(costs[day].costs, costs[day].traded)) is not None
    ]
    return {
        "ic": running_mean([row.ic for row in life]),
        "turnover": running_mean([row.turnover for row in life]),
        "cost": running_mean(paid),
        "drawdown": deepest_falls([row.net or 0.0 for row in life]),
    }


def _newest_first(ledger: Ledger, session: date) -> list[job_runs.JobRun]:
    return list(reversed(job_runs.newest(ledger, REPORT, session, LIFE_SESSIONS)))


def attribution(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the parts of each session's result up to `last` in USD, newest first; every row sums to its total, to the cent.

    A session is attributed by the report of the next one.
    """
    reports = job_runs.newest(ledger, REPORT, date.max, 2 * sessions + 1)
    found = {row.session: row for run in reports for row in run.read(SessionFigures).attribution}
    rows = tuple(_attributed(found[day]) for day in sorted((day for day in found if day <= last), reverse=True)[:sessions])
    empty = "no session has been attributed yet: its bars arrive in its evening, the next report attributes it"
    return View(ATTRIBUTION_COLUMNS, rows, empty, last)


def _attributed(row: AttributedSession) -> ViewRow:
    shown = to_json(row)
    ordered = {"session": shown["session"], "total": shown["total"], **shown["parts"], "of costs": shown["costs"]}
    several = {"by sleeve": shown["by_sleeve"]} if "by_sleeve" in shown else {}
    return {**ordered, **several, "data": shown["data"], "best": shown["best"], "worst": shown["worst"]}


def data(ledger: Ledger, last: date, sessions: int) -> View:
    """Return one row per pull of the last `sessions` sessions up to D, the newest first."""
    query = "SELECT session FROM job_runs WHERE job = 'pull' AND session <= ? ORDER BY session DESC LIMIT ?"
    days = ledger.read(date, query, (last, sessions))
    rows = tuple(_row(day, job_runs.find(ledger, day, "pull"), job_runs.find(ledger, day, "score")) for day in days)
    return View(DATA_COLUMNS, rows, "no data has been pulled yet", last)


def _row(session: date, pull: JobRun | None, score: JobRun | None) -> ViewRow:
    pulled = pull.read(PullFigures) if pull else PullFigures()
    scored = score.read(ScoreFigures) if score else ScoreFigures()
    reasons = pulled.reasons or (() if pulled.status else (pull.summary if pull else "",))
    return {
        "asof": None if pulled.asof is None else pulled.asof.isoformat(),
        "session": session.isoformat(),
        "status": pulled.status or ABSENT,
        "names": scored.names,
        "expected": scored.expected,
        "version": pulled.version,
        "snapshot": pulled.snapshot_id or None,
        "reasons": "; ".join(reasons),
    }
