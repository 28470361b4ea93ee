"""Drift and the model's life as the reports measured them."""

from __future__ import annotations

from datetime import date
from typing import Any

from appliance.ledger import Ledger, job_runs
from appliance.views.view import View
from signals.monitoring.running_stats import deepest_falls, paid_bps, running_mean

REPORT = "report"
DRIFT_COLUMNS = ("name", "psi", "limit", "used", "verdict")
LIFE_COLUMNS = ("figure", "sessions", "live", "low", "median", "high", "verdict")
LIFE_SESSIONS = 400


def drift(ledger: Ledger, session: date) -> View:
    """Return every watched figure against its limit, as the newest report up to `session` measured it."""
    run = next((r for r in _newest_first(ledger, session) if r.figures.get("drift")), None)
    if run is None:
        return View(DRIFT_COLUMNS, (), "no report has measured drift yet", session)
    found = run.figures["drift"]
    return View(DRIFT_COLUMNS, tuple(found["rows"]), "", run.session, {"window_sessions": found["window_sessions"]})


def expectation(ledger: Ledger, session: date) -> View:
    """Return the model's life beside its promise, and what draws it.

    Facts hold the sequential test, every observation, the figures after each of them (`lived`), and the promised fans:
    lowest, middle and highest quantile after the numbers of sessions in `after`.
    """
    runs = _newest_first(ledger, session)
    run = next((r for r in runs if r.figures.get("expectation")), None)
    empty = "nothing to set against a promise yet: scores are judged two sessions later, and the bundle must promise"
    if run is None:
        return View(LIFE_COLUMNS, (), empty, session)
    found = run.figures["expectation"]
    rows: dict[str, dict[str, Any]] = {}
    for each in runs:
        rows |= {row["session"]: row for row in each.figures.get("live") or [] if row["lineage"] == found["lineage"]}
    life = [rows[day] for day in sorted(rows) if found["since"] <= day <= found["until"]]
    facts = {
        "lineage": found["lineage"],
        "since": found["since"],
        "until": found["until"],
        "test": found["test"],
        "life": life,
        "lived": _lived(life, runs),
        "fans": found["fans"],
    }
    return View(LIFE_COLUMNS, tuple(found["figures"]), empty, run.session, facts)


def _lived(life: list[dict[str, Any]], runs: list[job_runs.JobRun]) -> dict[str, list[float]]:
    costs = {row["session"]: row for run in runs for row in run.figures.get("attribution") or []}
    paid = [
        bps
        for day in sorted(costs)
        if life and day >= life[0]["session"]
        if (bps := paid_bps(costs[day]["costs"], costs[day]["traded"])) is not None
    ]
    return {
        "ic": running_mean([row["ic"] for row in life]),
        "turnover": running_mean([row["turnover"] for row in life]),
        "cost": running_mean(paid),
        "drawdown": deepest_falls([row["net"] or 0.0 for row in life]),
    }


def _newest_first(ledger: Ledger, session: date) -> list[job_runs.JobRun]:
    return list(reversed(job_runs.newest(ledger, REPORT, session, LIFE_SESSIONS)))
