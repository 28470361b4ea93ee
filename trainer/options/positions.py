"""Positions in options: what they earned hedged, what was seen before them, and an evening's candidates.

`observed` puts features and outcomes of every underlier and session on the axes of bars, as `Bars.joined`. What takes time, fitting
the surfaces, is kept next to the chains under the hash of the chains that it was made of.

Features at the close of a session (30 days unless said otherwise, v(z) the volatility z standard deviations from the money):
`atm_volatility` ln v(0); `skew` (v(-1) - v(1)) / v(0); `convexity` (v(-1) + v(1)) / 2 v(0) - 1; `term_slope` ln v(0) at 91 days less
that at 30; `put_call_interest` ln of open puts over open calls; `atm_change` ln v(0) less that of five sessions before;
`variance_premium` ln v(0) less the forecast of HAR, fitted on what had ended before.

Outcomes are of three templates of positions: a straddle at the money, a vertical and a calendar, entered at mid at the close of the
session after the one that is scored, hedged with the forward at every close by its curve's delta, and marked at mid. A listed leg
that has lost its bid is marked between 0 and its ask: without it what lost most would be missing. `<template>_<h>` is the profit after
h sessions, `<template>_cost_<h>` the half spreads of both ends; in vol points of the vega of the straddle's call, so that names and
days compare.

A candidate is a vertical or a calendar whose forecast exceeds its half spreads: bought where the forecast is above them, sold where
it is below, at the ask of what is bought and the bid of what is sold. Units are as many as the caps of |vega| allow in its
underlier and in all together, whole contracts, never more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from pydantic import Field

from signals.config import Config
from signals.errors import TooLittleHistory
from signals.files import write_atomic
from signals.indicators.recurrence import shifted
from signals.market.bars import Bars, Floats, days_array
from signals.market.sessions import xnys
from signals.scoring.option_structures import CandidateStructure, StructureLeg
from signals.sleeves.options_vol import SURFACE
from signals.sleeves.risk import HORIZON_SESSIONS, RISK
from signals.storage.arrow import parquet_of, read_parquet
from trainer.labels.horizon import Rows
from trainer.labels.risk import volatility_labels
from trainer.learners.parameters import RidgeConfig
from trainer.learners.table import har
from trainer.options.chains import DAYS_A_YEAR, price
from trainer.options.curation import FOLDER, read_chains_of, read_manifest_of_chains
from trainer.options.surface import Flag, Mark, OptionLeg, Surface, surface_of

VERSION = 5  # of what is kept; raised when a formula changes
SHORT_YEARS, LONG_YEARS = 30 / DAYS_A_YEAR, 91 / DAYS_A_YEAR
TERM_DAYS, LEAST_TERM_DAYS, CALENDAR_GAP_DAYS, MOST_HORIZON = 30, 9, 14, 10
TEMPLATES = ("straddle", "vertical", "calendar")
POINTS, SHARES = 100.0, 100  # of a volatility of 1.0; of a contract
PAYOFF_POINTS, PAYOFF_DEVIATIONS = 61, 3.0
CHANGE_SESSIONS, REFIT_SESSIONS, LEAST_ROWS = 5, 63, 500
OF_CHAINS = tuple(name for name in SURFACE if name not in ("variance_premium", "atm_change"))
OUTCOMES = tuple(f"{name}{part}_{h}" for name in TEMPLATES for part in ("", "_cost") for h in range(1, MOST_HORIZON + 1))
Legs = tuple[OptionLeg, ...]


def observed(bars: Bars, data: Path) -> dict[str, Floats]:
    """Return features and outcomes on the axes of `bars`, from the chains in the dataset's folder `data`.

    Raises `BadDataset` where no chains can be read that a manifest vouches for, `TooLittleHistory` without bars of any underlier.
    """
    folder = data / FOLDER
    known = read_manifest_of_chains(folder)
    found = {name: np.full(bars.close.shape, np.nan) for name in (*OF_CHAINS, *OUTCOMES)}
    files = [one for one in known.files if one.root in bars.symbols]
    if not files:
        raise TooLittleHistory(f"no bars of {', '.join(known.roots)}", where=str(data), fix="Train on bars of the underliers")
    for one in files:
        path = folder / f"observed-{one.root.replace('/', '-')}-{one.sha256[:12]}-{VERSION}.parquet"
        if not path.is_file():
            evenings = [surface_of(chain) for chain in read_chains_of(folder, known, one.root)]
            columns = {"day": days_array([evening.chain.day for evening in evenings]), **of_evenings(evenings)}
            write_atomic(path, parquet_of(pa.table({name: pa.array(values) for name, values in columns.items()})))
        table = read_parquet(path.read_bytes())
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
    forecast, learner = np.full(bars.close.shape, np.nan), har(RidgeConfig(alpha=1e-4))
    for first in range(REFIT_SESSIONS, len(bars.sessions), REFIT_SESSIONS):
        taught, block = usable & (labels.ends >= 0) & (labels.ends < first), slice(first, first + REFIT_SESSIONS)
        if taught.sum() >= LEAST_ROWS and usable[block].any():
            model = learner.fit(panel.values[taught], labels.values[taught], np.ones(int(taught.sum())), RISK.names)
            forecast[block][usable[block]] = model.predict(panel.values[block][usable[block]])
    return forecast


def of_evenings(evenings: Sequence[Surface]) -> dict[str, Floats]:
    """Features and outcomes of one underlier, by the surfaces of its days, float64 (n,) each; NaN where there is none."""
    days = [evening.chain.day for evening in evenings]
    rows = [{} if evening.chain.is_late else _features_of(evening) for evening in evenings]
    calendar = xnys(days[0].replace(day=1), days[-1].replace(month=12, day=31)).days if days else ()
    number = np.searchsorted(days_array(calendar), days_array(days)).tolist()
    on = dict(zip(number, evenings, strict=True))
    for row, session in zip(rows, number, strict=True):
        path = [on.get(later) for later in range(session + 1, session + MOST_HORIZON + 2)]
        entered, vega = ({}, np.nan) if path[0] is None else positions(path[0])
        for name, legs in entered.items():
            for h, (profit, cost) in enumerate(zip(*hedged_path(path, legs, vega), strict=True), start=1):
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
    has_term = len(usable) > 1 and usable[-1].years > SHORT_YEARS
    return {
        "atm_volatility": float(np.log(level)),
        "skew": (low - high) / level,
        "convexity": 0.5 * (low + high) / level - 1.0,
        "term_slope": float(np.log(surface.volatility(0.0, LONG_YEARS) / level)) if has_term else np.nan,
        "put_call_interest": float(np.log((1.0 + puts) / (1.0 + calls))) if np.isfinite(chain.open_interest).any() else np.nan,
    }


def positions(evening: Surface) -> tuple[dict[str, Legs], float]:
    """Return the legs of each template that can be entered, and the vega of the straddle's call, USD a vol of 1.0.

    They are of the expiry nearest to 30 days of those with 9 or more; without a straddle there is nothing, and the vega is NaN.
    """
    usable = [smile for smile in evening.smiles if smile.years * DAYS_A_YEAR >= LEAST_TERM_DAYS]
    if not usable:
        return {}, np.nan
    near = min(usable, key=lambda smile: abs(smile.years * DAYS_A_YEAR - TERM_DAYS))
    leg, forward, strikes = partial(OptionLeg, near.expiration), near.quotes.forward.value, np.unique(near.quotes.strike)
    order = strikes[np.argsort(np.abs(np.log(strikes / forward)), kind="stable")].tolist()
    at = next((k for k in order if all(evening.touch(leg(k, right, 1.0)) for right in (True, False))), None)
    if at is None:
        return {}, np.nan
    call = leg(at, True, 1.0)
    found: dict[str, Legs] = {"straddle": (call, leg(at, False, 1.0))}
    deviation = float(np.sqrt(near.curve.w(np.zeros(1))[0]))
    if higher := [k for k in strikes.tolist() if k > at and evening.touch(leg(k, True, 1.0))]:
        found["vertical"] = (call, leg(min(higher, key=lambda k: abs(np.log(k / forward) - deviation)), True, -1.0))
    later = [smile for smile in evening.smiles if (smile.years - near.years) * DAYS_A_YEAR >= CALENDAR_GAP_DAYS]
    backs = (OptionLeg(smile.expiration, at, True, 1.0) for smile in later)
    if back := next((back for back in backs if evening.touch(back)), None):
        found["calendar"] = (leg(at, True, -1.0), back)
    return found, float(near.greeks(at, True, forward).vega)


def hedged_path(evenings: list[Surface | None], legs: Legs, vega: float) -> tuple[Floats, Floats]:
    """Cumulative profit after 1, 2, ... sessions and the half spreads of both ends, in vol points, float64 (n - 1,) each.

    `evenings` are those of n sessions in a row, the entry's first; from a session without a mark, or a split, on both are NaN.
    """
    profit, cost = np.full((2, len(evenings) - 1), np.nan)
    marks, hedge, entry = list[Mark](), 0.0, evenings[0]
    for place, evening in enumerate(evenings):
        if evening is None or entry is None or not entry.chain.carries_to(evening.chain) or (now := evening.mark(legs)) is None:
            break
        marks.append(now)
        if place:
            hedge -= float(marks[-2].delta @ (now.forward - marks[-2].forward))
            profit[place - 1] = POINTS / vega * (now.mid - marks[0].mid + hedge)
            cost[place - 1] = POINTS / vega * (marks[0].half_spread + now.half_spread)
    return profit, cost


class VegaCaps(Config):
    """Most |vega| of all positions, USD a vol point: in one underlier, and in all together."""

    name_usd: float = Field(default=100.0, gt=0)
    total_usd: float = Field(default=500.0, gt=0)

    def units(self, vega_usd: float, count: ArrayLike) -> Floats:
        """How many units of a structure with this vega a unit, USD a vol point, one of `count` underliers may have."""
        return np.minimum(self.name_usd, self.total_usd / np.maximum(count, 1)) / abs(vega_usd)


class Forecast(NamedTuple):
    """Forecast of a model for a template of an underlier: profit in vol points, and P(net profit > 0) of the side that it takes, or NaN."""

    points: float
    probability: float


Forecasts = Mapping[tuple[str, str], Forecast]  # by underlier and template


def candidates(evenings: Mapping[str, Surface], forecasts: Forecasts, caps: VegaCaps) -> tuple[CandidateStructure, ...]:
    """Return the structures to show, of evenings by underlier."""
    wanted: list[tuple[str, str, Legs, Forecast]] = []
    for root, evening in evenings.items():
        legs_of, vega = positions(evening)
        for template, legs in legs_of.items() if evening.chain.spot > 0.0 else ():  # a payoff needs the underlier's close
            forecast, mark = forecasts.get((root, template)), evening.mark(legs)
            if forecast is not None and mark is not None and abs(forecast.points) > POINTS / vega * 2.0 * mark.half_spread:  # both ends
                side = 1.0 if forecast.points > 0.0 else -1.0
                wanted.append((root, template, tuple(replace(leg, quantity=side * leg.quantity) for leg in legs), forecast))
    per_name = Counter(root for root, *_ in wanted)
    found = []
    for root, template, signed, forecast in wanted:
        vega = SHARES * evenings[root].greeks(signed).vega / POINTS
        if vega and (units := float(np.floor(caps.units(vega, len(per_name)) / per_name[root]))) >= 1.0:
            found.append(_candidate(evenings[root], template, signed, forecast, units))
    return tuple(found)


def _candidate(evening: Surface, template: str, legs: Legs, said: Forecast, units: float) -> CandidateStructure:
    """Price marked legs at the touch."""
    priced: list[StructureLeg] = []
    for leg in legs:
        if (touch := evening.touch(leg)) is not None:
            what = {"expiration": leg.expiration.astype(object), "strike": leg.strike, "right": "C" if leg.is_call else "P"}
            priced.append(StructureLeg(**what, quantity=leg.quantity, bid=touch[0], ask=touch[1]))
    debit = sum(leg.quantity * (leg.ask if leg.quantity > 0 else leg.bid) for leg in priced)
    greeks, expiries = evening.greeks(legs), {leg.expiration for leg in legs}
    return CandidateStructure(
        root=evening.chain.root,
        template=template,
        side="buy" if said.points > 0.0 else "sell",
        legs=tuple(priced),
        units=units,
        debit_usd=SHARES * debit,
        delta_shares=SHARES * greeks.delta,
        gamma_shares=SHARES * greeks.gamma,
        vega_usd=SHARES * greeks.vega / POINTS,
        theta_usd=SHARES * greeks.theta / DAYS_A_YEAR,
        expected_points=said.points,
        probability=said.probability if np.isfinite(said.probability) else None,
        underlier=evening.chain.spot,
        flags=tuple(sorted({str(flag) for smile in evening.smiles for flag in smile.flags if smile.expiration in expiries})),
        payoff=_payoff(legs, evening, debit),
    )


def _payoff(legs: Legs, evening: Surface, debit: float) -> tuple[tuple[float, float], ...]:
    """Prices of the underlier and profits of a unit at the first expiry of legs with curves; later legs at their own volatility."""
    smiles = {smile.expiration: smile for smile in evening.smiles}
    first = min((smiles[leg.expiration] for leg in legs), key=lambda smile: smile.years)
    reach = PAYOFF_DEVIATIONS * float(np.sqrt(max(float(first.curve.w(np.zeros(1))[0]), 1e-8)))
    at = evening.chain.spot * np.exp(np.linspace(-reach, reach, PAYOFF_POINTS))
    value = np.full(PAYOFF_POINTS, -debit)
    for leg in legs:
        later, worth = smiles[leg.expiration], np.maximum(at - leg.strike if leg.is_call else leg.strike - at, 0.0)
        if later is not first:
            ratio, discount = (getattr(later.quotes.forward, name) / getattr(first.quotes.forward, name) for name in ("value", "discount"))
            deviation = later.volatility_at(leg.strike) * np.sqrt(later.years - first.years)
            worth = price(at * ratio, leg.strike, deviation, discount, leg.is_call)
        value += leg.quantity * worth
    return tuple(zip(at.tolist(), (SHARES * value).tolist(), strict=True))
