"""The timetable of a session as a table, and the pure decision of what is due now.

`TIMETABLE` is the only place that knows when a job runs. `due` compares it with what the ledger says has ended; a
scheduler, a person and a rehearsal all act on the same answer.

Invariants
----------
1. A job is due at most once per session: one that has ended is never named again.
2. A window that has passed is never traded: after its deadline a job is MISSED, with the reason in words.
3. A job is due only when every job before it in its chain has ended or been missed, in the table's order.
4. Times are anchored to the exchange's session, so that early closes and daylight saving move what they must move.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from signals.market.sessions import Calendar


class Anchor(StrEnum):
    """What a time of the table is counted from."""

    EVENING_BEFORE = "evening of asof"  # New York wall clock on asof
    MORNING = "morning of D"  # New York wall clock on D
    OPEN = "open of D"
    CLOSE = "close of D"
    THROUGH = "through D"  # a share of the way between two instants of D


@dataclass(frozen=True)
class When:
    """One instant of the table: an anchor with a New York clock time, or with minutes after the open or the close.

    Through the day it is the `share` of the way from `minutes` after the open to `before_close` minutes before the
    close, so that an early close moves every step.
    """

    anchor: Anchor
    clock: time = time(0)
    minutes: int = 0
    before_close: int = 0
    share: float = 0.0

    def on(self, session: date, calendar: Calendar) -> datetime:
        """Return the UTC instant for the trade session D."""
        if self.anchor is Anchor.EVENING_BEFORE:
            return calendar.session(calendar.previous(session)).at(self.clock)
        found = calendar.session(session)
        if self.anchor is Anchor.MORNING:
            return found.at(self.clock)
        if self.anchor is Anchor.THROUGH:
            first = found.open + timedelta(minutes=self.minutes)
            way = found.close - timedelta(minutes=self.before_close) - first
            return first + timedelta(seconds=round(way.total_seconds() * self.share))
        start = found.open if self.anchor is Anchor.OPEN else found.close
        return start + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Slot:
    """One row of the timetable.

    Attributes
    ----------
    job : str
    at : When
        When it should run.
    deadline : When
        After this instant it is not run any more for the session.
    why_late : str
        What missing the deadline means, in words.
    purpose : str
    seconds : float
        Real seconds after which the job's process is ended.
    megabytes : int
        Resident memory beyond which it is ended.
    """

    job: str
    at: When
    deadline: When
    why_late: str
    purpose: str
    seconds: float = 600.0
    megabytes: int = 768


EVENING = When(Anchor.EVENING_BEFORE, time(18, 30))
PLAN_BY = When(Anchor.MORNING, time(9, 20))
AUCTION_CUT = When(Anchor.MORNING, time(9, 26))
AFTER_CLOSE = When(Anchor.CLOSE, minutes=20)
NIGHT = When(Anchor.CLOSE, minutes=8 * 60)

TIMETABLE: tuple[Slot, ...] = (
    Slot("pull", EVENING, PLAN_BY, "no fresh data in time: the session is skipped", "refresh bars and bundles"),
    Slot("score", EVENING, PLAN_BY, "no scores in time: the session is skipped", "features and scores of asof"),
    Slot("reconcile_morning", When(Anchor.MORNING, time(8)), PLAN_BY, "not reconciled in time: nothing is traded",
         "agree with the broker after its corporate actions"),
    Slot("plan", When(Anchor.MORNING, time(8)), PLAN_BY, "no plan in time: the session is skipped",
         "targets and the frozen orders of D"),
    Slot("trade", When(Anchor.MORNING, time(9, 10)), AUCTION_CUT, "the opening auction no longer takes orders",
         "send the plan's orders for the opening auction"),
    Slot("confirm", When(Anchor.OPEN, minutes=15), When(Anchor.CLOSE, minutes=-15), "too late to act on leftovers",
         "fills of the open; leftovers"),
    Slot("reconcile_close", AFTER_CLOSE, NIGHT, "the next morning's reconcile finds what this one would have",
         "agree with the broker after the close"),
    Slot("report", AFTER_CLOSE, NIGHT, "written late by hand with `appliance report`", "the day in one page"),
    Slot("heartbeat", When(Anchor.CLOSE, minutes=40), NIGHT, "the watcher outside has heard nothing and says so itself",
         "tell the watcher outside whether the day's invariants hold", seconds=60.0, megabytes=384),
    Slot("prune", When(Anchor.CLOSE, minutes=45), NIGHT, "the next night removes what this one would have",
         "remove what can be fetched again and what nobody will read", seconds=120.0, megabytes=384),
    Slot("backup", When(Anchor.CLOSE, minutes=50), NIGHT, "the backup of the night before is the newest",
         "a copy of the ledger in another place, read back", seconds=900.0, megabytes=384),
)  # fmt: skip

JOBS: tuple[str, ...] = tuple(slot.job for slot in TIMETABLE)
TRADE, CONFIRM = "trade", "confirm"
Table = tuple[Slot, ...]


@dataclass(frozen=True)
class Entering:
    """When plans enter the market: the fields of `execution.planning.entries.EntryConfig`, without its file reader."""

    kind: str = "opg"
    steps: int = 6
    first_minutes: int = 15
    last_minutes: int = 35


AT_THE_OPEN = Entering()


def step_job(step: int) -> str:
    """Name of the job that sends step `step` of a schedule through the day; the first one is `trade`."""
    return TRADE if step == 1 else f"{TRADE}_{step}"


def table_of(entry: Entering) -> Table:
    """Return the timetable under which a plan enters the market as `entry` says.

    The opening auction has `TIMETABLE` itself; the closing auction moves `trade` and `confirm` to the close; a schedule
    through the day has one row for each step, and confirms after the last.
    """
    if entry.kind == "opg":
        return TIMETABLE
    by_job = {slot.job: slot for slot in TIMETABLE}
    trade, confirm = by_job[TRADE], by_job[CONFIRM]
    if entry.kind == "cls":
        moved = [
            replace(
                trade,
                at=When(Anchor.CLOSE, minutes=-25),
                deadline=When(Anchor.CLOSE, minutes=-12),
                why_late="the closing auction no longer takes orders",
                purpose="send the plan's orders for the closing auction",
            ),
            replace(
                confirm,
                at=When(Anchor.CLOSE, minutes=5),
                deadline=AFTER_CLOSE,
                why_late="the reconcile after the close takes the fills over",
                purpose="fills of the close",
            ),
        ]
    else:
        moved = [_step_slot(trade, entry, step) for step in range(1, entry.steps + 1)]
        moved.append(
            replace(
                confirm,
                at=When(Anchor.CLOSE, minutes=-entry.last_minutes + 10),
                deadline=When(Anchor.CLOSE, minutes=-10),
                purpose="fills of the day; what the last steps left",
            )
        )
    first, last = JOBS.index(TRADE), JOBS.index(CONFIRM)
    return (*TIMETABLE[:first], *moved, *TIMETABLE[last + 1 :])


def _step_slot(trade: Slot, entry: Entering, step: int) -> Slot:
    def at(number: float) -> When:
        share = min(1.0, (number - 1) / (entry.steps - 1))
        return When(Anchor.THROUGH, minutes=entry.first_minutes, before_close=entry.last_minutes, share=share)

    is_last = step == entry.steps
    deadline = When(Anchor.CLOSE, minutes=-entry.last_minutes + 8) if is_last else at(step + 0.9)
    return replace(
        trade,
        job=step_job(step),
        at=at(step),
        deadline=deadline,
        why_late="its time has passed: the plan's later steps do not make up for it",
        purpose=f"send step {step} of {entry.steps} through the session",
    )


@dataclass(frozen=True)
class Row:
    """A slot of one session with its instants resolved (UTC)."""

    job: str
    session: date
    at: datetime
    deadline: datetime
    purpose: str


def timetable(session: date, calendar: Calendar, table: Table = TIMETABLE) -> tuple[Row, ...]:
    """Resolve the table for the trade session D, in order."""
    return tuple(Row(slot.job, session, slot.at.on(session, calendar), slot.deadline.on(session, calendar), slot.purpose) for slot in table)


class Decision(StrEnum):
    """What to do about a job now."""

    RUN = "run"
    RUN_LATE = "run late"
    MISSED = "missed"


LATE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class Due:
    """A job that needs an action now, and why."""

    job: str
    session: date
    decision: Decision
    reason: str


def due(now: datetime, ended: Collection[tuple[date, str]], calendar: Calendar, table: Table = TIMETABLE) -> tuple[Due, ...]:
    """Decide what the jobs of the current sessions need at the instant `now`.

    Parameters
    ----------
    now : datetime
        UTC.
    ended : collection of (session, job)
        What the ledger says has a terminal status.
    calendar : Calendar
    table : Table, optional
        The timetable that holds.

    Returns
    -------
    tuple of Due
        In the order in which to act: what was missed first, so that it is told once, then at most one job to run per
        session. Sessions whose night is over are not looked at: nothing of theirs may run any more.
    """
    found: list[Due] = []
    for session in _current(now, calendar):
        slots = zip(table, timetable(session, calendar, table), strict=True)
        for slot, row in slots:
            if now < row.at:
                break
            if (session, row.job) in ended:
                continue
            if now > row.deadline:
                found.append(Due(row.job, session, Decision.MISSED, slot.why_late))
                continue
            late = now - row.at
            decision = Decision.RUN if late <= LATE_AFTER else Decision.RUN_LATE
            reason = row.purpose if decision is Decision.RUN else f"{int(late.total_seconds() // 60)} minutes late"
            found.append(Due(row.job, session, decision, reason))
            break
    return tuple(found)


def _current(now: datetime, calendar: Calendar) -> tuple[date, ...]:
    """Return the sessions D with an open window: the one that closed last while its night lasts, and the next one."""
    asof = calendar.last_closed(now)
    previous = (asof,) if now <= NIGHT.on(asof, calendar) else ()
    return (*previous, calendar.next(asof))
