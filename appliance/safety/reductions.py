"""A lasting REDUCE: only orders that lower a position are sent until a person ends it.

It is a row of the ledger's halts with the action `reduce`: written when the row trips, before the session is planned,
and in force until `appliance rearm` names it or opens the latch.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final

from appliance.context import Deps
from appliance.controls.tripwires import TRIPWIRES, Evaluation, Rearm, TripwireAction
from appliance.ledger import Ledger, halts
from appliance.ledger.halts import HaltRow
from appliance.safety.limit_changes import guarded
from signals.files import sha256_of
from signals.text.wording import utc_words

LASTING: Final = frozenset(r.name for r in TRIPWIRES if r.action is TripwireAction.REDUCE and r.rearm is Rearm.HUMAN)
ID_LENGTH = 8


def hold(deps: Deps, session: date, evaluations: Iterable[Evaluation]) -> tuple[HaltRow, ...]:
    """Record every lasting REDUCE among the evaluations that is not in force yet; return the new ones."""
    known = {row.name for row in in_force(deps.ledger)}
    fresh = tuple(
        HaltRow(
            id=sha256_of(f"{item.name}|{session}|{deps.clock.now().isoformat()}".encode())[:ID_LENGTH],
            at=deps.clock.now(),
            name=item.name,
            measure=item.detail,
            value="missing" if item.value is None else f"{item.value:.6g}",
            threshold=f"{item.limit:g}",
            plan_digest=None,
            action=TripwireAction.REDUCE.value,
            details={"session": session, "limits": guarded(deps.config)},
        )
        for item in evaluations
        if item.is_tripped and item.name in LASTING and item.name not in known
    )
    for row in fresh:
        halts.add(deps.ledger, row)
    return fresh


def in_force(ledger: Ledger) -> tuple[HaltRow, ...]:
    """Return the reductions in force, oldest first."""
    return halts.open_halts(ledger, TripwireAction.REDUCE.value)


def sentence(row: HaltRow) -> str:
    """One sentence for a person."""
    return (
        f"{row.name} since {utc_words(row.at)} ({row.value} against {row.threshold}): only orders"
        f" that lower a position leave, until `appliance rearm --halt-id {row.id} --reason TEXT`"
    )
