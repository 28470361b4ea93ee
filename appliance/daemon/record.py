"""The daemon's view of the ledger: one connection that reads, and short ones that write what no job could write itself.

Invariants
----------
1. A row is closed under the folder's lock: a job that a person runs at this moment ends it itself.
2. A job that has ended is never ended again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime

import apsw

from appliance.folder import StateFolder, exclusive
from appliance.job import JobReport, JobStatus
from appliance.ledger import Ledger, Mode, alerts, job_runs, meta
from appliance.ledger.job_runs import JobRun
from appliance.seams import Alert
from signals.errors import LedgerUnusable


@dataclass(frozen=True)
class Ending:
    """How a job ended that did not say so itself."""

    job: str
    session: date
    status: JobStatus
    words: str


class Record:
    """The ledger of one state folder, opened anew after any fault.

    Parameters
    ----------
    folder : StateFolder
    """

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._reader: Ledger | None = None

    def reader(self) -> Ledger:
        """Return the connection that reads; raise `LedgerUnusable` when the ledger does not answer."""
        try:
            if self._reader is None:
                self._reader = Ledger(self._folder.ledger, Mode.READ)
            self._reader.value("SELECT count(*) FROM meta")
        except apsw.Error as error:
            self.close()
            raise LedgerUnusable("the ledger does not answer", where=f"{self._folder.ledger}: {error}") from error
        return self._reader

    def sessions(self) -> tuple[date, ...]:
        """Return the newest sessions that have a run, oldest first."""
        return job_runs.sessions(self.reader())

    def ended(self, since: date) -> frozenset[tuple[date, str]]:
        """Return every (session, job) that has ended from that session on."""
        return job_runs.ended(self.reader(), since)

    def newest(self) -> datetime | None:
        """Return the newest instant on record, by the device's clock."""
        found = self.reader().value("SELECT max(started_at) FROM job_runs")
        return datetime.fromisoformat(found) if isinstance(found, str) else None

    def find(self, session: date, job: str) -> JobRun | None:
        """Return the run of one job, or None when it never began."""
        return job_runs.find(self.reader(), session, job)

    def close_jobs(self, endings: Iterable[Ending], at: datetime) -> tuple[Ending, ...]:
        """Write the one terminal row of each job that has none; return those that were written.

        Raises
        ------
        Locked
            A process works in the state folder; nothing was written.
        LedgerUnusable
            The disk does not take it.
        """
        written: list[Ending] = []
        with exclusive(self._folder), Ledger(self._folder.ledger, Mode.WRITE) as ledger, ledger.transaction():
            for item in endings:
                before = job_runs.find(ledger, item.session, item.job)
                if not job_runs.begin(ledger, item.session, item.job, at):
                    continue
                cut = f"; it began {before.started_at.isoformat(timespec='seconds')} and did not end" if before else ""
                words = item.words + cut
                job_runs.finish(ledger, JobReport(item.job, item.session, item.status, words), at)
                written.append(Ending(item.job, item.session, item.status, words))
        return tuple(written)

    def say(self, messages: Collection[Alert], *, delivered: bool = False) -> None:
        """Leave alerts for the next attendance to deliver, or record what needs no delivery."""
        with Ledger(self._folder.ledger, Mode.WRITE) as ledger, ledger.transaction():
            for alert in messages:
                alerts.add(ledger, alert, delivered=delivered)

    def note(self, key: str, value: str) -> None:
        """Write down a fact about this device's processes."""
        with Ledger(self._folder.ledger, Mode.WRITE) as ledger:
            meta.write(ledger, key, value)

    def noted(self, key: str) -> str | None:
        """Return a fact that was written down, or None."""
        return meta.read(self.reader(), key)

    def close(self) -> None:
        """Let the file go."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
