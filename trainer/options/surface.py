"""The surface of one underlying and day: a slice an expiry, each with what its quality is.

Entry point: `surface_of`. Expiries are fitted in their order. A slice that has a negative density or falls below an earlier one is
fitted again with both forbidden. Where that costs little of the quotes' own width they did not mean it; where it costs more they hold an
arbitrage: the slice is flagged, and no curve is bent away from its quotes to hide it. What no fit makes free of butterflies is replaced
by the guaranteed repair, or by the slice of the SSVI surface, and flagged. A curve that leaves quotes outside their bid and ask is bent
to them with a spline, as far as that adds no fault.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats
from trainer.options.chains import DAYS_A_YEAR, Greeks, OptionChain, SmileQuotes, butterflies, calendars, greeks, quotes_of
from trainer.options.svi import LEAST_QUOTES, MOST_SLOPE, Fitted, Svi, bent, checked, fitted, fitted_surface, guaranteed, repaired

LEAST_DAYS = 2  # a slice of one day is all rounding
ENOUGH_QUOTES = 20  # a slice with fewer leans on the surface of all expiries
STRAIN = 0.25  # of a half width: what a repair may cost before the quotes are said to mean the arbitrage
RESIDUAL_WIDTHS, RESIDUAL_POINTS = 2.0, 0.01  # of a slice's RMSE: twice the half width, or one vol point
FLOOR_WIDTH = 0.3  # of the median half width: no quote counts as narrower
TOLERANCE = 1e-9
SHARES = (1.0, 0.75, 0.5, 0.25)  # of a spline
Prior = Callable[[float], Svi]  # years to the slice of the surface of all expiries


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
    """One expiry with the curve of its total variance by k.

    `rmse` is the curve's against mids and `half_width` the median of the quotes' own, both annualised volatility; `inside` is the
    share of the quotes whose bid and ask hold the curve.
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
        return self.curve.deviation(k) / float(np.sqrt(self.years))

    def volatility_at(self, strike: float) -> float:
        """Annualised volatility of a strike."""
        return float(self.volatility(np.log(strike / np.array(self.quotes.forward.value))))

    def greeks(self, strike: float, is_call: bool, spot: float) -> Greeks[Floats]:
        """Derivatives of the price of an option at this expiry, at the curve's own volatility."""
        forward = self.quotes.forward
        return greeks(spot, forward.value, strike, self.volatility_at(strike), self.years, forward.discount, is_call)


@dataclass(frozen=True)
class OptionLeg:
    """One listed option and how many; negative is sold."""

    expiration: np.datetime64
    strike: float
    is_call: bool
    quantity: float

    @property
    def option(self) -> tuple[np.datetime64, float, bool]:
        """Which option it is, whatever the quantity."""
        return self.expiration, self.strike, self.is_call


@dataclass(frozen=True, eq=False)
class Mark:
    """A position at one close: mid and half spread in USD a share; each leg's forward, and its delta by that, float64 (legs,)."""

    mid: float
    half_spread: float
    forward: Floats
    delta: Floats


