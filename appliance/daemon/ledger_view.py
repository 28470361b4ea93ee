"""The daemon's view of the ledger: one connection that reads, and short ones that write what no job could write itself.

Invariants
----------
1. A row is closed under the folder's lock: a job that a person runs at this moment ends it itself.
2. A job that has ended is never ended again.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import apsw

from appliance.ledger import AccessMode, Ledger, alerts, job_runs
from appliance.ledger.database import RESTORE
from appliance.ledger.job_runs import JobRun
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Alert
from appliance.system.state_folder import StateFolder, exclusive
from signals.errors import LedgerDamaged, LedgerUnusable
from signals.text.wording import reason_of, utc_words

MAGIC, DAEMON = b"SQLite format 3\0", "daemon"


@dataclass(frozen=True)
class JobEnding:
    """The terminal status of a job that did not write it itself, in words."""

    job: str
    session: date
    status: JobStatus
    words: str


class LedgerView:
    """The ledger of one state folder, opened again after any fault."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._reader: Ledger | None = None
        self._file = 0

    def reader(self) -> Ledger:
        """Return the connection that reads.

        Raises
        ------
        LedgerDamaged
            The file is corrupt, gone, or no longer the one that this process opened.
        LedgerUnusable
            The ledger does not answer.
        """
        try:
            self._require_same()
            if self._reader is None:
                self._reader = Ledger(self._folder.ledger, AccessMode.READ)
            self._reader.value("SELECT count(*) FROM meta")
        except apsw.Error as error:
            self.close()
            raise LedgerUnusable("the ledger does not answer", where=f"{self._folder.ledger}: {reason_of(error)}") from error
        except LedgerUnusable:
            self.close()
            raise
        return self._reader

    def examine(self) -> None:
        """Check the whole file again; raise as `reader` does."""
        self.close()
        self.reader()

    def _require_same(self) -> None:
        """Look at the file itself: a connection goes on answering from a file that was removed or written over.

        Only a restore gives the ledger another file, and it needs the daemon stopped.
        """
        path = self._folder.ledger
        try:
            with path.open("rb") as stream:
                found, head = os.fstat(stream.fileno()).st_ino, stream.read(len(MAGIC))
        except FileNotFoundError:
            raise LedgerDamaged("the ledger is gone", where=str(path), fix=RESTORE) from None
        except OSError as error:
            raise LedgerUnusable("the ledger cannot be read", where=f"{path}: {reason_of(error)}") from None
        if head != MAGIC or found != (self._file or found):
            raise LedgerDamaged("the ledger's file was written over or exchanged", where=str(path), fix=RESTORE)
        self._file = found

    @contextmanager
    def _writer(self) -> Iterator[Ledger]:
        self._require_same()
        with Ledger(self._folder.ledger, AccessMode.WRITE) as ledger:
            yield ledger

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

    def close_jobs(self, endings: Iterable[JobEnding], at: datetime) -> tuple[JobEnding, ...]:
        """Write the one terminal row of each job that has none; return those that were written.

        Raises
        ------
        Locked
            A process works in the state folder; nothing was written.
        LedgerUnusable
            The disk does not take it.
        """
        written: list[JobEnding] = []
        with exclusive(self._folder), self._writer() as ledger, ledger.transaction():
            for item in endings:
                before = job_runs.find(ledger, item.session, item.job)
                if not job_runs.begin(ledger, item.session, item.job, at):
                    continue
                cut = f"; it began {utc_words(before.started_at)} and did not end" if before else ""
                words = item.words + cut
                job_runs.finish(ledger, JobReport(item.job, item.session, item.status, words), at)
                written.append(JobEnding(item.job, item.session, item.status, words))
        return tuple(written)

    def add_alerts(self, messages: Collection[Alert], *, delivered: bool = False) -> None:
        """Record alerts for the next attendance to deliver, or as delivered."""
        with self._writer() as ledger, ledger.transaction():
            for alert in messages:
                alerts.add(ledger, alert, delivered=delivered)

    def note_start(self, boot: str, pid: int, at: datetime) -> dict[str, object] | None:
        """Record that this process is the daemon; return what the one before recorded, if it did not end by itself."""
        before: dict[str, object] = json.loads(self.reader().read_meta(DAEMON) or "{}")
        self._write_process(boot, pid, at, ended=False)
        return before if before and not before.get("ended") else None

    def note_end(self, boot: str, pid: int, at: datetime) -> None:
        """Record that this process ended as it was asked to."""
        self._write_process(boot, pid, at, ended=True)

    def _write_process(self, boot: str, pid: int, at: datetime, *, ended: bool) -> None:
        row = {"boot": boot, "pid": pid, "at": at.isoformat(timespec="seconds"), "ended": ended}
        with self._writer() as ledger:
            ledger.write_meta(DAEMON, json.dumps(row, sort_keys=True))

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
