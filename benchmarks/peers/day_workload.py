"""What every side of the day's benchmark shares: the sessions, and the figures of a whole process."""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from features_workload import status_bytes

if TYPE_CHECKING:
    from signals.market.sessions import Calendar


def sessions_of(store: str) -> np.ndarray:
    """Sessions of the store, written beside it."""
    return np.load(Path(store).with_name("sessions.npy")).astype("datetime64[D]")


def calendar_of(store: str) -> Calendar:
    """The same as a calendar."""
    from signals.market.sessions import Calendar, Session

    days = sessions_of(store).tolist()
    hours = ((datetime.combine(day, time(14, 30), UTC), datetime.combine(day, time(21), UTC)) for day in days)
    return Calendar("XNYS", tuple(Session(day, *pair) for day, pair in zip(days, hours, strict=True)))


def finished(version: str, scores: np.ndarray, loaded: list[str]) -> None:
    """Report CPU time since the process started, its peak memory, and what it should not have loaded."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report = {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": status_bytes("VmHWM"), "version": version, "loaded": loaded}
    if len(sys.argv) > 3:
        np.save(sys.argv[3], scores)
    print(json.dumps(report))
