"""Invented events of the demo device, what became of them, and what bundles say of the newest."""

import math
import struct
from base64 import b64encode
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from appliance.bundles.feature_record import FeatureRecord
from appliance.ledger import Ledger, events
from appliance.ledger.events import EventRow, OutcomeRow
from appliance.ledger.figures import ShownFile
from appliance.tui.demo.model_history import keep
from appliance.tui.demo.simulated_account import DemoSymbol
from signals.events.recorded import FALLING, RISING, RULES, SIZE, WICK, to_png
from signals.files import sha256_of
from signals.market.sessions import Calendar

KINDS = {"breakout": 6, "flag": 2, "wick": 1, "wedge": 1, "blow-off": 1}
CLASSES = ("none", "flag", "wedge", "blow-off", "wick")
SEED, SESSIONS = 5, 60
UNPROVEN = "direction is not above one half by its lower bound"


def record_events(
    ledger: Ledger, folder: Path, names: Sequence[DemoSymbol], table: Calendar, asof: date, at: datetime
) -> dict[str, ShownFile]:
    """Record the events of the sessions up to `asof` and their outcomes; return what the score job's row says of its bundles' records."""
    rng, last = Random(SEED), table.index(asof)
    days, newest = table.days[last - SESSIONS + 1 : last + 1], dict[str, EventRow]()
    prices = {name.symbol: float(name.price) for name in names}
    for place, day in enumerate(days):
        newest = {symbol: _event(rng, day, symbol, table) for symbol in sorted(rng.sample(sorted(prices), rng.randint(4, 8)))}
        events.save(ledger, newest.values())
        events.save(ledger, [made for one in newest.values() if (made := _outcome(rng, one, days[place:], at))])
    seen, forecasts, gate = dict[str, list[float]](), dict[str, list[float]](), dict[str, list[float]]()
    for symbol, one in newest.items():
        sure, shape = rng.uniform(0.5, 0.95), one.kind if one.kind in CLASSES else "none"
        odds = [sure if name == shape else (1.0 - sure) / (len(CLASSES) - 1) for name in CLASSES]
        seen[symbol] = [*odds, math.log(one.pole_katr or 1.0), rng.uniform(0.3, 0.8), rng.gauss(0.1, 0.4)]
        forecasts[symbol] = [rng.uniform(0.8, 1.9), rng.uniform(1.0, 3.0), prices[symbol]]
        gate[symbol] = [rng.uniform(0.4, 0.65)]
    pictures = {symbol: _picture(rng, one) for symbol, one in newest.items()}
    said = (
        ("patterns", (*(f"p_{name}" for name in CLASSES), "pole", "sim_conf", "hist_rr_pct"), seen, None),
        ("event_gate", ("probability",), gate, UNPROVEN),
        ("event_quantiles", ("stop_4", "target_30", "close"), forecasts, None),
    )
    shown = {}
    for sleeve, columns, cells, refusal in said:
        values = b"".join(struct.pack(f"<{len(columns)}f", *cells[symbol]) for symbol in newest)
        mine = pictures if cells is seen else {}
        record = FeatureRecord(asof, sleeve, sha256_of(f"demo {sleeve}".encode()), sha256_of(b"demo"), columns, tuple(newest), values, mine)
        role = "evaluation" if refusal else "champion"
        shown[sleeve] = ShownFile(**vars(keep(folder, record)), role=role, refusal=refusal)
    return shown


def _event(rng: Random, day: date, symbol: str, table: Calendar) -> EventRow:
    (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
    pole = rng.uniform(3.0, 6.0) if kind == "flag" else None
    third = rng.choice(("low", "middle", "high"))
    at = table.session(day).close + timedelta(hours=2)
    return EventRow(day, symbol, kind, rng.choice((1, -1)), rng.uniform(0.02, 1.2), pole, rng.uniform(0.012, 0.028), third, at)


def _outcome(rng: Random, event: EventRow, days: Sequence[date], at: datetime) -> OutcomeRow | None:
    """What became of an event on the first of the days; None while its trade is open."""
    bars, how = 1 + int(rng.expovariate(0.2)), rng.choice(("target", "stop"))
    if bars >= min(len(days), RULES.patience):
        return None
    is_over, is_won = len(days) > RULES.patience, how == "target"
    far = {True: 1.0 + rng.expovariate(1.5), False: rng.random()}
    moves: tuple[float | None, float | None] = (far[is_won], far[not is_won]) if is_over else (None, None)
    return OutcomeRow(
        event.asof, event.symbol, how, 1.0 if is_won else -1.0, far[is_won], far[not is_won], *moves, *moves,
        bars if is_won else 0 if is_over else None, 0 if is_over and is_won else None if is_won else bars, False,
        days[bars], days[RULES.patience] if is_over else None, is_over, at,
    )  # fmt: skip


def _picture(rng: Random, event: EventRow) -> str:
    """A walk of 64 bars that ends with the event's side, as candles in a picture's first channel; PNG in base64."""
    close, bars = 0.0, list[tuple[float, float, float, float]]()
    for bar in range(SIZE):
        opened = close + rng.gauss(0.0, 0.2)
        close = opened + rng.gauss(0.0 if bar < SIZE - 4 else 1.2 * event.side, 1.0)
        bars.append((opened, max(opened, close) + rng.expovariate(2.0), min(opened, close) - rng.expovariate(2.0), close))
    top, bottom = max(high for _, high, _, _ in bars), min(low for _, _, low, _ in bars)
    pixels = bytearray(3 * SIZE * SIZE)
    for bar, prices in enumerate(bars):
        opened, high, low, close = (round((top - price) / (top - bottom) * (SIZE - 1)) for price in prices)
        ink = RISING if prices[3] >= prices[0] else FALLING
        for level in range(high, low + 1):
            pixels[3 * (SIZE * level + bar)] = ink if min(opened, close) <= level <= max(opened, close) else WICK
    return b64encode(to_png(bytes(pixels))).decode()
