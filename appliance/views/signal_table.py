"""The scores behind a session, best first, with current and target weights."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date

from appliance.ledger import Ledger, job_runs, scores, targets
from appliance.ledger.figures import PlanFigures
from appliance.views import blotter
from appliance.views.view import View, ViewRow, percent

STEPS = 6  # halves of a deviation on each side
COLUMNS = ("rank", "symbol", "score", "z", "probability", "change", "held", "target", "sleeve", "contribution")


def signals(ledger: Ledger, session: date) -> View:
    """Return every sleeve's scores of the newest scored session before D, with the weights held and aimed at.

    A shadow's scores are not among them, for nothing is done with these: `appliance shadow` lists them.
    `probability` is what the bundle's map makes of the score, None without a map.
    `change` is z minus the z of the scored session before; None for a name that had none. `contribution` is the
    sleeve's part of what D was planned on, which sums over the sleeves to what they say of the name together; of one sleeve
    that is its z. None before the plan, and of several sleeves for a name outside the book. `client_order_id` is the name's
    order of D, None where there was none.
    """
    run = job_runs.find(ledger, session, "plan")
    plan = run.read(PlanFigures) if run else PlanFigures()
    aimed = {row.symbol: row for row in targets.load(ledger, session)}
    sent = blotter.by_symbol(ledger, session)
    rows: list[ViewRow] = []
    for asof, sleeve in _scored(ledger, session):
        before = _z_before(ledger, asof, sleeve)
        for row in scores.load(ledger, asof, sleeve):
            target = aimed.get(row.symbol)
            rows.append(
                {
                    "rank": row.rank,
                    "symbol": row.symbol,
                    "score": row.score,
                    "z": round(row.z, 3),
                    "probability": None if row.probability is None else round(row.probability, 4),
                    "change": round(row.z - before[row.symbol], 3) if row.symbol in before else None,
                    "held": percent(target.current_weight) if target else None,
                    "target": percent(target.weight) if target else None,
                    "sector": target.sector if target else None,
                    "sleeve": row.sleeve,
                    "contribution": _contribution(plan, sleeve, row),
                    "asof": row.asof,
                    "source": row.source,
                    "client_order_id": sent.get(row.symbol),
                }
            )
    return View(COLUMNS, tuple(rows), f"no scores before {session}", session, {"distribution": _distribution(rows)})


def _distribution(rows: Sequence[ViewRow]) -> list[ViewRow]:
    """Names of each sleeve by their z, in steps of half a deviation; the outermost steps hold what is beyond."""
    counts = Counter((row["sleeve"], min(max(math.floor(2 * row["z"]), -STEPS), STEPS - 1)) for row in rows)
    sleeves = dict.fromkeys(row["sleeve"] for row in rows)
    return [
        {"sleeve": sleeve, "from": step / 2, "to": (step + 1) / 2, "names": counts[sleeve, step]}
        for sleeve in sleeves
        for step in range(-STEPS, STEPS)
    ]


def _contribution(plan: PlanFigures, sleeve: str, row: scores.ScoreRow) -> float | None:
    if plan.parts is not None:
        part = plan.parts_of(row.symbol).get(sleeve)
        return None if part is None else round(part, 3)
    shares = plan.sleeves or {}
    return round(shares[sleeve] * row.z, 3) if sleeve in shares else None


def _scored(ledger: Ledger, session: date) -> list[tuple[date, str]]:
    return ledger.read(
        tuple[date, str],
        "SELECT asof, sleeve FROM scores WHERE asof = (SELECT max(asof) FROM scores WHERE asof < ?)"
        " AND sleeve NOT LIKE ? GROUP BY asof, sleeve ORDER BY sleeve",
        (session, scores.SHADOW),
    )


def _z_before(ledger: Ledger, asof: date, sleeve: str) -> dict[str, float]:
    before = ledger.value("SELECT max(asof) FROM scores WHERE sleeve = ? AND asof < ?", (sleeve, asof.isoformat()))
    if not isinstance(before, str):
        return {}
    return {row.symbol: row.z for row in scores.load(ledger, date.fromisoformat(before), sleeve)}
