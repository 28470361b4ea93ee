"""The terminal statuses of a job and the report that it returns; jobs themselves are functions in `appliance.jobs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class JobStatus(StrEnum):
    """How a job ended. There is exactly one terminal status per (session, job)."""

    DONE = "done"
    SKIPPED = "skipped"
    HALTED = "halted"
    FAILED = "failed"


EXIT_CODES = {JobStatus.DONE: 0, JobStatus.FAILED: 1, JobStatus.SKIPPED: 3, JobStatus.HALTED: 4}


@dataclass(frozen=True)
class JobReport:
    """The one answer of a job: a status, one sentence for a person, figures for a program.

    The figures that anything reads again have a type in `appliance.ledger.figures`.
    `session` is D for trade jobs and for the evening jobs of `asof` the D that follows it.
    """

    job: str
    session: date
    status: JobStatus
    summary: str
    figures: Mapping[str, object] | DataclassInstance = field(default_factory=dict)
