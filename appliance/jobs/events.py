"""Evening record of the events of daily bars, and the outcomes of earlier ones: recorded and shown, never traded."""

from collections.abc import Mapping, Sequence
from datetime import date

from appliance.context import Deps
from appliance.ledger import arms, events
from appliance.ledger.arms import DrawRow
from appliance.ledger.events import EventRow, OutcomeRow
from appliance.safety.halt import notify
from appliance.system.ports import Severity
from execution.planning.restating import new_names
from signals.errors import DataNotUsable, FixInput, InvariantBroken
from signals.events.arms import ARMS
from signals.events.daily import READS, RULES, DailyOutcome, daily_events, daily_outcomes
from signals.market.bars import Bars, Payout, departures

Since = tuple[Sequence[Payout], Mapping[str, str]]  # departures and new names
MOST_SESSIONS = 400  # read at a time: a device that was off longer leaves older events without an outcome


def record_events(session: date, asof: date, deps: Deps) -> str:
    """Record the events of asof and of evenings that were missed, and what became of earlier ones; return a sentence.

    Each event draws an arm of target and size, whose own outcome is recorded too: what the tuner learns from.

    No score, plan or order reads them, so that bars which give none are notified and stop nothing.
    """
    try:
        found, known = _recorded(asof, deps)
    except (DataNotUsable, FixInput, InvariantBroken) as error:
        notify(deps, Severity.WARN, f"events-{session}", f"no events of {asof}", f"{error}. Scores and orders do not read them")
        return f"events: {error}"
    return f"{found} events, {known} outcomes" if found or known else ""


def _recorded(asof: date, deps: Deps) -> tuple[int, int]:
    calendar, last = deps.calendar, events.newest(deps.ledger, asof)
    open_ones, drawn = events.open_events(deps.ledger, asof), events.of_open_draws(deps.ledger, asof)
    here = calendar.index(asof)
    missed = 1 if last is None else max(1, here - calendar.index(last))
    waiting = max((here - calendar.index(ones[0].asof) + 1 for ones in (open_ones, drawn) if ones), default=0)
    bars = deps.market.bars(asof, min(MOST_SESSIONS, max(READS - 1 + missed, waiting)))
    at = deps.clock.now()
    found = [EventRow(**vars(one), at=at) for one in daily_events(bars, max(0, len(bars.sessions) - missed))]
    actions = deps.market.ends_and_renamings(bars.sessions[0].astype(object), asof)
    since = tuple(departures(bars, actions)), new_names(actions)
    made = [OutcomeRow(**vars(one), at=at) for one in daily_outcomes(bars, open_ones, *since)]
    known = [one for one in made if one.is_final or one.known is not None]
    ended = _ended(bars, drawn, since, arms.open_draws(deps.ledger))
    with deps.ledger.transaction():
        count = events.save(deps.ledger, found)
        events.save_outcomes(deps.ledger, known)
        arms.save(deps.ledger, ((one.asof, one.symbol) for one in found), at)
        for one in ended:
            arms.end(deps.ledger, one.asof, one.symbol, (one.exit, one.realised_r, one.known))
    return count, sum(one.is_final for one in known)


def _ended(bars: Bars, earlier: Sequence[EventRow], since: Since, drawn: Sequence[DrawRow]) -> list[DailyOutcome]:
    """Outcomes of open draws that are known now, each played with the target of its arm."""
    arm_of = {(one.asof, one.symbol): one.arm for one in drawn}
    found = list[DailyOutcome]()
    for target in sorted({ARMS[arm].target for arm in arm_of.values()}):
        alike = [arm for arm in ARMS if arm.target == target]
        own = [one for one in earlier if (place := arm_of.get((one.asof, one.symbol))) is not None and ARMS[place] in alike]
        found += [one for one in daily_outcomes(bars, own, *since, alike[0].rules(RULES)) if one.is_final or one.known is not None]
    return found