@dataclass(frozen=True, eq=False)
class Surface:
    """A chain with all its usable expiries, the earliest first; `left_out` says why another is not among them."""

    chain: OptionChain
    smiles: tuple[Smile, ...]
    left_out: Mapping[str, str]

    def smile(self, expiration: np.datetime64) -> Smile | None:
        """Return the slice of an expiration; None where there is none."""
        return next((smile for smile in self.smiles if smile.expiration == expiration), None)

    def volatility(self, k: float, years: float) -> float:
        """Annualised volatility at ln(K/F) and time: total variance is linear between expiries, volatility constant beyond."""
        times, w = [smile.years for smile in self.smiles], [float(smile.curve.w(np.array(k))) for smile in self.smiles]
        inside = min(max(years, times[0]), times[-1])
        return float(np.sqrt(max(float(np.interp(inside, times, w)), 0.0) / inside))

    @cached_property
    def _rows(self) -> Mapping[tuple[np.datetime64, float, bool], int]:
        """Row of each listed option."""
        keys = zip(self.chain.expiration, self.chain.strike.tolist(), self.chain.is_call.tolist(), strict=True)
        return {key: row for row, key in enumerate(keys)}

    def quote(self, leg: OptionLeg) -> tuple[float, float] | None:
        """Bid and ask at which a leg is held: without a bid a long is worth 0 and a short costs the ask; None where nothing is asked."""
        row = self._rows.get(leg.option)
        if row is None or not (self.chain.ask[row] > 0.0 and self.chain.ask[row] >= self.chain.bid[row] >= 0.0):
            return None
        return float(self.chain.bid[row]), float(self.chain.ask[row])

    def touch(self, leg: OptionLeg) -> tuple[float, float] | None:
        """Bid and ask at which a leg is entered; None where it is not two-sided."""
        quote = self.quote(leg)
        return quote if quote is not None and quote[0] > 0.0 else None

    def mark(self, legs: tuple[OptionLeg, ...]) -> Mark | None:
        """Mark a position; None where a leg has no quote or no curve."""
        found = []
        for leg in legs:
            quote, smile = self.quote(leg), self.smile(leg.expiration)
            if quote is None or smile is None:
                return None
            (bid, ask), forward = quote, smile.quotes.forward.value
            delta = float(smile.greeks(leg.strike, leg.is_call, forward).delta)  # by the forward, discounted
            found.append((leg.quantity * 0.5 * (bid + ask), abs(leg.quantity) * 0.5 * (ask - bid), forward, leg.quantity * delta))
        mid, half, forwards, deltas = np.array(found).T
        return Mark(float(mid.sum()), float(half.sum()), forwards, deltas)

    def greeks(self, legs: Sequence[OptionLeg]) -> Greeks[float]:
        """Greeks a share of a position, each leg at its curve's volatility; 0 of a leg without a curve."""
        total = np.zeros(len(Greeks._fields))
        for leg in legs:
            if (smile := self.smile(leg.expiration)) is not None:
                spot = self.chain.spot if self.chain.spot > 0.0 else smile.quotes.forward.value
                total += leg.quantity * np.array(smile.greeks(leg.strike, leg.is_call, spot))
        return Greeks(*total.tolist())


def surface_of(chain: OptionChain) -> Surface:
    """Fit the surface of a chain; an expiry that cannot be fitted is left out with its reason."""
    left_out: dict[str, str] = {}
    usable: list[tuple[np.datetime64, SmileQuotes, OptionChain]] = []
    for expiration, years, rows, forward in chain.slices():
        if years * DAYS_A_YEAR < LEAST_DAYS - 0.5:
            left_out[str(expiration)] = "expires within a day"
        elif forward is None:
            left_out[str(expiration)] = "no forward: too few strikes have a call and a put"
        elif len(quotes := quotes_of(rows, years, forward)) < LEAST_QUOTES:
            left_out[str(expiration)] = f"{len(quotes)} usable quotes, {LEAST_QUOTES} are needed"
        else:
            usable.append((expiration, quotes, rows))
    every = [quotes for _, quotes, _ in usable]
    prior = cache(lambda: fitted_surface(every))
    crossed = calendars(every)
    smiles: list[Smile] = []
    for place, (expiration, quotes, rows) in enumerate(usable):
        at_touch = [Flag.BUTTERFLY] * bool(butterflies(rows)) + [Flag.CALENDAR] * (place in crossed)
        smiles.append(_smile(expiration, quotes, at_touch, smiles, lambda years: prior().at(years)))
    return Surface(chain, tuple(smiles), left_out)


def _smile(expiration: np.datetime64, quotes: SmileQuotes, at_touch: list[Flag], before: Sequence[Smile], prior: Prior) -> Smile:
    """Fit one expiry, and flag what the chosen curve itself shows, whatever was found on the way to it, and what its quotes do."""
    judged = _judged_at(quotes, before)
    curve, source, flags = _chosen(quotes, judged, prior)
    negative, below = faults(curve, *judged)
    scale = 1.0 / np.sqrt(quotes.years)
    rmse = float(np.sqrt(np.mean((curve.deviation(quotes.k) - quotes.deviation) ** 2))) * scale
    half_width = float(np.median(quotes.half_width)) * scale
    flags += [Flag.BUTTERFLY] * negative + [Flag.CALENDAR] * below
    flags += [Flag.SLOPE] * int(max(curve.slopes) > MOST_SLOPE * (1.0 - 1e-4))
    flags += [Flag.RESIDUAL] * int(rmse > max(RESIDUAL_WIDTHS * half_width, RESIDUAL_POINTS)) + at_touch
    return Smile(expiration, quotes, curve, source, tuple(dict.fromkeys(flags)), rmse, half_width, float(np.mean(_holding(quotes, curve))))


