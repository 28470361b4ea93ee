"""The verdict on a device's health: facts in, status and reasons out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

from appliance.controls.latch import LatchRecord
from appliance.ledger.job_runs import JobRun
from appliance.schedule.job import JobStatus


class HealthStatus(IntEnum):
    """The exit code of `appliance status`."""

    OK = 0
    DEGRADED = 1
    HALTED = 2
    DOWN = 3


@dataclass(frozen=True)
class Health:
    """A verdict and the sentences behind it, worst first."""

    verdict: HealthStatus
    reasons: tuple[str, ...]


def assess(latch: LatchRecord, runs: Sequence[JobRun], undelivered: int, has_bundle: bool, reduced_by: Sequence[str] = ()) -> Health:
    """Judge a device whose ledger could be read.

    Parameters
    ----------
    runs : sequence of JobRun
        Of the newest session that has any, in any order.
    undelivered : int
        Recent alerts that no channel delivered.
    has_bundle : bool
        Whether a bundle is in force.
    reduced_by : sequence of str
        Tripwires whose REDUCE is in force until a person ends it.
    """
    if not latch.is_armed:
        return Health(HealthStatus.HALTED, (latch.sentence(),))
    reasons = [f"{run.job} of {run.session} {_word(run.status)}: {run.summary}" for run in runs if run.status is not JobStatus.DONE]
    reasons += [f"{name} lets only orders leave that lower a position, until you end it" for name in reduced_by]
    if undelivered:
        reasons.append(f"{undelivered} alerts reached nobody")
    if not has_bundle:
        reasons.append("no bundle is in force")
    return Health(HealthStatus.DEGRADED if reasons else HealthStatus.OK, tuple(reasons))


def newest_session(runs: Sequence[JobRun]) -> date | None:
    """Return the newest session among the runs."""
    return max((run.session for run in runs), default=None)


def _word(status: JobStatus | None) -> str:
    return "has not ended" if status is None else f"ended as {status.value}"
