"""The ramp: position sizes grow over several sessions after a first funding, a resumption or a new model.

A model that is only retrained is no new one: the ramp counts by lineage (`BundleManifest.lineage`).
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime

from appliance.context import Deps
from appliance.ledger import job_runs, plans
from appliance.ledger.figures import PlanFigures
from appliance.schedule.job import JobStatus


def ramp_share(deps: Deps, session: date, lineages: Mapping[str, str], bundles: Collection[str]) -> float:
    """Share of the ordinary step to take on D: (n + 1) / ramp_sessions, at most 1.

    n counts the sessions before D with a plan of these lineages that could be traded after the device was last armed. A plan
    of an earlier release, which names no lineage, counts where this very bundle made it; one of a session that was struck from
    the calendar since neither counts nor ends the count.

    Parameters
    ----------
    lineages : mapping of sleeve to lineage
        Of every configured sleeve; empty for one that says nothing on D, which makes nothing new.
    bundles : collection of str
        SHA-256 of their bundles.
    """
    planned = {run.session: run.read(PlanFigures) for run in job_runs.since(deps.ledger, date.min) if run.job == "plan"}
    armed_at = deps.latch.read().at
    since = datetime.fromisoformat(armed_at) if armed_at else None
    count = 0
    for day in reversed(plans.sessions(deps.ledger, date.min)):
        if day >= session or not deps.calendar.is_session(day):
            continue
        before_arming = since is None or deps.calendar.session(day).open < since
        same = len(lineages) == 1 and plans.require(deps.ledger, day).provenance.bundle_sha256 in bundles
        same = same or _is_same(lineages, planned.get(day, PlanFigures()))
        if before_arming or not same:
            break
        count += 1
        if count + 1 >= deps.config.tripwires.ramp_sessions:
            break
    return min(1.0, (count + 1) / deps.config.tripwires.ramp_sessions)


def _is_same(lineages: Mapping[str, str], before: PlanFigures) -> bool:
    """Whether an earlier plan was of these sleeves' models; one that said nothing, then or now, does not tell them apart."""
    if before.lineages is None:
        return list(lineages.values()) == [before.lineage]
    if set(before.lineages) != set(lineages):
        return False
    pairs = [(then, now) for name, now in lineages.items() if (then := before.lineages[name]) and now]
    return bool(pairs) and all(then == now for then, now in pairs)


def plan_turnovers(deps: Deps, session: date) -> list[float]:
    """One-sided turnovers of the plans before D, oldest first; where a policy sizes them, of their whole target books."""
    runs = sorted(job_runs.since(deps.ledger, date.min), key=lambda run: run.session)
    plans_before = (run for run in runs if run.job == "plan" and run.status is JobStatus.DONE and run.session < session)
    figures = (run.read(PlanFigures) for run in plans_before)
    return [moved for one in figures if (moved := one.whole_turnover if deps.config.sizing else one.turnover) is not None]
