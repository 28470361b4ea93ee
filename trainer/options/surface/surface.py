"""The surface of one underlying and day: a slice an expiry, each with what its quality is.

Entry point: `surface_of`. Expiries are fitted in their order. A slice that has a negative density or falls below the one
before it is fitted again with both forbidden. Where that costs little of the quotes' own width they did not mean it; where it
costs more they hold an arbitrage: the slice is flagged, and no curve is bent away from its quotes to hide it. What no fit
makes free of butterflies is replaced by the guaranteed repair, or by the slice of the SSVI surface, and flagged. A curve that
leaves quotes outside their bid and ask is bent to them with a spline, as far as that adds no fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats
from trainer.options.chains.chain import DAYS_A_YEAR, OptionChain
from trainer.options.chains.parity import forward_of
from trainer.options.surface.black import Greeks, greeks
from trainer.options.surface.quotes import SmileQuotes, butterflies, calendars, quotes_of
from trainer.options.surface.ssvi import Ssvi, fitted_surface
from trainer.options.surface.svi import LEAST_QUOTES, LEAST_W, MOST_SLOPE, Bend, Svi, bent, checked, fitted, guaranteed

LEAST_DAYS = 2  # a slice of one day is all rounding
ENOUGH_QUOTES = 20  # a slice with fewer leans on the surface of all expiries
STRAIN = 0.25  # of a half width: what a repair may cost before the quotes are said to mean the arbitrage
RESIDUAL_WIDTHS, RESIDUAL_POINTS = 2.0, 0.01  # of a slice's RMSE: twice the half width, or one vol point
FLOOR_WIDTH = 0.3  # of the median half width: no quote counts as narrower
TOLERANCE = 1e-9
SHARES = (1.0, 0.75, 0.5, 0.25)


class Flag(StrEnum):
    """Defect of a slice."""

    BUTTERFLY = "butterfly"
    CALENDAR = "calendar"
    SLOPE = "slope"
    RESIDUAL = "residual"
    FALLBACK = "fallback"


class Curve(StrEnum):
    """Where a slice's curve is from."""

    SVI = "svi"
    REPAIRED = "repaired"
    GUARANTEED = "guaranteed"
    SSVI = "ssvi"
    BENT = "bent"


@dataclass(frozen=True, eq=False)
class Smile:
    """One expiry.

    Attributes
    ----------
    expiration : datetime64[D]
    curve : Svi
        Total variance by k.
    rmse, half_width : float, annualised volatility
        Of the curve against mids; median of the quotes' own.
    inside : float
        Share of the quotes whose bid and ask hold the curve.
    """

    expiration: np.datetime64
    quotes: SmileQuotes
    curve: Svi
    source: Curve
    flags: tuple[Flag, ...]
    rmse: float
    half_width: float
    inside: float

    @property
    def years(self) -> float:
        """Time to expiry."""
        return self.quotes.years

    def volatility(self, k: Floats) -> Floats:
        """Annualised volatility at ln(K/F), shape of `k`."""
        found: Floats = np.sqrt(np.maximum(self.curve.w(np.asarray(k, dtype=np.float64)), LEAST_W) / self.years)
        return found

    def greeks(self, strike: float, is_call: bool, spot: float) -> Greeks:
        """Derivatives of the price of an option at this expiry, at the curve's own volatility."""
        forward = self.quotes.forward
        return greeks(spot, forward.value, strike, self.volatility_at(strike), self.years, forward.discount, is_call)

    def volatility_at(self, strike: float) -> float:
        """Annualised volatility of a strike."""
        return float(self.volatility(np.log(strike / np.array(self.quotes.forward.value))))


