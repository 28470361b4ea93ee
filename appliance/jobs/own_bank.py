"""The bank of analogs that an evening asks: the bundle's own, and this device's events whose trades ended after it was made.

A signed bundle is never changed: the device's additions are rows of its ledger, each with the bundle whose net saw it, the session that
knew its outcome, and the evening that took it in. The net of a newer bundle sees them again.
"""

from datetime import date

import numpy as np

from appliance.context import Deps
from appliance.ledger import bank_rows
from appliance.ledger.bank_rows import BankRow, EndedEvent
from appliance.safety.halt import notify
from appliance.system.ports import Severity
from execution.planning.restating import new_names
from signals.bundle import Bundle
from signals.bundle.verification import Infer
from signals.errors import DataNotUsable, FixInput, InvariantBroken, NotASession, ScoresInvalid
from signals.events.analogs import AnalogBank, stored
from signals.events.daily import column_of
from signals.events.panel import Rows
from signals.events.seen_patterns import HEADS, bank_in
from signals.market.bars import Bars
from signals.scoring.scoring import outputs_at
from signals.sleeves.patterns import PATTERNS, pictured

MOST_AN_EVENING, MOST_ROWS = 500, 20_000
REACH = 250  # sessions: an older event is for the next bundle's bank


def bank_of(asof: date, bundle: Bundle, deps: Deps, run: Infer) -> AnalogBank:
    """Take in the events whose trades were known before `asof`, and return them with those of the bundle's bank.

    Own events that cannot be taken in are notified, and the bundle's bank is asked without them: no order reads it.
    """
    signed = bank_in(bundle.bank, deps.calendar)
    try:
        _take_in(asof, bundle, deps, run)
    except (DataNotUsable, FixInput, InvariantBroken, NotASession, ScoresInvalid) as error:
        notify(deps, Severity.WARN, f"own-bank-{asof}", "this device's own events are not asked as analogs", str(error))
        return signed
    own = bank_rows.known_before(deps.ledger, bundle.sha256, asof, MOST_ROWS)
    if not own:
        return signed
    vectors = np.array([np.frombuffer(one.vector or b"", dtype="<f4") for one in own])
    quality, realised_r = (np.array([getattr(one, name) for one in own]) for name in ("quality", "realised_r"))
    days = (np.array([getattr(one, name) for one in own], dtype="datetime64[D]") for name in ("asof", "known"))
    added = stored(vectors, quality, realised_r, [one.symbol for one in own], *days)
    return bank_in({name: np.concatenate([values, added[name]]) for name, values in bundle.bank.items()}, deps.calendar)


def _take_in(asof: date, bundle: Bundle, deps: Deps, run: Infer) -> None:
    here = deps.calendar.index(asof)
    newest = np.datetime64(int(bundle.bank["known"].max()), "D").astype(object)
    ended = bank_rows.waiting(deps.ledger, bundle.sha256, (deps.calendar.days[max(0, here - REACH)], newest, asof), MOST_AN_EVENING)
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
    quality, vectors = _seen(bundle, bars, np.array(list(places.values()), dtype=np.int64).reshape(-1, 2), run)
    shown = dict(zip(places, zip(quality, vectors, strict=True), strict=True))
    at, rows = deps.clock.now(), []
    for one in ended:
        likeliest, vector = shown.get(one, (None, None))
        rows.append(BankRow(bundle.sha256, one.asof, one.symbol, likeliest, vector, one.realised_r, one.known, asof, at))
    bank_rows.save(deps.ledger, rows)


def _seen(bundle: Bundle, bars: Bars, places: Rows, run: Infer) -> tuple[list[float], list[bytes]]:
    """Highest probability and embedding of the pictures at places (n, 2)."""
    if not len(places):
        return [], []
    raw, said = outputs_at(bundle, PATTERNS.panel(bars), places[:, 0], places[:, 1], run=run)
    return said[HEADS[0]].max(axis=1).tolist(), [vector.tobytes() for vector in raw[HEADS[2]].astype("<f4")]
