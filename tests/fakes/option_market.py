"""A generated option market: quotes around an SSVI surface, with ticks, spreads, and planted premiums.

`quoted` makes the chain of one underlying and day, `option_market` bars and chains of many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from signals.market.bars import Days, Floats
from trainer.curation.generated.prices import ar1
from trainer.options.chains import DAYS_A_YEAR, OptionChain, greeks, price
from trainer.options.svi import slice_of

WEEKS_BETWEEN, LEAST_DAYS_LISTED = 4, 2  # expiries are Fridays, four weeks apart
PREMIUM_PERSISTENCE = 0.93  # a session: half of a premium is gone after two weeks
SESSIONS_A_YEAR = 252
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
    step : float, USD
        Its multiples are listed; 0 spreads the strikes evenly.
    """

    half_points: float = 0.004
    strikes: int = 31
    deviations: float = 3.0
    rate: float = 0.02
    days: tuple[int, ...] = (14, 30, 60, 91)
    has_ticks: bool = True
    step: float = 0.0


PLAIN = Quoting()


@dataclass(frozen=True)
class Skew:
    """The shape of a generated surface: parameters of SSVI."""

    rho: float = -0.5
    eta: float = 0.9
    gamma: float = 0.4


def quoted(
    root: str, day: date, spot: float, variance: float, expirations: Sequence[np.datetime64], quoting: Quoting, skew: Skew = Skew()
) -> OptionChain:
    """Quote a surface whose variance a year at the money is `variance` at every expiry.

    With a step its multiples are listed, so that what is listed one day still is the next; without one the strikes are spread
    evenly, and rounded.
    """
    rows: list[tuple[Any, ...]] = []
    for expiration in expirations:
        years = float((expiration - np.datetime64(day, "D")) / np.timedelta64(1, "D")) / DAYS_A_YEAR
        curve = slice_of(skew.rho, skew.eta, skew.gamma, variance * years)
        forward, discount = spot * np.exp(quoting.rate * years), np.exp(-quoting.rate * years)
        strike = _listed(forward, quoting.deviations * float(np.sqrt(variance * years)), quoting.step, quoting.strikes)
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


def _listed(forward: float, reach: float, step: float, count: int) -> Floats:
    if step > 0.0:
        low, high = forward * np.exp(-reach), forward * np.exp(reach)
        return step * np.arange(max(1.0, np.ceil(low / step)), np.floor(high / step) + 1.0)
    step = _step(forward)
    return np.unique(np.maximum(step, step * np.round(forward * np.exp(np.linspace(-reach, reach, count)) / step)))


def _step(spot: float) -> float:
    """Distance of neighbouring strikes: 1, 2.5 or 5 times a power of ten, about a 100th of the spot."""
    power = 10.0 ** np.floor(np.log10(spot / 100.0))
    return float(max((scale * power for scale in (1.0, 2.5, 5.0) if scale * power <= spot / 100.0), default=power))


@dataclass(frozen=True, eq=False)
class OptionMarket:
    """A generated market: bars as a vendor delivers them, chains in the order of root and day, and the truth.

    Attributes
    ----------
    bars : DataFrame
        date, symbol, open, high, low, close, volume.
    premium : float64, shape (T, N)
        ln of implied over true volatility at each close.
    """

    bars: pd.DataFrame
    chains: tuple[OptionChain, ...]
    premium: Floats


def option_market(seed: int, names: int, days: Days, *, premium: float, quoting: Quoting = PLAIN) -> OptionMarket:
    """Generate a market whose volatilities are constant, so that without a premium no hedged position earns anything but luck.

    Parameters
    ----------
    premium : float
        Standard deviation of ln(implied / true volatility), an AR(1) of each name's own.
    """
    rng = np.random.default_rng(seed)
    sessions = len(days)
    volatility = rng.uniform(0.18, 0.45, names)
    returns = volatility / np.sqrt(SESSIONS_A_YEAR) * rng.standard_normal((sessions, names))
    close = rng.uniform(40.0, 400.0, names) * np.exp(np.cumsum(returns - 0.5 * volatility**2 / SESSIONS_A_YEAR, axis=0))
    close = np.maximum(np.round(close, 2), 1.0)
    state = premium * ar1(rng.standard_normal((sessions, names)), PREMIUM_PERSISTENCE)
    symbols = [f"O{number:03d}" for number in range(names)]
    listed = _fridays(days)
    chains = []
    for column, root in enumerate(symbols):
        own = replace(quoting, step=2.0 * _step(float(close[0, column])))
        for row, day in enumerate(days.astype(object).tolist()):
            coming = [one for one in listed if (one - days[row]).astype(int) >= LEAST_DAYS_LISTED]
            variance = float((volatility[column] * np.exp(state[row, column])) ** 2)
            chains.append(quoted(root, day, float(close[row, column]), variance, coming[:3], own))
    opened = np.round(np.vstack([close[:1], close[:-1]]) * np.exp(0.3 * returns), 2)
    wide = np.abs(rng.standard_normal((2, sessions, names))) * 0.003
    frame = {
        "date": np.repeat(days, names),
        "symbol": np.tile(symbols, sessions),
        "open": opened.ravel(),
        "high": np.round(np.maximum(opened, close) * (1.0 + wide[0]), 2).ravel(),
        "low": np.round(np.minimum(opened, close) * (1.0 - wide[1]), 2).ravel(),
        "close": close.ravel(),
        "volume": np.round(np.exp(rng.normal(14.0, 0.5, sessions * names))),
    }
    return OptionMarket(pd.DataFrame(frame), tuple(chains), state)


def quotes_frame(chains: Sequence[OptionChain]) -> pd.DataFrame:
    """Return chains as a vendor's table."""
    lengths = [len(chain) for chain in chains]
    names = ("expiration", "strike", "bid", "ask", "volume", "open_interest")
    return pd.DataFrame(
        {
            "quote_date": np.repeat(np.array([chain.day for chain in chains], dtype="datetime64[D]"), lengths),
            "root": np.repeat([chain.root for chain in chains], lengths),
            "underlying": np.repeat([chain.spot for chain in chains], lengths),
            "right": np.where(np.concatenate([chain.is_call for chain in chains]), "C", "P"),
            **{name: np.concatenate([getattr(chain, name) for chain in chains]) for name in names},
        }
    )


def _fridays(days: Days) -> list[np.datetime64]:
    """Every fourth Friday from the first day to half a year after the last."""
    first = np.busday_offset(days[0], 0, roll="forward", weekmask="Fri")
    return list(np.arange(first, days[-1] + np.timedelta64(182, "D"), np.timedelta64(7 * WEEKS_BETWEEN, "D")))
