"""How a job is run to its end: in this process with every object dropped and reopened, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from appliance.job import JobReport, JobStatus
from signals.errors import InvariantBroken, TrademlError

EXIT_CODES: dict[JobStatus, int] = {
    JobStatus.DONE: 0, JobStatus.SKIPPED: 3, JobStatus.HALTED: 4, JobStatus.FAILED: 1,
}  # fmt: skip
TIMED_OUT = 124


class InProcessSpawner:
    """Runs jobs here; `run` opens everything anew for each of them.

    Parameters
    ----------
    run : callable
        (job, session) -> JobReport, as `appliance.device.Device.run`.
    """

    def __init__(self, run: Callable[[str, date], JobReport]) -> None:
        self._run = run

    def run(self, job: str, session: date) -> int:
        """Return the exit code that a process would have ended with."""
        try:
            return EXIT_CODES[self._run(job, session).status]
        except InvariantBroken:
            raise
        except TrademlError as error:
            return error.exit_code


class ProcessSpawner:
    """Runs each job as a process: a crash, a leak or an out-of-memory kill ends the job and nothing else.

    Parameters
    ----------
    state : Path
    timeout_seconds : float
        Real seconds after which the job is killed.
    """

    def __init__(self, state: Path, timeout_seconds: float) -> None:
        self._state, self._timeout = state, timeout_seconds

    def run(self, job: str, session: date) -> int:
        """Return the exit code of `appliance job`, or 124 when it had to be killed."""
        command = [
            sys.executable,
            "-m",
            "appliance",
            "job",
            job,
            "--session",
            str(session),
            "--state",
            str(self._state),
        ]
        try:
            return subprocess.run(command, timeout=self._timeout, check=False).returncode
        except subprocess.TimeoutExpired:
            return TIMED_OUT
