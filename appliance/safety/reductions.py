"""A REDUCE that only a person ends: from the trip on only orders that lower a position leave, whatever the figure says.

It is a row of the ledger's halts with the action `reduce`: written when the row trips, before the session is planned,
and in force until `appliance rearm` names it or opens the latch.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

from appliance.context import Deps
from appliance.controls.tripwires import TRIPWIRES, Action, Evaluation, Rearm
from appliance.ledger import Ledger, halts
from appliance.ledger.halts import HaltRow
from appliance.safety.limit_changes import guarded
from signals.files import sha256_of
from signals.text.wording import utc_words

LASTING: Final = frozenset(r.name for r in TRIPWIRES if r.action is Action.REDUCE and r.rearm is Rearm.HUMAN)
ID_LENGTH = 8


def hold(deps: Deps, session: date, evaluations: Iterable[Evaluation]) -> tuple[HaltRow, ...]:
    """Record every lasting REDUCE among the evaluations that does not stand yet; return the new ones."""
    known = {row.name for row in standing(deps.ledger)}
    fresh = tuple(
        HaltRow(
            id=sha256_of(f"{item.name}|{session}|{deps.clock.now().isoformat()}".encode())[:ID_LENGTH],
            at=deps.clock.now(),
            name=item.name,
            measure=item.detail,
            value="missing" if item.value is None else f"{item.value:.6g}",
            threshold=f"{item.limit:g}",
            plan_digest=None,
            action=Action.REDUCE.value,
            details={"session": session, "limits": guarded(deps.config)},
        )
        for item in evaluations
        if item.is_tripped and item.name in LASTING and item.name not in known
    )
    for row in fresh:
        halts.add(deps.ledger, row)
    return fresh


def standing(ledger: Ledger) -> tuple[HaltRow, ...]:
    """Return the reductions in force, oldest first."""
    return halts.standing(ledger, Action.REDUCE.value)


def sentence(row: HaltRow) -> str:
    """One sentence for a person."""
    return (
        f"{row.name} since {utc_words(row.at)} ({row.value} against {row.threshold}): only orders"
        f" that lower a position leave, until `appliance rearm --halt-id {row.id} --reason TEXT`"
    )
