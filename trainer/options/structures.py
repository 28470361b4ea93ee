"""Positions in options: the templates that outcomes are measured on, and an evening's candidates among them.

A straddle at the money, a vertical and a calendar, each delta-hedged: entered at the close of the session after the one that is
scored, at mid with half spreads counted as cost, hedged with the forward at every close by its curve's delta, and marked at mid.
Profits are in vol points of the vega of the straddle's call, so that names and days compare.

A candidate is a vertical or a calendar whose forecast exceeds its half spreads: bought where the forecast is above them, sold where
it is below, at the ask of what is bought and the bid of what is sold. Units are as many as the caps of |vega| allow in its
underlier and in all together, whole contracts, never more.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from pydantic import Field
from scipy.special import ndtr, ndtri

from signals.config import Config
from signals.market.bars import Floats
from signals.scoring.option_structures import CandidateStructure, StructureLeg
from trainer.options.black import price
from trainer.options.chains import DAYS_A_YEAR
from trainer.options.surface import Mark, OptionLeg, Surface

TERM_DAYS, LEAST_TERM_DAYS, CALENDAR_GAP_DAYS = 30, 9, 14
MOST_HORIZON = 10
POINTS = 100.0
TEMPLATES = ("straddle", "vertical", "calendar")
LEVEL, POWER = 0.05, 0.80
LEAST_SESSIONS = 504  # of a history that is evidence
SHARES = 100  # of a contract
PAYOFF_POINTS, PAYOFF_DEVIATIONS = 61, 3.0
Legs = tuple[OptionLeg, ...]


def positions(evening: Surface) -> tuple[dict[str, Legs], float] | None:
    """Return the legs of each template that can be entered, and the vega of the straddle's call, USD a vol of 1.0.

    They are of the expiry nearest to 30 days of those with 9 or more; None without a straddle.
    """
    usable = [smile for smile in evening.smiles if smile.years * DAYS_A_YEAR >= LEAST_TERM_DAYS]
    if not usable:
        return None
    near = min(usable, key=lambda smile: abs(smile.years * DAYS_A_YEAR - TERM_DAYS))
    leg, forward, strikes = partial(OptionLeg, near.expiration), near.quotes.forward.value, np.unique(near.quotes.strike)
    order = strikes[np.argsort(np.abs(np.log(strikes / forward)), kind="stable")].tolist()
    at = next((k for k in order if all(evening.touch(leg(k, right, 1.0)) for right in (True, False))), None)
    if at is None:
        return None
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

    `evenings` are those of n sessions in a row, the entry's first; from a session without a mark on both are NaN.
    """
    profit, cost = np.full(len(evenings) - 1, np.nan), np.full(len(evenings) - 1, np.nan)
    marks: list[Mark] = []
    hedge = 0.0
    for place, evening in enumerate(evenings):
        if evening is None or (now := evening.mark(legs)) is None:
            break
        marks.append(now)
        if place:
            hedge -= float(marks[-2].delta @ (now.forward - marks[-2].forward))
            profit[place - 1] = POINTS / vega * (now.mid - marks[0].mid + hedge)
            cost[place - 1] = POINTS / vega * (marks[0].half_spread + now.half_spread)
    return profit, cost


def refusal(profits: Floats, least: int = LEAST_SESSIONS, unit: str = "vol points", counted: int | None = None) -> str:
    """Say that so few sessions are no evidence, and how many a mean as large as the one seen would take.

    `profits` are of each session, float64 (T,), in the `unit`, NaN where there is none; `counted` are the sessions that have the
    outcome asked for, where it is another than the one of a session.
    """
    known = profits[np.isfinite(profits)]
    n = len(known)
    said = f"{n if counted is None else counted} sessions of hedged profits are no evidence of a premium; {least} are asked for"
    if n < 2:
        return said
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    needed = ((ndtri(1.0 - LEVEL) + ndtri(POWER)) * deviation / mean) ** 2 if mean else np.inf
    seen = float(ndtr(abs(mean) * np.sqrt(n) / deviation - ndtri(1.0 - LEVEL))) if deviation > 0.0 else 0.0
    return (
        f"{said}. {'Their mean' if counted in (None, n) else f'The mean of {n} profits of a session'} is {mean:+.2f} {unit} with a "
        f"deviation of {deviation:.2f}, from {known.min():+.1f} to {known.max():+.1f}: were it the truth, {n} sessions would show it in "
        f"{seen:.0%} of histories, and {needed:,.0f} sessions in {POWER:.0%}"
    )