@dataclass(frozen=True, eq=False)
class Surface:
    """All usable expiries of one underlying and day, the earliest first; `left_out` says why another is not among them."""

    root: str
    day: date
    spot: float
    smiles: tuple[Smile, ...]
    left_out: Mapping[str, str]

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Flags of any slice, each once."""
        return tuple(dict.fromkeys(flag for smile in self.smiles for flag in smile.flags))

    def smile(self, expiration: np.datetime64) -> Smile | None:
        """Return the slice of an expiration; None where there is none."""
        return next((smile for smile in self.smiles if smile.expiration == expiration), None)

    def volatility(self, k: float, years: float) -> float:
        """Annualised volatility at ln(K/F) and time: total variance is linear between expiries, volatility constant beyond."""
        times = np.array([smile.years for smile in self.smiles])
        w = np.array([float(smile.curve.w(np.array(k))) for smile in self.smiles])
        if years <= times[0] or years >= times[-1]:
            place = 0 if years <= times[0] else -1
            return float(np.sqrt(max(w[place], 0.0) / times[place]))
        return float(np.sqrt(max(float(np.interp(years, times, w)), 0.0) / years))


def surface_of(chain: OptionChain) -> Surface:
    """Fit the surface of a chain; an expiry that cannot be fitted is left out with its reason."""
    left_out: dict[str, str] = {}
    usable: list[tuple[np.datetime64, SmileQuotes, OptionChain]] = []
    for expiration, rows in chain.slices():
        quotes = _usable(rows, chain.years(expiration))
        if isinstance(quotes, str):
            left_out[str(expiration)] = quotes
        else:
            usable.append((expiration, quotes, rows))

    @cache
    def prior() -> Ssvi | None:
        return fitted_surface([quotes for _, quotes, _ in usable])

    smiles: list[Smile] = []
    crossed = calendars([quotes for _, quotes, _ in usable])
    for place, (expiration, quotes, rows) in enumerate(usable):
        found = _smile(expiration, quotes, smiles[-1] if smiles else None, prior)
        at_touch = ([Flag.BUTTERFLY] if butterflies(rows) else []) + ([Flag.CALENDAR] if place in crossed else [])
        smiles.append(replace(found, flags=tuple(dict.fromkeys((*found.flags, *at_touch)))))
    return Surface(chain.root, chain.day, chain.spot, tuple(smiles), left_out)


def _usable(rows: OptionChain, years: float) -> SmileQuotes | str:
    """Return the quotes of an expiry, or why there are none to fit."""
    if years * DAYS_A_YEAR < LEAST_DAYS - 0.5:
        return "expires within a day"
    forward = forward_of(rows, years)
    if forward is None:
        return "no forward: too few strikes have a call and a put"
    quotes = quotes_of(rows, years, forward)
    return quotes if len(quotes) >= LEAST_QUOTES else f"{len(quotes)} usable quotes, {LEAST_QUOTES} are needed"


def _smile(expiration: np.datetime64, quotes: SmileQuotes, before: Smile | None, prior: Callable[[], Ssvi | None]) -> Smile:
    width = np.maximum(quotes.half_width, FLOOR_WIDTH * float(np.median(quotes.half_width)) + 1e-12)

    def fallback() -> Svi | None:
        surface = prior()
        return None if surface is None else surface.at(quotes.years)

    k, deviation, weight = _with_prior(quotes, width, fallback)
    raw = fitted(k, deviation, weight)
    flags: list[Flag] = []
    if raw is None:
        known = fallback()
        assert known is not None
        return _judged(expiration, quotes, known, Curve.SSVI, [Flag.FALLBACK], before)
    places, least = _judged_at(quotes, before)
    negative, below = faults(raw, places, least)
    curve, source = raw, Curve.SVI
    if negative or below:
        repaired = fitted(k, deviation, weight, start=raw, floor=(places, least))
        if _costs_little(repaired, raw, quotes, width):
            curve, source = repaired or raw, Curve.REPAIRED
        else:
            flags += [Flag.BUTTERFLY] * negative + [Flag.CALENDAR] * below
    if faults(curve, places, np.zeros(len(places)))[0]:  # a crossing may stay, flagged; a negative density may not
        curve, source = _without_butterfly(raw, (k, deviation, weight), quotes, places, fallback())
        if not _costs_little(curve, raw, quotes, width):
            flags.append(Flag.BUTTERFLY)
        flags += [Flag.FALLBACK] * (source is not Curve.REPAIRED)
    if source in (Curve.SVI, Curve.REPAIRED) and not _holding(quotes, curve).all():
        curve, source = _followed(curve, source, bent(curve, k, deviation, weight), (places, least))
    return _judged(expiration, quotes, curve, source, flags, before)


def _judged(expiration: np.datetime64, quotes: SmileQuotes, curve: Svi, source: Curve, flags: list[Flag], before: Smile | None) -> Smile:
    """Flag what the chosen curve itself shows, whatever was found on the way to it."""
    negative, below = faults(curve, *_judged_at(quotes, before))
    scale = 1.0 / np.sqrt(quotes.years)
    model = np.sqrt(np.maximum(curve.w(quotes.k), 0.0))
    rmse = float(np.sqrt(np.mean((model - quotes.deviation) ** 2))) * scale
    half_width = float(np.median(quotes.half_width)) * scale
    found = [*flags, *[Flag.BUTTERFLY] * negative, *[Flag.CALENDAR] * below]
    found += [Flag.SLOPE] * int(max(curve.slopes) > MOST_SLOPE * (1.0 - 1e-4))
    found += [Flag.RESIDUAL] * int(rmse > max(RESIDUAL_WIDTHS * half_width, RESIDUAL_POINTS))
    inside = float(np.mean(_holding(quotes, curve)))
    return Smile(expiration, quotes, curve, source, tuple(dict.fromkeys(found)), rmse, half_width, inside)


def _holding(quotes: SmileQuotes, curve: Svi) -> NDArray[np.bool_]:
    """Whether bid and ask of each quote hold the curve."""
    model = np.sqrt(np.maximum(curve.w(quotes.k), 0.0))
    return (model >= quotes.low - TOLERANCE) & (model <= quotes.high + TOLERANCE)


def _followed(curve: Svi, source: Curve, bend: Bend, judged: tuple[Floats, Floats]) -> tuple[Svi, Curve]:
    """Add the largest share of a spline that brings no fault that the curve does not have."""
    known = faults(curve, *judged)
    for share in SHARES:
        one = replace(curve, bend=bend.times(share))
        if all(new <= old for new, old in zip(faults(one, *judged), known, strict=True)):
            return one, Curve.BENT
    return curve, source


def faults(curve: Svi, places: Floats, least: Floats) -> tuple[bool, bool]:
    """Whether a curve has a negative density or variance at the places, and whether it falls below `least` there."""
    w = curve.w(places)
    negative = bool((w <= 0.0).any()) or bool((curve.g(places) < -TOLERANCE).any())
    return negative, bool((w < least * (1.0 - 1e-7)).any())


def _judged_at(quotes: SmileQuotes, before: Smile | None) -> tuple[Floats, Floats]:
    """Places at which a slice is judged, and the total variance of the expiry before where both are; 0 elsewhere."""
    places = checked(quotes.k)
    if before is None:
        return places, np.zeros(len(places))
    reach = checked(before.quotes.k)
    inside = (reach >= places[0]) & (reach <= places[-1])
    places = np.union1d(places, reach[inside])
    both = (places >= reach[0]) & (places <= reach[-1])
    return places, np.where(both, np.maximum(before.curve.w(places), 0.0), 0.0)


def _without_butterfly(
    raw: Svi, fit: tuple[Floats, Floats, Floats], quotes: SmileQuotes, places: Floats, fallback: Svi | None
) -> tuple[Svi, Curve]:
    """Return the curve without a negative density that is nearest to the quotes: refitted, the guaranteed repair, or the prior's."""
    nothing = np.zeros(len(places))
    sure = guaranteed(raw, quotes.years) if raw.w(np.zeros(1))[0] > 0.0 and raw.w(places).min() > 0.0 else raw
    free = [(Curve.GUARANTEED, sure), (Curve.SSVI, fallback or raw)]
    starts = [one for _, one in free if not faults(one, places, nothing)[0]]
    free += [(Curve.REPAIRED, one) for start in starts if (one := fitted(*fit, start=start, floor=(places, nothing))) is not None]
    able = [(curve, source) for source, curve in free if not faults(curve, places, nothing)[0]]
    return min(able, key=lambda one: _error(one[0], quotes), default=(raw, Curve.SVI))


