"""Events of an evening, and what the trades that events propose would have made; nothing of either is traded."""

from datetime import date

from appliance.bundles.feature_record import FeatureRecord
from appliance.bundles.shown_records import READ, EventForecast, forecast, seen, spoken
from appliance.ledger import Ledger, events
from appliance.ledger.events import EventRow
from appliance.system.state_folder import StateFolder
from appliance.views.view import View, ViewRow
from signals.events.recorded import SEEN_BY
from signals.text.documents import to_json

COLUMNS = ("symbol", "kind", "side", "strength", "pole_katr", "stop", "target", "third")
SEEN_COLUMNS = ("sees", "sim_conf", "hist_rr_pct")
SAID_COLUMNS = ("p_target", "pays", "stop_70", "target_60", "entry")
OUTCOME_COLUMNS = ("asof", "symbol", "kind", "side", "exit", "realised_r", "mfe_r", "mae_r", "bars_to_target", "bars_to_stop", "known")
NOTHING = "no event is recorded; the evening's scoring records them: `appliance score`"
NOTE = "recorded, not traded"


def events_of(ledger: Ledger, folder: StateFolder, asof: date | None) -> View:
    """Return the events of the session `asof`, the newest with any where it is None; stop and target are from the next open.

    Where a net of pictures saw the evening, each says which shape it saw and what past events like it made; where other bundles
    spoke, what they say of it. The facts name the bundle of each, or say that there was none.
    """
    day = asof or events.newest(ledger, date.max)
    rows = events.of_session(ledger, day) if day else ()
    facts: dict[str, object] = {"asof": day.isoformat() if day else None, "note": NOTE}
    if day is None or not rows:
        return View(COLUMNS, (), NOTHING, None, facts)
    records, said = spoken(ledger, folder, day)
    pictures = records.get(SEEN_BY)
    columns = (*COLUMNS, *(SEEN_COLUMNS if pictures else ()), *(SAID_COLUMNS if records.keys() & READ.keys() else ()))
    shown = tuple({**_event(row), **_seen(pictures, row.symbol), **_said(forecast(row, records))} for row in rows)
    return View(columns, shown, NOTHING, None, {**facts, "said": said})


def outcomes_of(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the events of the last `sessions` sessions that have any up to `last`, with their outcomes; facts sum up each kind."""
    days = ledger.read(date, "SELECT DISTINCT asof FROM events WHERE asof <= ? ORDER BY asof DESC LIMIT ?", (last, sessions))
    pairs = events.labelled(ledger, days[-1], days[0]) if days else []
    kinds = [_plain(one) for one in events.summaries(ledger, pairs)]
    facts = {"since": days[-1].isoformat() if days else None, "kinds": kinds, "note": NOTE}
    open_ones = {**dict.fromkeys(OUTCOME_COLUMNS[5:]), "exit": "open"}
    rows = tuple({**_event(event), **(_plain(made) if made else open_ones)} for event, made in pairs)
    return View(OUTCOME_COLUMNS, rows, NOTHING, None, facts)


def _event(row: EventRow) -> ViewRow:
    stop, side = -row.side * row.atr, "LONG" if row.side > 0 else "SHORT"
    more = {"atr": row.atr, "stop": f"{stop:+.2%}", "target": f"{-stop:+.2%}", "recorded_at": row.at.isoformat()}
    return {**_plain(row), "side": side, **more}


def _seen(record: FeatureRecord | None, symbol: str) -> ViewRow:
    if record is None:
        return {}
    found = seen(record, symbol)
    if found is None:
        return dict.fromkeys((*SEEN_COLUMNS, "picture"))
    shape, sim_conf, hist_rr = found
    said = {name: None if value is None else round(value, 3) for name, value in zip(SEEN_COLUMNS[1:], (sim_conf, hist_rr), strict=True)}
    return {"sees": str(shape), **said, "picture": record.pictures.get(symbol)}


def _said(found: EventForecast) -> ViewRow:
    """Cells of the columns, and the numbers of each distance for a program."""
    offset = None if found.entry_atr is None else f"{found.entry_atr:+.2f} ATR"
    cells = (found.probability, found.pays, found.stop and str(found.stop), found.target and str(found.target), offset)
    numbers = {f"{name}_distance": to_json(getattr(found, name)) for name in ("stop", "target")}
    return {**dict(zip(SAID_COLUMNS, cells, strict=True)), **numbers, "entry_atr": found.entry_atr}


def _plain(of: object) -> ViewRow:
    """Fields of a row as JSON has them, to four decimals, but for when it was written."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in to_json(of).items() if name != "at"}
