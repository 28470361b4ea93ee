"""The ramp: a first funding, a resumption or a new bundle is stepped into over a few sessions."""

from __future__ import annotations

from datetime import date, datetime

from appliance.deps import Deps
from appliance.job import JobStatus
from appliance.ledger import job_runs, plans


def ramp_share(deps: Deps, session: date, bundle_sha256: str) -> float:
    """Share of the ordinary step to take on D: (n + 1) / ramp_sessions, at most 1.

    n counts the sessions before D with a plan of this very bundle that could be traded after the device was last armed.
    """
    armed_at = deps.latch.read().at
    since = datetime.fromisoformat(armed_at) if armed_at else None
    count = 0
    for day in reversed(plans.sessions(deps.ledger, date.min)):
        if day >= session:
            continue
        before_arming = since is None or deps.calendar.session(day).open < since
        if before_arming or plans.require(deps.ledger, day).provenance.bundle_sha256 != bundle_sha256:
            break
        count += 1
        if count + 1 >= deps.config.tripwires.ramp_sessions:
            break
    return min(1.0, (count + 1) / deps.config.tripwires.ramp_sessions)


def plan_turnovers(deps: Deps, session: date) -> list[float]:
    """One-sided turnovers of the plans before D, oldest first."""
    runs = sorted(job_runs.since(deps.ledger, date.min), key=lambda run: run.session)
    return [
        float(run.figures["turnover"])
        for run in runs
        if run.job == "plan" and run.status is JobStatus.DONE and run.session < session and "turnover" in run.figures
    ]