class VegaCaps(Config):
    """Most |vega| of all positions, USD a vol point: in one underlier, and in all together."""

    name_usd: float = Field(default=100.0, gt=0)
    total_usd: float = Field(default=500.0, gt=0)

    def units(self, vega_usd: float, count: int) -> float:
        """How many units of a structure with this vega a unit, USD a vol point, one of `count` underliers may have."""
        return min(self.name_usd, self.total_usd / max(count, 1)) / abs(vega_usd) if vega_usd else 0.0


@dataclass(frozen=True)
class Forecast:
    """Forecast of a model for a template of an underlier: profit in vol points, and P(net profit > 0) of the side that it takes, or NaN."""

    points: float
    probability: float


def candidates(
    evenings: Mapping[str, Surface], forecasts: Mapping[tuple[str, str], Forecast], caps: VegaCaps
) -> tuple[CandidateStructure, ...]:
    """Return the structures to show: of evenings by root, forecasts by (root, template)."""
    wanted: list[tuple[str, str, Legs, Forecast]] = []
    for root, evening in evenings.items():
        if (known := positions(evening)) is None or not evening.chain.spot > 0.0:  # a payoff needs the underlier's close
            continue
        for template, legs in known[0].items():
            forecast, mark = forecasts.get((root, template)), evening.mark(legs)
            if forecast is not None and mark is not None and abs(forecast.points) > POINTS / known[1] * 2.0 * mark.half_spread:  # both ends
                side = 1.0 if forecast.points > 0.0 else -1.0
                wanted.append((root, template, tuple(replace(leg, quantity=side * leg.quantity) for leg in legs), forecast))
    per_name = Counter(root for root, *_ in wanted)
    found = []
    for root, template, signed, forecast in wanted:
        figures = {name: SHARES * value for name, value in evenings[root].greeks(signed).items()}
        units = float(np.floor(caps.units(figures["vega"] / POINTS, len(per_name)) / per_name[root]))
        if units >= 1.0:
            found.append(_candidate(evenings[root], template, signed, forecast, units, figures))
    return tuple(found)


def _candidate(
    evening: Surface, template: str, signed: Legs, forecast: Forecast, units: float, figures: Mapping[str, float]
) -> CandidateStructure:
    """Price marked legs at the touch; `figures` are the greeks of a unit."""
    quoted = [(leg, touch) for leg in signed if (touch := evening.touch(leg)) is not None]
    debit = sum(leg.quantity * (touch[1] if leg.quantity > 0 else touch[0]) for leg, touch in quoted)
    spot, value = _payoff(signed, evening, debit)
    expiries = {leg.expiration for leg in signed}
    return CandidateStructure(
        root=evening.chain.root,
        template=template,
        side="buy" if forecast.points > 0.0 else "sell",
        legs=tuple(
            StructureLeg(
                expiration=leg.expiration.astype(object),
                strike=leg.strike,
                right="C" if leg.is_call else "P",
                quantity=leg.quantity,
                bid=bid,
                ask=ask,
            )
            for leg, (bid, ask) in quoted
        ),
        units=units,
        debit_usd=SHARES * debit,
        delta_shares=figures["delta"],
        gamma_shares=figures["gamma"],
        vega_usd=figures["vega"] / POINTS,
        theta_usd=figures["theta"] / DAYS_A_YEAR,
        expected_points=forecast.points,
        probability=forecast.probability if np.isfinite(forecast.probability) else None,
        underlier=evening.chain.spot,
        flags=tuple(sorted({str(flag) for smile in evening.smiles for flag in smile.flags if smile.expiration in expiries})),
        payoff_underlier=tuple(spot.tolist()),
        payoff_usd=tuple((SHARES * value).tolist()),
    )


def _payoff(legs: Legs, evening: Surface, debit: float) -> tuple[Floats, Floats]:
    """Underlier and profit a share at the first expiry of legs with curves; later legs at their own volatility, (61,) each."""
    smiles = {smile.expiration: smile for smile in evening.smiles}
    first = smiles[min(leg.expiration for leg in legs)]
    reach = PAYOFF_DEVIATIONS * float(np.sqrt(max(float(first.curve.w(np.zeros(1))[0]), 1e-8)))
    at = evening.chain.spot * np.exp(np.linspace(-reach, reach, PAYOFF_POINTS))
    value = np.full(PAYOFF_POINTS, -debit)
    for leg in legs:
        later = smiles[leg.expiration]
        if later is first:
            value += leg.quantity * np.maximum(at - leg.strike if leg.is_call else leg.strike - at, 0.0)
            continue
        ratio, discount = (getattr(later.quotes.forward, name) / getattr(first.quotes.forward, name) for name in ("value", "discount"))
        deviation = later.volatility_at(leg.strike) * np.sqrt(later.years - first.years)
        value += leg.quantity * price(at * ratio, leg.strike, deviation, discount, leg.is_call)
    return at, value