def _error(curve: Svi, quotes: SmileQuotes) -> float:
    return float(np.mean((np.sqrt(np.maximum(curve.w(quotes.k), 0.0)) - quotes.deviation) ** 2))


def _costs_little(repaired: Svi | None, raw: Svi, quotes: SmileQuotes, width: Floats) -> bool:
    """Whether a repair stays within the quotes' own width of what they say without it, as a root mean square."""
    if repaired is None:
        return False
    strains = [(np.sqrt(np.maximum(one.w(quotes.k), 0.0)) - quotes.deviation) / width for one in (repaired, raw)]
    mine, theirs = (float(np.sqrt(np.mean(strain**2))) for strain in strains)
    return mine - theirs <= STRAIN


def _with_prior(quotes: SmileQuotes, width: Floats, fallback: Callable[[], Svi | None]) -> tuple[Floats, Floats, Floats]:
    """SmileQuotes and their weights; a sparse slice is filled up with points of the prior over the range that is judged."""
    weight = 1.0 / width**2
    lacking = ENOUGH_QUOTES - len(quotes)
    prior = fallback() if lacking > 0 else None
    if prior is None:
        return quotes.k, quotes.deviation, weight
    places = checked(quotes.k)[:: max(1, 120 // lacking)][:lacking]
    leaned = np.full(len(places), 0.05 * float(np.median(weight)))
    return (
        np.concatenate([quotes.k, places]),
        np.concatenate([quotes.deviation, np.sqrt(np.maximum(prior.w(places), 1e-12))]),
        np.concatenate([weight, leaned]),
    )
