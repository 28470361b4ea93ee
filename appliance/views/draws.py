"""Draws in shadow: the arms of target and size of events, and the multipliers of the book that plans drew; none is traded."""

from datetime import date
from statistics import mean

from appliance.ledger import Ledger, arms, job_runs
from appliance.ledger import targets as target_rows
from appliance.ledger.figures import PlanFigures
from appliance.views.events import NOTHING
from appliance.views.view import View, ViewRow
from portfolio.policy.sizing import GRID, STATE
from signals.events.arms import ARMS, DEFAULT, exploring
from signals.scoring.shadow_logs import ArmDecision, ArmLog, SizeDecision, SizeLog

ARM_COLUMNS = ("arm", "target", "size", "propensity", "drawn", "ended", "mean_r")
SIZE_COLUMNS = ("session", "before", "multiplier", "propensity")
NO_PLAN = "no plan has drawn a multiplier; `draw_sizes: true` asks for it"
NOTE = {"note": "drawn in shadow, never traded"}
MOST_PLANS = 10_000


def arm_log(ledger: Ledger, venue: str, *, is_rehearsal: bool) -> ArmLog:
    """Gather every arm that events drew in shadow, for the trainer."""
    decisions = tuple(ArmDecision.model_validate(one, from_attributes=True) for one in arms.all_drawn(ledger))
    return ArmLog(venue=venue, is_rehearsal=is_rehearsal, arms=tuple((arm.target, arm.size) for arm in ARMS), decisions=decisions)


def arms_of(log: ArmLog) -> View:
    """Return how often each arm was drawn, and the mean R of its trades times its size, before costs."""
    chances, rows = exploring(len(ARMS), DEFAULT), list[ViewRow]()
    for number, arm in enumerate(ARMS):
        own = [one for one in log.decisions if one.arm == number]
        made = [arm.size * one.realised_r for one in own if one.realised_r is not None]
        row = {"arm": number, "target": arm.target, "size": arm.size, "propensity": round(float(chances[number]), 4)}
        rows.append({**row, "drawn": len(own), "ended": len(made), "mean_r": round(mean(made), 4) if made else None})
    return View(ARM_COLUMNS, tuple(rows) if log.decisions else (), NOTHING, None, NOTE)


def size_log(ledger: Ledger, venue: str) -> SizeLog:
    """Gather every multiplier that plans drew, with the book that each would have sized, for the trainer.

    It is a rehearsal where any draw was one, whatever the settings say of the venue by now.
    """
    made, is_rehearsal = list[SizeDecision](), False
    for run in job_runs.newest(ledger, "plan", date.max, MOST_PLANS):
        drawn = run.read(PlanFigures).drawn
        if drawn is not None and len(drawn.state) == len(STATE):  # else of an earlier version, whose state was another
            book = {row.symbol: row.weight for row in target_rows.load(ledger, run.session) if row.weight != 0}
            said = {name: value for name, value in vars(drawn).items() if name != "is_rehearsal"}
            made.append(SizeDecision(session=run.session, book=book, **said))
            is_rehearsal = is_rehearsal or drawn.is_rehearsal
    return SizeLog(venue=venue, is_rehearsal=is_rehearsal, grid=GRID, names=STATE, decisions=tuple(made))


def sizes_of(log: SizeLog) -> View:
    """Return the draws, oldest first."""
    rows = tuple(one.model_dump(mode="json", include={*SIZE_COLUMNS}) for one in log.decisions)
    return View(SIZE_COLUMNS, rows, NO_PLAN, None, NOTE)
