"""Multipliers of the book that plans drew in shadow; none is traded."""

from datetime import date

from appliance.ledger import Ledger, job_runs
from appliance.ledger import targets as target_rows
from appliance.ledger.figures import PlanFigures
from appliance.views.view import View
from portfolio.policy.sizing import GRID, STATE
from signals.scoring.shadow_logs import SizeDecision, SizeLog

COLUMNS = ("session", "before", "multiplier", "propensity")
NOTHING = "no plan has drawn a multiplier; `draw_sizes: true` asks for it"
MOST_PLANS = 10_000


def size_log(ledger: Ledger, venue: str) -> SizeLog:
    """Gather every multiplier that plans drew, with the book that each would have sized, for the trainer.

    It is a rehearsal where any draw was one, whatever the settings say of the venue by now.
    """
    made, is_rehearsal = list[SizeDecision](), False
    for run in job_runs.newest(ledger, "plan", date.max, MOST_PLANS):
        drawn = run.read(PlanFigures).drawn
        if drawn is None:
            continue
        book = {row.symbol: row.weight for row in target_rows.load(ledger, run.session) if row.weight != 0}
        said = {name: value for name, value in vars(drawn).items() if name != "is_rehearsal"}
        made.append(SizeDecision(session=run.session, book=book, **said))
        is_rehearsal = is_rehearsal or drawn.is_rehearsal
    return SizeLog(venue=venue, is_rehearsal=is_rehearsal, grid=GRID, names=STATE, decisions=tuple(made))


def sizes_of(log: SizeLog) -> View:
    """Return the draws, oldest first."""
    rows = tuple({name: getattr(one, name) if name != "session" else one.session.isoformat() for name in COLUMNS} for one in log.decisions)
    return View(COLUMNS, rows, NOTHING, None, {"note": "drawn in shadow, never traded"})
