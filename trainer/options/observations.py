"""Features and outcomes of every underlier and session, from its chains.

`observed` puts them on the axes of bars, as `Bars.joined`. What takes time, fitting the surfaces, is kept next to the chains
under the hash of the chains that it was made of.

Features at the close of a session (30 days unless said otherwise, v(z) the volatility z standard deviations from the money):
`atm_volatility` ln v(0); `skew` (v(-1) - v(1)) / v(0); `convexity` (v(-1) + v(1)) / 2 v(0) - 1; `term_slope` ln v(0) at 91 days less
that at 30; `put_call_interest` ln of open puts over open calls; `atm_change` ln v(0) less that of five sessions before;
`variance_premium` ln v(0) less the forecast of HAR, fitted on what had ended before.

Outcomes of session t, entered at the close of t + 1: `<template>_<h>` after h sessions in vol points, `<template>_cost_<h>` the half
spreads of both ends.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.errors import TooLittleHistory
from signals.files import write_atomic
from signals.indicators.recurrence import shifted
from signals.market.bars import Bars, Floats, days_array
from signals.market.sessions import xnys
from signals.sleeves.options_vol import SURFACE
from signals.sleeves.risk import HORIZON_SESSIONS, RISK
from signals.storage.arrow import parquet_of, read_parquet
from trainer.labels.horizon import Rows
from trainer.labels.risk import volatility_labels
from trainer.learners.parameters import RidgeConfig
from trainer.learners.table import har
from trainer.options.chains import DAYS_A_YEAR
from trainer.options.curation import FOLDER, ChainFile, ChainManifest, read_chains_of, read_manifest_of_chains
from trainer.options.structures import MOST_HORIZON, TEMPLATES, hedged_path, positions
from trainer.options.surface import Flag, Surface, surface_of

VERSION = 3  # of what is kept; raised when a formula changes
SHORT_YEARS, LONG_YEARS = 30 / DAYS_A_YEAR, 91 / DAYS_A_YEAR
CHANGE_SESSIONS = 5
REFIT_SESSIONS, LEAST_ROWS = 63, 500
OF_CHAINS = tuple(name for name in SURFACE if name not in ("variance_premium", "atm_change"))
OUTCOMES = tuple(f"{name}{part}_{h}" for name in TEMPLATES for part in ("", "_cost") for h in range(1, MOST_HORIZON + 1))


def observed(bars: Bars, data: Path) -> dict[str, Floats]:
    """Return features and outcomes on the axes of `bars`, from the chains in the dataset's folder `data`.

    Raises
    ------
    BadDataset
        There are no chains, or they are not what their manifest vouches for.
    TooLittleHistory
        No underlier of the chains is among the bars.
    """
    folder = data / FOLDER
    known = read_manifest_of_chains(folder)
    found = {name: np.full(bars.close.shape, np.nan) for name in (*OF_CHAINS, *OUTCOMES)}
    files = [one for one in known.files if one.root in bars.symbols]
    if not files:
        fix = "Train on bars of the underliers"
        raise TooLittleHistory(f"no bars of {', '.join(known.roots) or 'any underlier'}", where=str(data), fix=fix)
    for one in files:
        table = _kept(folder, known, one)
        days = table.column("day").to_numpy().astype("datetime64[D]")
        rows: Rows = np.searchsorted(bars.sessions, days)
        inside = np.isin(days, bars.sessions)
        column = bars.symbols.index(one.root)
        for name, panel in found.items():
            panel[rows[inside], column] = table.column(name).to_numpy()[inside]
    atm = found["atm_volatility"]
    return {**found, "atm_change": atm - shifted(atm, CHANGE_SESSIONS), "variance_premium": atm - har_forecast(bars)}


def har_forecast(bars: Bars) -> Floats:
    """Forecast of the risk sleeve's HAR at every session, ln annualised, (T, N), fitted each quarter on labels that had ended."""
    panel, labels = RISK.panel(bars), volatility_labels(bars, HORIZON_SESSIONS)
    usable = np.isfinite(panel.values).all(axis=2) & bars.eligible
    forecast = np.full(bars.close.shape, np.nan)
    learner = har(RidgeConfig(alpha=1e-4))
    for first in range(REFIT_SESSIONS, len(bars.sessions), REFIT_SESSIONS):
        taught = usable & (labels.ends >= 0) & (labels.ends < first)
        block = slice(first, first + REFIT_SESSIONS)
        if taught.sum() < LEAST_ROWS or not usable[block].any():
            continue
        model = learner.fit(panel.values[taught], labels.values[taught], np.ones(int(taught.sum())), RISK.names)
        forecast[block][usable[block]] = model.predict(panel.values[block][usable[block]])
    return forecast


def _kept(folder: Path, known: ChainManifest, one: ChainFile) -> pa.Table:
    path = folder / f"observed-{one.root.replace('/', '-')}-{one.sha256[:12]}-{VERSION}.parquet"
    if not path.is_file():
        chains = read_chains_of(folder, known, one.root)
        columns = {"day": days_array([chain.day for chain in chains]), **of_evenings([surface_of(chain) for chain in chains])}
        write_atomic(path, parquet_of(pa.table({name: pa.array(values) for name, values in columns.items()})))
    return read_parquet(path.read_bytes())


def of_evenings(evenings: Sequence[Surface]) -> dict[str, Floats]:
    """Features and outcomes of one underlier, by the surfaces of its days, float64 (n,) each; NaN where there is none."""
    days = [evening.chain.day for evening in evenings]
    rows = [{} if evening.chain.is_late else _features_of(evening) for evening in evenings]
    calendar = xnys(days[0].replace(day=1), days[-1].replace(month=12, day=31)).days if days else ()
    number = np.searchsorted(days_array(calendar), days_array(days)).tolist()
    on = dict(zip(number, evenings, strict=True))
    for row, session in zip(rows, number, strict=True):
        path = [on.get(later) for later in range(session + 1, session + MOST_HORIZON + 2)]
        if path[0] is not None and (known := positions(path[0])) is not None:
            for name, legs in known[0].items():
                for h, (profit, cost) in enumerate(zip(*hedged_path(path, legs, known[1]), strict=True), start=1):
                    row.update({f"{name}_{h}": profit, f"{name}_cost_{h}": cost})
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in (*OF_CHAINS, *OUTCOMES)}


def _features_of(surface: Surface) -> dict[str, float]:
    """Features of one surface; none where it is not usable."""
    chain, usable = surface.chain, [smile for smile in surface.smiles if Flag.RESIDUAL not in smile.flags]
    level = surface.volatility(0.0, SHORT_YEARS) if usable else 0.0
    if not level > 0.0:
        return {}
    low, high = (surface.volatility(side * level * np.sqrt(SHORT_YEARS), SHORT_YEARS) for side in (-1.0, 1.0))
    puts, calls = (float(np.nansum(chain.open_interest[right])) for right in (~chain.is_call, chain.is_call))
    has_interest = bool(np.isfinite(chain.open_interest).any())
    has_term = len(usable) > 1 and usable[-1].years > SHORT_YEARS
    return {
        "atm_volatility": float(np.log(level)),
        "skew": (low - high) / level,
        "convexity": 0.5 * (low + high) / level - 1.0,
        "term_slope": float(np.log(surface.volatility(0.0, LONG_YEARS) / level)) if has_term else np.nan,
        "put_call_interest": float(np.log((1.0 + puts) / (1.0 + calls))) if has_interest else np.nan,
    }
