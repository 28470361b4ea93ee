"""Backtest of the stopping limits over recorded sessions: stops, false stops, and losses avoided. Pure.

A stop is a run of sessions in which a row whose action is SKIP, REDUCE or HALT trips. A stop that waits for a person is
over `attended_sessions` after it began, one that does not when the row no longer trips. What it saved is what the book
lost from the first to the last session of the stop, had it held nothing instead: an upper bound, because a stopped
device keeps what it holds. A stop that saved nothing is a false one. A row that tolerates nothing (its limit is the
number 0: data that are RED, books that differ) counts real faults: such a stop is never false.

    false stops a year = false stops / max(1, sessions / 252)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from appliance.controls.tripwires import TRIPWIRES, Figure, Rearm, Tripwire, TripwireAction, TripwireFigures, check

SESSIONS_A_YEAR = 252
ATTENDED_SESSIONS = 5
STOPPING = (TripwireAction.SKIP, TripwireAction.REDUCE, TripwireAction.HALT)


@dataclass(frozen=True)
class SessionFigures:
    """One session of a history.

    Attributes
    ----------
    figures : mapping of measure to figure
        Figures measured for the tripwires that day; a measure that is absent was not evaluated.
    result : float
        Profit or loss of the session, as a fraction of the value before it.
    """

    session: date
    figures: Mapping[str, Figure]
    result: float


@dataclass(frozen=True)
class SimulatedStop:
    """One stop.

    Attributes
    ----------
    saved : float
        Loss of the book meanwhile, as a fraction of its value; a gain is negative.
    is_for_a_fault : bool
        Its row counts faults and tolerates none.
    """

    first: date
    last: date
    saved: float
    is_for_a_fault: bool = False

    @property
    def is_false(self) -> bool:
        """Whether there was nothing to save."""
        return self.saved <= 0 and not self.is_for_a_fault


@dataclass(frozen=True)
class RowHistory:
    """One limit over the history.

    Attributes
    ----------
    looked : int
        Sessions in which its figure was looked at.
    highest : float or None
        The figure nearest to the limit, or furthest past it.
    saved : float
        Sum over its stops, as fractions of the book's value.
    """

    name: str
    action: TripwireAction
    limit: float
    looked: int
    highest: float | None
    stops: tuple[SimulatedStop, ...]
    false_a_year: float
    saved: float


def backtest(
    history: Sequence[SessionFigures], limits: Mapping[str, float], attended_sessions: int = ATTENDED_SESSIONS
) -> tuple[RowHistory, ...]:
    """Run every stopping row of the table over the history, each as if it were the only one."""
    years = max(1.0, len(history) / SESSIONS_A_YEAR)
    return tuple(_row(row, history, limits, attended_sessions, years) for row in TRIPWIRES if row.action in STOPPING)


def _row(row: Tripwire, history: Sequence[SessionFigures], limits: Mapping[str, float], attended: int, years: float) -> RowHistory:
    limit = row.limit if isinstance(row.limit, float) else limits[row.limit]
    seen = [item.figures[row.measure] for item in history if row.measure in item.figures]
    numbers = [value for value in seen if isinstance(value, float)]
    stops = _stops(row, history, limits, attended)
    nearest = (min if row.trips_below else max)(numbers, default=None)
    return RowHistory(
        row.name,
        row.action,
        limit,
        len(seen),
        nearest,
        stops,
        sum(stop.is_false for stop in stops) / years,
        sum(stop.saved for stop in stops),
    )


def _stops(row: Tripwire, history: Sequence[SessionFigures], limits: Mapping[str, float], attended: int) -> tuple[SimulatedStop, ...]:
    found: list[SimulatedStop] = []
    at = 0
    while at < len(history):
        if not _trips(row, history[at], limits):
            at += 1
            continue
        end = at + 1
        while end < len(history) and (_trips(row, history[end], limits) or (row.rearm is Rearm.HUMAN and end - at < attended)):
            end += 1
        saved = -sum(past.result for past in history[at:end])
        found.append(SimulatedStop(history[at].session, history[end - 1].session, saved, row.limit == 0.0))
        at = end
    return tuple(found)


def _trips(row: Tripwire, past: SessionFigures, limits: Mapping[str, float]) -> bool:
    if row.measure not in past.figures:
        return False
    figures = TripwireFigures(**{row.measure: past.figures[row.measure]})
    return next(item for item in check(row.stage, figures, limits) if item.name == row.name).is_tripped


def offending(rows: Sequence[RowHistory], most_a_year: float) -> tuple[RowHistory, ...]:
    """Return the limits with more false stops a year than that."""
    return tuple(row for row in rows if row.false_a_year > most_a_year)
