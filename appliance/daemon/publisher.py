"""Writes the device's facts to `health.json` and `metrics.prom`, each of them whole, in a folder that may be memory.

`health.json` of the state folder is a link where the runtime folder is another one: a card is not worn by a file that
is written every minute, and readers find it where they always do.
"""

import json
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from appliance.controls.latch import Latch
from appliance.daemon.briefing import Briefing
from appliance.ledger import Ledger
from appliance.schedule.timetable import table_of
from appliance.status.upkeep import concerns_of, count_addresses, expiries
from appliance.status.vitals import DaemonFacts, DaemonNotes, HealthFacts, ProcessFacts, metrics, vitals
from appliance.system.ports import Clock
from appliance.system.state_folder import DurableFs, StateFolder
from signals.files import write_atomic
from signals.text.documents import to_json

HEALTH, METRICS = "health.json", "metrics.prom"
READABLE = 0o640  # a metrics collector is another user of the unit's group; what is held is nobody else's business


@dataclass(frozen=True)
class SupervisorState:
    """Internal state of the supervisor at one moment.

    Attributes
    ----------
    waits_for : sequence of str
        Why the device does not do its work; empty when it does.
    tries_again : sequence of str
        Jobs that did not end by themselves and are tried again.
    scheduled : sequence of str
        The wake-ups ahead; none where a served exchange owns the time.
    working_on : str
        The process at work; empty when there is none.
    venue_now : datetime
        By the clock that the device goes by.
    """

    waits_for: Sequence[str]
    tries_again: Sequence[str]
    scheduled: Sequence[str]
    working_on: str
    brief: Briefing | None
    venue_now: datetime


class Publisher:
    """Gathers the device's facts and writes them now and then.

    Parameters
    ----------
    runtime : Path
        Folder of both files.
    credentials : Path or None
        Where the addresses for alerts are counted.
    real : Clock
        The machine's.
    every_seconds : float
        Between two writings.
    """

    def __init__(self, folder: StateFolder, runtime: Path, credentials: Path | None, real: Clock, every_seconds: float) -> None:
        self._folder, self._runtime, self._credentials, self._real = folder, runtime, credentials, real
        self._every, self._written_s = every_seconds, float("-inf")
        self._started_at = real.now()

    def hurry(self) -> None:
        """Have the next look write, however little time has passed."""
        self._written_s = float("-inf")

    def is_due(self, mono_s: float) -> bool:
        """Whether it is time to write."""
        return mono_s - self._written_s >= self._every

    def write(self, ledger: Ledger, state: SupervisorState, mono_s: float) -> None:
        """Write both files.

        Raises
        ------
        OSError
            The disk does not take them; the earlier ones stay.
        """
        publish(self._runtime, self._folder, self.vitals(ledger, state), self._process_facts(state), self._real.now())
        self._written_s = mono_s

    def vitals(self, ledger: Ledger, state: SupervisorState) -> HealthFacts:
        """Return the device's facts now, as the supervisor knows itself."""
        at = self._real.now()
        said = own_facts(state.waits_for, state.tries_again, at, state.scheduled)
        if state.brief is None:
            return vitals(ledger, self._folder, at, said)
        latch, table = Latch(self._folder.root, DurableFs()).read(), table_of(state.brief.entering)
        addresses = count_addresses(self._credentials)
        calendar = state.brief.calendar
        concerns = concerns_of(ledger, latch, state.venue_now, addresses, calendar, table, self._ends(state))
        return vitals(ledger, self._folder, at, said, concerns)

    def _ends(self, state: SupervisorState) -> dict[str, date]:
        return expiries(self._folder.bundles, state.brief.calendar if state.brief else None, self._credentials)

    def _process_facts(self, state: SupervisorState) -> ProcessFacts:
        addresses = count_addresses(self._credentials)
        return ProcessFacts(os.getpid(), self._started_at.timestamp(), state.working_on, addresses, resident_bytes(), self._ends(state))


def publish(runtime: Path, folder: StateFolder, found: HealthFacts, process: ProcessFacts, at: datetime) -> None:
    """Write both files, for their owner and the process's group only.

    Raises
    ------
    OSError
        The disk does not take them; the earlier ones stay.
    """
    facts = replace(found, process=process, at=at)
    runtime.mkdir(parents=True, exist_ok=True)
    write_atomic(runtime / HEALTH, json.dumps(to_json(facts), sort_keys=True, indent=1).encode(), mode=READABLE)
    write_atomic(runtime / METRICS, metrics(facts, at).encode(), mode=READABLE)
    _link(folder.health, runtime / HEALTH)


def own_facts(waits_for: Sequence[str], tries_again: Sequence[str], at: datetime, scheduled: Sequence[str] = ()) -> DaemonFacts:
    """Return the daemon's facts as its own process knows them while it writes."""
    return DaemonFacts(True, True, at, DaemonNotes(tuple(waits_for), tuple(tries_again), tuple(scheduled)))


def resident_bytes() -> int:
    """Memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def _link(link: Path, target: Path) -> None:
    if link == target or (link.is_symlink() and link.readlink() == target):
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
