"""Events of an evening, and what the trades that events propose would have made; nothing of either is traded."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from math import sqrt
from statistics import mean, stdev

from appliance.bundles.feature_record import FeatureRecord
from appliance.bundles.picture_record import recorded_of, seen
from appliance.ledger import Ledger, events
from appliance.ledger.events import EventRow, OutcomeRow
from appliance.system.state_folder import StateFolder
from appliance.views.view import View, ViewRow
from signals.errors import FixInput
from signals.events.daily import MOVES

COLUMNS = ("symbol", "kind", "side", "strength", "pole_katr", "stop", "target", "third")
SEEN_COLUMNS = ("sees", "sim_conf", "hist_rr_pct")
OUTCOME_COLUMNS = ("asof", "symbol", "kind", "side", "exit", "realised_r", "mfe_r", "mae_r", "bars_to_target", "bars_to_stop", "known")
NOTHING = "no event is recorded; the evening's scoring records them"
NOTE = "recorded, not traded"


def events_of(ledger: Ledger, folder: StateFolder, asof: date | None) -> View:
    """Return the events of the session `asof`, the newest with any where it is None; stop and target are from the next open.

    Where a net of pictures saw the evening, each says which shape it saw and what past events like it made.
    """
    day = asof or events.newest(ledger, date.max)
    rows = events.of_session(ledger, day) if day else ()
    facts = {"asof": day.isoformat() if day else None, "note": NOTE}
    try:
        record = recorded_of(ledger, folder, day) if day and rows else None
    except FixInput as error:
        record, facts = None, {**facts, "patterns": str(error)}
    shown = tuple({**_event(row), **(_seen(record, row.symbol) if record else {})} for row in rows)
    return View((*COLUMNS, *SEEN_COLUMNS) if record else COLUMNS, shown, NOTHING, None, facts)


def outcomes_of(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the events of the last `sessions` sessions that have any up to `last`, with their outcomes; facts sum up each kind."""
    days = ledger.read(date, "SELECT DISTINCT asof FROM events WHERE asof <= ? ORDER BY asof DESC LIMIT ?", (last, sessions))
    pairs = events.labelled(ledger, days[-1], days[0]) if days else []
    by_kind = groupby(sorted(pairs, key=lambda pair: pair[0].kind), key=lambda pair: pair[0].kind)
    facts = {"since": days[-1].isoformat() if days else None, "kinds": [_summary(kind, list(rows)) for kind, rows in by_kind], "note": NOTE}
    return View(OUTCOME_COLUMNS, tuple(_outcome(event, made) for event, made in pairs), NOTHING, None, facts)


def _event(row: EventRow) -> ViewRow:
    stop = -row.side * row.atr
    return {
        "asof": row.asof.isoformat(),
        "symbol": row.symbol,
        "kind": row.kind,
        "side": "LONG" if row.side > 0 else "SHORT",
        "strength": round(row.strength, 3),
        "pole_katr": _rounded(row.pole_katr, 2),
        "atr": row.atr,
        "stop": f"{stop:+.2%}",
        "target": f"{-stop:+.2%}",
        "third": row.third,
        "recorded_at": row.at.isoformat(),
    }


def _seen(record: FeatureRecord, symbol: str) -> ViewRow:
    found = seen(record, symbol)
    if found is None:
        return dict.fromkeys((*SEEN_COLUMNS, "picture"))
    shape, sim_conf, hist_rr = found
    said = f"{shape.shape} {shape.quality:.0%}", _rounded(sim_conf, 3), _rounded(hist_rr, 3)
    return {**dict(zip(SEEN_COLUMNS, said, strict=True)), "picture": record.pictures.get(symbol)}


def _outcome(event: EventRow, made: OutcomeRow | None) -> ViewRow:
    row = _event(event)
    if made is None:
        return {**row, **dict.fromkeys(OUTCOME_COLUMNS[5:]), "exit": "open"}
    return {
        **row,
        **{name: _rounded(getattr(made, name), 4) for name in MOVES},
        **{name: getattr(made, name) for name in ("exit", "bars_to_target", "bars_to_stop", "is_tie", "is_final")},
        **{name: day and day.isoformat() for name, day in (("known", made.known), ("seen_to", made.seen_to))},
    }


def _summary(kind: str, pairs: Sequence[tuple[EventRow, OutcomeRow | None]]) -> ViewRow:
    """Counts of a kind, and its mean R before costs; its error takes the events of one session as one observation."""
    ended = [(event.asof, made.realised_r, made) for event, made in pairs if made is not None and made.realised_r is not None]
    found = mean([r for _, r, _ in ended]) if ended else None
    sums = [sum(r - (found or 0.0) for _, r, _ in group) for _, group in groupby(sorted(ended, key=lambda x: x[0]), key=lambda x: x[0])]
    error = stdev(sums) * sqrt(len(sums)) / len(ended) if len(sums) > 1 else None
    return {
        "kind": kind,
        "events": len(pairs),
        "ended": len(ended),
        "targets": sum(made.exit == "target" for _, _, made in ended),
        "stops": sum(made.exit == "stop" for _, _, made in ended),
        "ties": sum(made.is_tie for _, _, made in ended),
        "mean_r": _rounded(found, 4),
        "error": _rounded(error, 4),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