def _chosen(quotes: SmileQuotes, judged: tuple[Floats, Floats], prior: Prior) -> tuple[Svi, Curve, list[Flag]]:
    """Fit a curve, repair what costs little, flag what does not, and bend it to the quotes that it leaves outside."""
    width = np.maximum(quotes.half_width, FLOOR_WIDTH * float(np.median(quotes.half_width)) + 1e-12)
    fit = _with_prior(quotes, width, prior)
    raw = fitted(*fit)
    if raw is None:
        return prior(quotes.years), Curve.SSVI, [Flag.FALLBACK]

    def strain(curve: Svi) -> float:
        return float(np.sqrt(np.mean(((curve.deviation(quotes.k) - quotes.deviation) / width) ** 2)))

    flags: list[Flag] = []
    curve, source = raw, Curve.SVI
    negative, below = faults(raw, *judged)
    if negative or below:
        changed = repaired(raw, fit, *judged)
        if strain(changed) <= strain(raw) + STRAIN:
            curve, source = changed, Curve.REPAIRED
        else:
            flags += [Flag.BUTTERFLY] * negative + [Flag.CALENDAR] * below
    if faults(curve, *judged)[0]:  # a crossing may stay, flagged; a negative density may not
        able = _without_butterfly(raw, fit, quotes.years, judged[0], prior)
        curve, source = min(able, key=lambda one: strain(one[0]), default=(raw, Curve.SVI))
        flags += [Flag.BUTTERFLY] * (strain(curve) > strain(raw) + STRAIN) + [Flag.FALLBACK] * (source is not Curve.REPAIRED)
    if source in (Curve.SVI, Curve.REPAIRED) and not _holding(quotes, curve).all():
        bend, (negative, below) = bent(curve, *fit), faults(curve, *judged)
        for share in SHARES:  # the most of it that brings no new fault
            bowed = replace(curve, bend=replace(bend, heights=tuple(share * height for height in bend.heights)))
            found = faults(bowed, *judged)
            if found[0] <= negative and found[1] <= below and not faults(bowed, bend.places, np.zeros(1))[0]:
                return bowed, Curve.BENT, flags
    return curve, source, flags


def _holding(quotes: SmileQuotes, curve: Svi) -> NDArray[np.bool_]:
    """Whether bid and ask of each quote hold the curve."""
    model = curve.deviation(quotes.k)
    return (model >= quotes.low - TOLERANCE) & (model <= quotes.high + TOLERANCE)


def faults(curve: Svi, places: Floats, least: Floats) -> tuple[bool, bool]:
    """Whether a curve has a negative density or variance at the places, and whether it falls below `least` there."""
    w = curve.w(places)
    return bool((w <= 0.0).any() or (curve.g(places) < -TOLERANCE).any()), bool((w < least * (1.0 - 1e-7)).any())


def _judged_at(quotes: SmileQuotes, before: Sequence[Smile]) -> tuple[Floats, Floats]:
    """Places at which a slice is judged, and the most total variance of an earlier expiry that reaches there; 0 without one."""
    places, reaches = checked(quotes.k), [checked(smile.quotes.k) for smile in before]
    places = np.unique(np.concatenate([places, *(reach[(reach >= places[0]) & (reach <= places[-1])] for reach in reaches)]))
    least = np.zeros(len(places))
    for smile, reach in zip(before, reaches, strict=True):
        least = np.maximum(least, np.where((places >= reach[0]) & (places <= reach[-1]), smile.curve.w(places), 0.0))
    return places, least


def _without_butterfly(raw: Svi, fit: Fitted, years: float, places: Floats, prior: Prior) -> Iterator[tuple[Svi, Curve]]:
    """Yield curves without a negative density: the guaranteed repair where there is one, the prior's, and fits that begin at these."""
    nothing = np.zeros(len(places))
    safe = [(prior(years), Curve.SSVI)]
    if raw.w(np.append(places, 0.0)).min() > 0.0:
        safe.append((guaranteed(raw, years), Curve.GUARANTEED))
    for one, source in safe:
        for found in ((one, source), (repaired(one, fit, places, nothing), Curve.REPAIRED)):
            if not faults(found[0], places, nothing)[0]:
                yield found


def _with_prior(quotes: SmileQuotes, width: Floats, prior: Prior) -> Fitted:
    """Quotes' k and deviations with their weights; a sparse slice is filled up with points of the prior over the range that is judged."""
    weight = 1.0 / width**2
    if (lacking := ENOUGH_QUOTES - len(quotes)) <= 0:
        return quotes.k, quotes.deviation, weight
    places = checked(quotes.k)[:: max(1, 120 // lacking)][:lacking]
    added = (places, prior(quotes.years).deviation(places), np.full(len(places), 0.05 * float(np.median(weight))))
    k, deviation, weight = (np.concatenate(pair) for pair in zip((quotes.k, quotes.deviation, weight), added, strict=True))
    return k, deviation, weight
