"""Candidates of an evening: the vertical and the calendar of every underlier whose forecast exceeds its spreads, at the touch.

A structure is bought where the forecast is above its half spreads, sold where it is below them, at the ask of what is bought and the
bid of what is sold. Units are as many as the caps of |vega| allow in its underlier and in all together, whole contracts, never more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from signals.config import Config
from signals.market.bars import Floats
from signals.scoring.option_structures import CandidateStructure, StructureLeg
from trainer.options.chains.chain import DAYS_A_YEAR
from trainer.options.research.templates import POINTS, positions
from trainer.options.surface.black import price
from trainer.options.surface.surface import OptionLeg, Surface

SHARES = 100  # of a contract
PAYOFF_POINTS, PAYOFF_DEVIATIONS = 61, 3.0


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
    wanted: list[tuple[str, str, tuple[OptionLeg, ...], Forecast]] = []
    for root, evening in evenings.items():
        if (known := positions(evening)) is None or not evening.chain.spot > 0.0:  # a payoff needs the underlier's close
            continue
        for template, legs in known[0].items():
            forecast, mark = forecasts.get((root, template)), evening.mark(legs)
            if template == "straddle" or forecast is None or mark is None:
                continue
            if abs(forecast.points) > POINTS / known[1] * 2.0 * mark.half_spread:  # both ends
                side = 1.0 if forecast.points > 0.0 else -1.0
                wanted.append((root, template, tuple(replace(leg, quantity=side * leg.quantity) for leg in legs), forecast))
    per_name = Counter(root for root, *_ in wanted)
    found = []
    for root, template, signed, forecast in wanted:
        vega_usd = SHARES * evenings[root].greeks(signed)["vega"] / POINTS
        if (units := float(np.floor(caps.units(vega_usd, len(per_name)) / per_name[root]))) >= 1.0:
            found.append(_candidate(evenings[root], template, signed, forecast, units))
    return tuple(found)


def _candidate(evening: Surface, template: str, signed: tuple[OptionLeg, ...], forecast: Forecast, units: float) -> CandidateStructure:
    quoted = [(leg, touch) for leg in signed if (touch := evening.touch(leg)) is not None]
    debit = sum(leg.quantity * (touch[1] if leg.quantity > 0 else touch[0]) for leg, touch in quoted)
    figures = evening.greeks(signed)
    spot, value = payoff(signed, evening, debit)
    flags = {flag for leg in signed if (smile := evening.smile(leg.expiration)) is not None for flag in smile.flags}
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
        delta_shares=SHARES * figures["delta"],
        gamma_shares=SHARES * figures["gamma"],
        vega_usd=SHARES * figures["vega"] / POINTS,
        theta_usd=SHARES * figures["theta"] / DAYS_A_YEAR,
        expected_points=forecast.points,
        probability=forecast.probability if np.isfinite(forecast.probability) else None,
        underlier=evening.chain.spot,
        flags=tuple(sorted(str(flag) for flag in flags)),
        payoff_underlier=tuple(spot.tolist()),
        payoff_usd=tuple((SHARES * value).tolist()),
    )


def payoff(legs: Sequence[OptionLeg], evening: Surface, debit: float) -> tuple[Floats, Floats]:
    """Underlier and profit a share at the first expiry; later legs at their own volatility, (61,) each."""
    first = min(leg.expiration for leg in legs)
    smile = evening.smile(first)
    spot = evening.chain.spot
    if smile is None or not spot > 0.0:
        return np.zeros(0), np.zeros(0)
    reach = PAYOFF_DEVIATIONS * float(np.sqrt(max(float(smile.curve.w(np.zeros(1))[0]), 1e-8)))
    at = spot * np.exp(np.linspace(-reach, reach, PAYOFF_POINTS))
    value = np.full(PAYOFF_POINTS, -debit)
    for leg in legs:
        later = evening.smile(leg.expiration)
        if leg.expiration == first or later is None:
            inside = at - leg.strike if leg.is_call else leg.strike - at
            value += leg.quantity * np.maximum(inside, 0.0)
            continue
        rest = later.years - smile.years
        ratio = later.quotes.forward.value / smile.quotes.forward.value
        discount = later.quotes.forward.discount / smile.quotes.forward.discount
        value += leg.quantity * price(at * ratio, leg.strike, later.volatility_at(leg.strike) * np.sqrt(rest), discount, leg.is_call)
    return at, value
