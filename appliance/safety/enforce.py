"""Evaluates the tripwires of a stage, records every evaluation, and carries out the most severe action."""

from collections.abc import Sequence
from datetime import date

from appliance.context import Deps
from appliance.controls.tripwires import Evaluation, Stage, TripwireAction, TripwireFigures, check, worst
from appliance.ledger import tripwires as rows
from appliance.safety import reductions
from appliance.safety.halt import notify
from appliance.system.ports import Severity
from signals.errors import TripwireHalt, TripwireSkip


def enforce(deps: Deps, session: date, stage: Stage, figures: TripwireFigures) -> tuple[Evaluation, ...]:
    """Evaluate and record every row of `stage`, then act on the worst.

    Returns
    -------
    tuple of Evaluation
        All rows, when the worst action is WARN, REFUSE or REDUCE: the caller honours the last two.

    Raises
    ------
    TripwireHalt, TripwireSkip
        A row with that action has tripped.
    """
    found = check(stage, figures, deps.config.limits())
    record(deps, session, found)
    tripped = worst(found)
    if tripped is None:
        return found
    sentence = f"{tripped.name}: {tripped.detail} ({figure(tripped.value)} against {tripped.limit:g})"
    if tripped.action is TripwireAction.HALT:
        raise TripwireHalt(sentence, where=tripped.name, fix="Find the cause before you re-arm")
    for row in reductions.hold(deps, session, found):
        notify(deps, Severity.PAGE, f"reduce-{row.id}", f"REDUCE by {row.name}", reductions.sentence(row))
    if tripped.action is TripwireAction.SKIP:
        raise TripwireSkip(sentence, where=tripped.name, fix="The next session tries again by itself")
    severity = Severity.INFO if tripped.action is TripwireAction.REFUSE else Severity.WARN
    notify(deps, severity, f"{tripped.name}-{session}", f"{tripped.name}: {tripped.action}", sentence)
    return found


def record(deps: Deps, session: date, evaluations: Sequence[Evaluation]) -> None:
    """Write every evaluation, tripped or not, so that the report shows each."""
    at = deps.clock.now()
    for item in evaluations:
        rows.save(
            deps.ledger,
            rows.TripwireRow(
                session,
                item.name,
                None if item.value is None else figure(item.value),
                f"{item.limit:g}",
                str(item.action),
                item.is_tripped,
                item.detail,
                at,
            ),
        )


def figure(value: float | None) -> str:
    """A measured figure for a person: six significant digits, or `missing`."""
    return "missing" if value is None else f"{value:.6g}"


def asks_to_reduce(evaluations: Sequence[Evaluation]) -> bool:
    """Whether only orders that lower an absolute position may leave."""
    return any(item.is_tripped and item.action is TripwireAction.REDUCE for item in evaluations)
