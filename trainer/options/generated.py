"""A generated option market: quotes around an SSVI surface, with ticks, spreads, and what is planted in them.

`quoted` makes the chain of one underlying and day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from signals.market.bars import Floats
from trainer.options.chains.chain import DAYS_A_YEAR, OptionChain
from trainer.options.surface.black import greeks, price
from trainer.options.surface.ssvi import slice_of

TICK, COARSE_TICK, COARSE_FROM = 0.05, 0.10, 3.0  # USD, as index options are quoted


@dataclass(frozen=True)
class Quoting:
    """How a generated chain is quoted.

    Attributes
    ----------
    half_points : float
        Half spread, annualised volatility; at least half a tick.
    strikes : int
        Strikes an expiry, spread over `deviations` standard deviations to either side.
    rate : float
        Of interest, a year; no dividends.
    days : tuple of int
        Calendar days to the expiries.
    has_ticks : bool
    """

    half_points: float = 0.004
    strikes: int = 31
    deviations: float = 3.0
    rate: float = 0.02
    days: tuple[int, ...] = (14, 30, 60, 91)
    has_ticks: bool = True


@dataclass(frozen=True)
class Skew:
    """The shape of a generated surface: parameters of SSVI."""

    rho: float = -0.5
    eta: float = 0.9
    gamma: float = 0.4


def quoted(
    root: str, day: date, spot: float, variance: float, expirations: Sequence[np.datetime64], quoting: Quoting, skew: Skew = Skew()
) -> OptionChain:
    """Quote a surface whose variance a year at the money is `variance` at every expiry."""
    rows: list[tuple[Any, ...]] = []
    for expiration in expirations:
        years = float((expiration - np.datetime64(day, "D")) / np.timedelta64(1, "D")) / DAYS_A_YEAR
        curve = slice_of(skew.rho, skew.eta, skew.gamma, variance * years)
        forward, discount = spot * np.exp(quoting.rate * years), np.exp(-quoting.rate * years)
        step = _step(spot)
        reach = quoting.deviations * np.sqrt(variance * years)
        strike = np.unique(np.maximum(step, step * np.round(forward * np.exp(np.linspace(-reach, reach, quoting.strikes)) / step)))
        deviation = np.sqrt(curve.w(np.log(strike / forward)))
        for is_call in (False, True):
            vega = greeks(spot, forward, strike, deviation / np.sqrt(years), years, discount, is_call).vega
            fair = price(forward, strike, deviation, discount, is_call)
            bid, ask = _touch(fair, quoting.half_points * vega, quoting)
            rows.append((np.full(len(strike), expiration), strike, np.full(len(strike), is_call), bid, ask))
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    dates, strikes, calls, bids, asks = (column[np.lexsort((columns[2], columns[1], columns[0]))] for column in columns)
    interest = np.round(1000.0 * np.exp(-(((strikes / spot) - 1.0) ** 2) / 0.02))
    return OptionChain(root, day, spot, dates, strikes, calls, bids, asks, np.round(0.1 * interest), interest)


def _touch(fair: Floats, half: Floats, quoting: Quoting) -> tuple[Floats, Floats]:
    if not quoting.has_ticks:
        return np.maximum(fair - half, 0.0), fair + half
    tick = np.where(fair < COARSE_FROM, TICK, COARSE_TICK)
    return np.maximum(np.floor((fair - half) / tick + 1e-9), 0.0) * tick, np.ceil((fair + half) / tick - 1e-9) * tick


def _step(spot: float) -> float:
    """Distance of neighbouring strikes: 1, 2.5 or 5 times a power of ten, about a 100th of the spot."""
    power = 10.0 ** np.floor(np.log10(spot / 100.0))
    return float(max((scale * power for scale in (1.0, 2.5, 5.0) if scale * power <= spot / 100.0), default=power))
