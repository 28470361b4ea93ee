"""The device's timetable: the only place that knows when each of its jobs runs.

Entry points: `TIMETABLE` (a plan that enters at the open), `table_of` (the table for any other way to enter),
`busy_until` (when a release may not be installed), `absence` (after which a person decides before trading resumes).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from signals.market.sessions import Calendar
from signals.schedule.job_windows import Anchor, Timetable, TimetableRow, When, step_when, windows

EVENING = When(Anchor.EVENING_BEFORE, time(18, 30))
PLAN_BY = When(Anchor.MORNING, time(9, 20))
AUCTION_CUT = When(Anchor.MORNING, time(9, 26))
AFTER_CLOSE = When(Anchor.CLOSE, minutes=20)
NIGHT = When(Anchor.CLOSE, minutes=8 * 60)

TIMETABLE: Timetable = (
    TimetableRow("pull", EVENING, PLAN_BY, "no fresh data in time: the session is skipped", "refresh bars and bundles"),
    TimetableRow("score", EVENING, PLAN_BY, "no scores in time: the session is skipped", "features and scores of asof"),
    TimetableRow("reconcile_morning", When(Anchor.MORNING, time(8)), PLAN_BY, "not reconciled in time: nothing is traded",
         "agree with the broker after its corporate actions"),
    TimetableRow("plan", When(Anchor.MORNING, time(8)), PLAN_BY, "no plan in time: the session is skipped",
         "targets and the frozen orders of D"),
    TimetableRow("trade", When(Anchor.MORNING, time(9, 10)), AUCTION_CUT, "the opening auction no longer takes orders",
         "send the plan's orders for the opening auction"),
    TimetableRow("confirm", When(Anchor.OPEN, minutes=15), When(Anchor.CLOSE, minutes=-15), "too late to act on leftovers",
         "fills of the open; leftovers"),
    TimetableRow("reconcile_close", AFTER_CLOSE, NIGHT, "the next morning's reconcile finds what this one would have",
         "agree with the broker after the close"),
    TimetableRow("report", AFTER_CLOSE, NIGHT, "written late by hand with `appliance report`", "the day in one page"),
    TimetableRow("heartbeat", When(Anchor.CLOSE, minutes=40), NIGHT, "the watcher outside has heard nothing and says so itself",
         "tell the watcher outside whether the day's invariants hold", seconds=60.0, megabytes=384),
    TimetableRow("prune", When(Anchor.CLOSE, minutes=45), NIGHT, "the next night removes what this one would have",
         "remove what can be fetched again and what nobody will read", seconds=120.0, megabytes=384),
    TimetableRow("backup", When(Anchor.CLOSE, minutes=50), NIGHT, "the backup of the night before is the newest",
         "a copy of the ledger in another place, read back", seconds=900.0, megabytes=384),
)  # fmt: skip

JOBS: tuple[str, ...] = tuple(row.job for row in TIMETABLE)
TRADE, CONFIRM = "trade", "confirm"
ABSENT = "ABSENT"
ABSENT_SESSIONS = 5  # the horizon of the daily sleeve: a book older than its forecasts is nobody's decision any more


@dataclass(frozen=True)
class Entering:
    """When plans enter the market: the fields of `execution.planning.config.EntryConfig`, without its file reader."""

    kind: str = "opg"
    steps: int = 6
    first_minutes: int = 15
    last_minutes: int = 35


AT_THE_OPEN = Entering()
AFTER_THE_OPEN = {
    TRADE: "resolve what an earlier run left; the plan's orders wait for the open",
    CONFIRM: "send the plan's orders, what lowers risk first; their fills",
}


def step_job(step: int) -> str:
    """Name of the job that sends step `step` of a schedule through the day; the first one is `trade`."""
    return TRADE if step == 1 else f"{TRADE}_{step}"


def table_of(entry: Entering) -> Timetable:
    """Return the timetable under which a plan enters the market as `entry` says.

    The opening auction has `TIMETABLE` itself; an entry by day orders sends them where that confirms its auction; the closing
    auction moves `trade` and `confirm` to the close; a schedule through the day has one row for each step, and confirms after
    the last.
    """
    if entry.kind == "opg":
        return TIMETABLE
    if entry.kind == "day":
        return tuple(replace(row, purpose=AFTER_THE_OPEN[row.job]) if row.job in AFTER_THE_OPEN else row for row in TIMETABLE)
    by_job = {row.job: row for row in TIMETABLE}
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
        moved = [_step_row(trade, entry, step) for step in range(1, entry.steps + 1)]
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


def _step_row(trade: TimetableRow, entry: Entering, step: int) -> TimetableRow:
    def at(number: float) -> When:
        return step_when(entry.first_minutes, entry.last_minutes, number, entry.steps)

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


MARGIN = timedelta(minutes=15)


def busy_until(now: datetime, calendar: Calendar, table: Timetable, ended: Collection[tuple[date, str]]) -> datetime | None:
    """Return the end of the order window that contains `now`, or None outside of every one.

    From `MARGIN` before the session's first job that sends orders to `MARGIN` after its last one, nothing is changed. A job that has
    ended closes its window at its hour; one that has not keeps it open until its deadline.

    Parameters
    ----------
    now : datetime
        UTC, by the device's clock.
    table : Timetable
        The timetable that holds.
    ended : collection of (date, str)
        Every (session, job) that has ended.
    """
    for day in calendar.between(now.date() - timedelta(days=1), now.date() + timedelta(days=1)):
        if day == calendar.days[0]:
            continue  # the evening before it lies outside the calendar
        rows = [row for row in windows(day, calendar, table) if row.job == CONFIRM or row.job.startswith(TRADE)]
        over = max(row.at if (day, row.job) in ended else row.deadline for row in rows) + MARGIN
        if min(row.at for row in rows) - MARGIN <= now < over:
            return over
    return None


def absence(unattended: Sequence[date]) -> str:
    """Return why an armed device that was absent must halt, given the newest sessions of which no job ended; empty when it need not."""
    away = len(unattended)
    if away < ABSENT_SESSIONS:
        return ""
    return f"nothing ran for {away} sessions, {unattended[0]} to {unattended[-1]}: what is held is older than its forecast"
