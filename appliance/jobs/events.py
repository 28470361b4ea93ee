"""Evening record of the events of daily bars, and the outcomes of earlier ones; and the bank of analogs that the evening asks.

The bank is the bundle's own, and this device's events whose trades ended after it was made. A signed bundle is never changed: the
device's additions are rows of its ledger, each with the bundle whose net saw it, the session that knew its outcome, and the
evening that took it in. The net of a newer bundle sees them again. All of it is recorded and shown, never traded.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

import numpy as np

from appliance.context import Deps
from appliance.ledger import arms, events
from appliance.ledger.arms import DrawRow
from appliance.ledger.events import BankRow, EndedEvent, EventRow, OutcomeRow
from appliance.safety.halt import warn
from signals.bundle import Bundle
from signals.bundle.verification import Infer
from signals.errors import DataNotUsable, FixInput, InvariantBroken, NotASession, ScoresInvalid
from signals.events.analogs import AnalogBank, read_bank, stored
from signals.events.arms import ARMS
from signals.events.daily import READS, column_of, daily_events, daily_outcomes
from signals.events.recorded import HEADS, RULES, DailyOutcome
from signals.market.actions import new_names
from signals.market.bars import Bars, Payout, days_array, departures
from signals.scoring.scoring import outputs_at
from signals.sleeves.patterns import PATTERNS, pictured

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
        warn(deps, f"events-{session}", f"no events of {asof}", f"{error}. Scores and orders do not read them")
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
        events.save(deps.ledger, known)
        arms.save(deps.ledger, ((one.asof, one.symbol) for one in found), at)
        for one in ended:
            arms.end(deps.ledger, one.asof, one.symbol, (one.exit, one.realised_r, one.known))
    return count, sum(one.is_final for one in known)


def _ended(bars: Bars, earlier: Sequence[EventRow], since: Since, drawn: Sequence[DrawRow]) -> list[DailyOutcome]:
    """Outcomes of open draws that are known now, each played with the target of its arm."""
    arm_of = {(one.asof, one.symbol): ARMS[one.arm] for one in drawn}
    found = list[DailyOutcome]()
    for rules in dict.fromkeys(arm.rules(RULES) for arm in arm_of.values()):
        own = [one for one in earlier if arm_of[one.asof, one.symbol].rules(RULES) == rules]
        found += [one for one in daily_outcomes(bars, own, *since, rules) if one.is_final or one.known is not None]
    return found


MOST_AN_EVENING, MOST_ROWS = 500, 20_000
REACH = 250  # sessions: an older event is for the next bundle's bank


def bank_of(asof: date, bundle: Bundle, deps: Deps, run: Infer) -> AnalogBank:
    """Take in the events whose trades were known before `asof`, and return them with those of the bundle's bank.

    Own events that cannot be taken in are notified, and the bundle's bank is asked without them: no order reads it.
    """
    days = days_array(deps.calendar.days)
    signed = read_bank(bundle.bank, days)
    try:
        _take_in(asof, bundle, deps, run)
    except (DataNotUsable, FixInput, InvariantBroken, NotASession, ScoresInvalid) as error:
        warn(deps, f"own-bank-{asof}", "this device's own events are not asked as analogs", str(error))
        return signed
    own = events.in_bank(deps.ledger, bundle.sha256, asof, MOST_ROWS)
    if not own:
        return signed
    vectors = np.array([np.frombuffer(one.vector or b"", dtype="<f4") for one in own], dtype=np.float64)  # as those of the bundle were
    quality, realised_r = (np.array([getattr(one, name) for one in own]) for name in ("quality", "realised_r"))
    asof_and_known = (days_array([getattr(one, name) for one in own]) for name in ("asof", "known"))
    added = stored(vectors, quality, realised_r, [one.symbol for one in own], *asof_and_known)
    return read_bank({name: np.concatenate([values, added[name]]) for name, values in bundle.bank.items()}, days)


def _take_in(asof: date, bundle: Bundle, deps: Deps, run: Infer) -> None:
    here = deps.calendar.index(asof)
    newest = np.datetime64(int(bundle.bank["known"].max()), "D").astype(object)
    ended = events.not_in_bank(deps.ledger, bundle.sha256, (deps.calendar.days[max(0, here - REACH)], newest, asof), MOST_AN_EVENING)
    if not ended:
        return
    reach = here - deps.calendar.index(min(one.asof for one in ended))
    bars = deps.market.bars(asof, bundle.manifest.view.sessions + reach)
    renamed, can = new_names(deps.market.ends_and_renamings(bars.sessions[0].astype(object), asof)), pictured(bars)
    places = dict[EndedEvent, tuple[int, int]]()
    ended = tuple(one for one in ended if np.datetime64(one.asof, "D") >= bars.sessions[0])  # an event before the bars waits
    for one in ended:
        row = bars.index(one.asof)
        column = column_of(bars, one.symbol, row, renamed)
        if column is not None and can[row, column]:
            places[one] = row, column
    shown: dict[EndedEvent, tuple[float | None, bytes | None]] = dict.fromkeys(ended, (None, None))
    if places:
        raw, said = outputs_at(bundle, PATTERNS.panel(bars), *np.array(list(places.values()), dtype=np.int64).T, run=run)
        seen = zip(places, said[HEADS[0]].max(axis=1).tolist(), raw[HEADS[2]].astype("<f4"), strict=True)
        shown |= {one: (likeliest, vector.tobytes()) for one, likeliest, vector in seen}
    of_bundle = partial(BankRow, bundle=bundle.sha256, evening=asof, at=deps.clock.now())
    events.save(deps.ledger, [of_bundle(**vars(one), quality=quality, vector=vector) for one, (quality, vector) in shown.items()])
