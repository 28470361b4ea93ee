"""The risk bundle's forecasts of one evening, per name: volatility over each horizon with its band, and the drawdown.

The first one scales the book's risk; the others are recorded and reported. They are kept as the features of an evening are:
one file, named with its SHA-256 by the row of the score job.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from appliance.bundles.feature_record import FeatureRecord
from signals.bundle import Bundle
from signals.scoring.scoring import HeadOutputs

KEPT_AS, VOLATILITY, LOW, HIGH = "risk-forecasts", "volatility_", "_low", "_high"


@dataclass(frozen=True)
class RiskForecast:
    """One forecast over the names of a book: their median, and the highest with its name; ratios, annualised for volatility."""

    forecast: str
    names: int
    median: float
    highest: float
    highest_name: str


def record_of(bundle: Bundle, found: HeadOutputs, snapshot_id: str) -> FeatureRecord:
    """Return what every head says in its natural unit: a volatility or drawdown as a ratio, of which a band's edges ascend."""
    first = bundle.manifest.heads[0].name
    columns = {}
    for line in bundle.manifest.heads:
        name = f"{VOLATILITY}{bundle.manifest.horizon_sessions}" if line.name == first else line.name
        raw = line.head.reduce(found.raw[line.name])
        columns[name] = np.exp(raw) if name.startswith(VOLATILITY) else raw
    for low in [name for name in columns if name.endswith(LOW)]:
        high = low.removesuffix(LOW) + HIGH
        if high in columns:  # the edges are fitted apart and may cross: the band is what is between them
            columns[low], columns[high] = np.minimum(columns[low], columns[high]), np.maximum(columns[low], columns[high])
    values = np.column_stack(list(columns.values())).astype("<f4").tobytes()
    return FeatureRecord(found.asof, KEPT_AS, bundle.sha256, snapshot_id, tuple(columns), found.symbols, values)


def over_book(record: FeatureRecord, weights: Mapping[str, float]) -> tuple[RiskForecast, ...]:
    """Summarise each forecast over the names that the book holds or aims at; what none of them has is left out."""
    held = sorted(symbol for symbol, weight in weights.items() if weight and symbol in set(record.symbols))
    if not held:
        return ()
    said = {symbol: {one.name: one.value for one in record.of(symbol)} for symbol in held}
    found = (_summary(name, {symbol: row[name] for symbol, row in said.items()}, held) for name in record.names)
    return tuple(one for one in found if one is not None)


def _summary(name: str, values: Mapping[str, float | None], held: Collection[str]) -> RiskForecast | None:
    known = {symbol: value for symbol in held if (value := values[symbol]) is not None}
    if not known:
        return None
    highest = max(sorted(known), key=lambda symbol: known[symbol])
    return RiskForecast(name, len(known), median(known.values()), known[highest], highest)
