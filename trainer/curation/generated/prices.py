"""Raw prices of the generated market, in cents, with splits and dividends."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.curation.generated.returns import Characters, Floats, Returns

QUARTER_SESSIONS = 63
PAYING_SHARE = 0.6
# Boards split a dear share and consolidate a cheap one, some time after the price got there.
DEAR_USD, CHEAP_USD = 180.0, 4.0
DAILY_CHANCE_WHEN_DEAR, DAILY_CHANCE_WHEN_CHEAP = 0.01, 0.05
DAILY_CHANCE_OTHERWISE = 1.0 / (252 * 40)
RATIOS = np.array([2.0, 3.0, 4.0, 1.5])
REVERSE_RATIO = 0.1
LEAST_USD = 0.05
RANGE_SHARE = 0.45  # of a session's volatility, how far high and low reach beyond the body
VOLUME_STATE = 0.10  # log volume per unit of the planted state
VOLUME_MOVE = 0.25  # log volume per standard deviation of the session's move


@dataclass(frozen=True, eq=False)
class Prices:
    """Raw bars and what happened to the share overnight; float64 (T, N).

    Attributes
    ----------
    open, high, low, close : float64, USD, whole cents
    volume : float64, whole shares
    ratio : float64
        New shares per old at the session's start; 1 where no split.
    cash : float64
        Dividend per share held after the split; 0 where none.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    ratio: Floats
    cash: Floats


def draw_prices(rng: Generator, traits: Characters, returns: Returns, halted: NDArray[np.bool_]) -> Prices:
    """Turn returns into raw bars.

    close_t = close_{t-1} (1 + total_t) / ratio_t - cash_t, and the open likewise with the overnight return. Halted
    sessions repeat the close without volume, and nothing happens to the share on them.
    """
    sessions, count = returns.total.shape
    dollars = np.exp(rng.normal(np.log(4e7), 1.1, count))
    yearly = np.where(rng.random(count) < PAYING_SHARE, rng.uniform(0.008, 0.035, count), 0.0)
    phase, level = rng.integers(0, QUARTER_SESSIONS, count), np.exp(rng.normal(np.log(60.0), 0.6, count)).round(2)
    chance, choice = rng.random((sessions, count)), rng.choice(RATIOS, (sessions, count))
    opened, closed = np.empty((sessions, count)), np.empty((sessions, count))
    ratio, cash = np.ones((sessions, count)), np.zeros((sessions, count))
    for t in range(sessions):
        if t:
            split = _splits(level, chance[t], choice[t])
            pays = ((t + phase) % QUARTER_SESSIONS == 0) & (yearly > 0)
            ratio[t] = np.where(halted[t], 1.0, split)
            cash[t] = np.where(pays & ~halted[t], np.round(level / ratio[t] * yearly / 4, 2), 0.0)
        opened[t] = _cents(level * (1 + np.where(halted[t], 0.0, returns.overnight[t])) / ratio[t] - cash[t])
        closed[t] = _cents(level * (1 + np.where(halted[t], 0.0, returns.total[t])) / ratio[t] - cash[t])
        level = closed[t]
    reach = RANGE_SHARE * returns.volatility * np.abs(rng.standard_normal((2, sessions, count)))
    high = np.where(halted, closed, np.round(np.maximum(opened, closed) * (1 + reach[0]), 2))
    low = np.where(halted, closed, _cents(np.minimum(opened, closed) * (1 - np.minimum(reach[1], 0.5))))
    volume = _volume(rng, returns, dollars, closed, halted)
    return Prices(opened, high, np.minimum(low, np.minimum(opened, closed)), closed, volume, ratio, cash)


def _splits(level: Floats, chance: Floats, choice: Floats) -> Floats:
    dear, cheap = level > DEAR_USD, level < CHEAP_USD
    hazard = np.where(dear, DAILY_CHANCE_WHEN_DEAR, np.where(cheap, DAILY_CHANCE_WHEN_CHEAP, DAILY_CHANCE_OTHERWISE))
    ratio = np.where(cheap, REVERSE_RATIO, choice)
    result: Floats = np.where((chance < hazard) & (cheap | (level > 20.0)), ratio, 1.0)
    return result


def _volume(rng: Generator, returns: Returns, dollars: Floats, close: Floats, halted: NDArray[np.bool_]) -> Floats:
    move = np.abs(returns.total) / np.maximum(returns.volatility, 1e-4)
    noise = rng.normal(0.0, 0.3, close.shape)
    usual = np.log(dollars) + VOLUME_MOVE * np.minimum(move, 6.0) + VOLUME_STATE * returns.state + noise
    shares = np.round(np.exp(usual) / close / 100) * 100
    return np.where(halted, 0.0, np.maximum(shares, 100.0))


def _cents(price: Floats) -> Floats:
    result: Floats = np.maximum(np.round(price, 2), LEAST_USD)
    return result
