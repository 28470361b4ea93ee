r"""Market regimes known at the close: calm or volatile, rising or falling.

Volatility: a two-state Markov chain s with normal returns of mean zero, r_t ~ N(0, sigma_s^2). The filtered probability
of the wild state uses returns up to t alone (Hamilton 1989, "A new approach to the economic analysis of nonstationary
time series and the business cycle"):

    p(s_t | r_1..t)  ~  N(r_t; 0, sigma_s^2)  sum_u  P_us  p(s_{t-1} = u | r_1..t-1)

Trend: the market's level against its own mean over the trailing 200 sessions.

Invariants
1. Nothing after t enters the regime of t: parameters used from session n on were fitted on returns before n, and are
   fitted again every 252 sessions; smoothed probabilities are never formed outside a fit.
2. What cannot be known yet (the first 252 sessions, a missing market) is UNKNOWN, never a guess.

A model that reads the probability as a feature (`market_wild`) carries the parameters, fitted on what it was trained on; each session's
is of the 252 returns up to it and no other, so that a device needs no more and gets the same number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from signals.errors import DataNotUsable
from signals.features.history import joined, market_return
from signals.features.panel import Feature
from signals.market.bars import Bars, Floats

WARM_UP_SESSIONS = 252
REFIT_SESSIONS = 252
TREND_SESSIONS = 200
WILD_SESSIONS = 252
WILD, SIGMA, STAY = "market_wild", "regime_sigma", "regime_stay"
EM_STEPS = 30
FLOOR = 1e-12


class Regime(StrEnum):
    """Kind of market of a session."""

    CALM_RISING = "calm, rising"
    CALM_FALLING = "calm, falling"
    WILD_RISING = "wild, rising"
    WILD_FALLING = "wild, falling"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class TwoStates:
    """Parameters of the chain: standard deviation of the calm and the wild state, and the chance of staying in each."""

    sigma: Floats
    stay: Floats

    @property
    def transition(self) -> Floats:
        """P_us, shape (2, 2), rows summing to 1."""
        calm, wild = self.stay.tolist()
        return np.array([[calm, 1.0 - calm], [1.0 - wild, wild]])

    @property
    def start(self) -> Floats:
        """Stationary distribution, shape (2,)."""
        leave = 1.0 - self.stay
        return np.array([leave[1], leave[0]]) / max(float(leave.sum()), FLOOR)


def regimes(market: Floats) -> NDArray[np.str_]:
    """Regime of each session, from the market's returns up to it.

    Parameters
    ----------
    market : float64, shape (T,)
        Total return of the market, e.g. the equal-weight mean of the eligible names; NaN where there is none.

    Returns
    -------
    array of str, shape (T,)
        Values of `Regime`.
    """
    return named(np.array([volatility_regime(market), trend_regime(market)]))


def volatility_regime(market: Floats) -> Floats:
    """Filtered probability of the wild state, shape (T,); NaN for the first 252 sessions and without a return."""
    returns = np.where(np.isfinite(market), market, 0.0)
    seen = np.isfinite(market)
    probability = np.full(len(returns), np.nan)
    for used, states in _refits(market):
        probability[used] = filter_states(returns[: used.stop], states)[used, 1]
    return np.where(seen, probability, np.nan)


def _refits(market: Floats) -> Iterator[tuple[slice, TwoStates]]:
    """Yield stretches of sessions, each with the states fitted on the returns before it; none where too few are known, or none moved."""
    for first in range(WARM_UP_SESSIONS, len(market), REFIT_SESSIONS):
        past = market[:first][np.isfinite(market[:first])]
        if len(past) >= WARM_UP_SESSIONS // 2 and float(past.std()) > 0.0:
            yield slice(first, min(first + REFIT_SESSIONS, len(market))), fit_states(past)


def wild_of(market: Floats, states: TwoStates) -> Floats:
    """Filtered probability of the wild state, each session's from the 252 returns that end there and no other; NaN before, shape (T,)."""
    found, count = np.full(len(market), np.nan), len(market) - WILD_SESSIONS + 1
    if count < 1:
        return found
    likelihood = _likelihood(np.where(np.isfinite(market), market, 0.0), states)
    (stays, turns_wild), (turns_calm, stays_wild) = states.transition.tolist()
    calm, wild = (np.full(count, one) for one in states.start.tolist())
    for step in range(WILD_SESSIONS):
        if step:
            calm, wild = calm * stays + wild * turns_calm, calm * turns_wild + wild * stays_wild
        calm, wild = calm * likelihood[step : step + count, 0], wild * likelihood[step : step + count, 1]
        total = np.maximum(calm + wild, FLOOR)
        calm, wild = calm / total, wild / total
    found[WILD_SESSIONS - 1 :] = wild
    return np.where(np.isfinite(market), found, np.nan)


def with_wild(bars: Bars, states: TwoStates | None) -> Bars:
    """Return the bars with the market's P(wild) beside them, alike for all names.

    Without `states`, which a training has not yet, each session's are those fitted on the returns before it (`_refits`).
    """
    market = market_return(bars.total_return, bars.eligible)
    wild = np.full(len(market), np.nan)
    for used, own in _refits(market) if states is None else ((slice(0, len(market)), states),):
        wild[used] = wild_of(market[: used.stop], own)[used]
    return replace(bars, joined={**bars.joined, WILD: np.repeat(wild[:, None], len(bars.symbols), axis=1)})


def fitted_on(bars: Bars) -> dict[str, Floats]:
    """Return the states of these bars' market as a bundle carries them."""
    market = market_return(bars.total_return, bars.eligible)
    states = fit_states(market[np.isfinite(market)])
    return {SIGMA: states.sigma, STAY: states.stay}


def states_of(parameters: Mapping[str, NDArray[np.floating]]) -> TwoStates:
    """Return the states that a bundle carries; raise `DataNotUsable` where they are none."""
    sigma, stay = (np.asarray(parameters.get(name, ()), dtype=np.float64) for name in (SIGMA, STAY))
    is_sound = sigma.shape == stay.shape == (2,) and bool(np.isfinite([sigma, stay]).all())
    if not is_sound or not 0.0 < sigma[0] <= sigma[1] or not ((stay > 0.0) & (stay < 1.0)).all():
        raise DataNotUsable("the model reads the market's regime and does not carry its states", fix="Train and publish it again")
    return TwoStates(sigma, stay)


WILD_FEATURE = Feature(WILD, "probability", WILD_SESSIONS, partial(joined, name=WILD), is_ranked=False, is_calendar=True, reads=WILD)


def trend_regime(market: Floats) -> Floats:
    """+1 where the market is above its mean of the trailing 200 sessions, -1 below; NaN until there are 200."""
    level = np.cumsum(np.log1p(np.where(np.isfinite(market), market, 0.0)))
    total = np.concatenate([[0.0], np.cumsum(np.exp(level))])
    above = np.full(len(level), np.nan)
    if len(level) >= TREND_SESSIONS:
        mean = (total[TREND_SESSIONS:] - total[:-TREND_SESSIONS]) / TREND_SESSIONS
        above[TREND_SESSIONS - 1 :] = np.where(np.exp(level[TREND_SESSIONS - 1 :]) >= mean, 1.0, -1.0)
    return np.where(np.isfinite(market), above, np.nan)


def filter_states(returns: Floats, states: TwoStates) -> Floats:
    """Filtered probabilities of both states, shape (T, 2): row t uses returns up to t."""
    likelihood, transition = _likelihood(returns, states), states.transition
    filtered = np.empty_like(likelihood)
    before = states.start
    for row, seen in enumerate(likelihood):
        joint = seen * (before @ transition if row else before)
        filtered[row] = before = joint / max(float(joint.sum()), FLOOR)
    return filtered


def split_states(returns: Floats) -> TwoStates:
    """Chain before any fit: the standard deviations below and above the 70th percentile of size, staying 97 and 93 %."""
    size = np.abs(returns)
    cut = float(np.quantile(size, 0.7))
    small = size <= cut
    low = max(float(np.sqrt(np.square(returns[small]).mean())), FLOOR)
    high = low if small.all() else float(np.sqrt(np.square(returns[~small]).mean()))
    return TwoStates(np.array([low, max(high, 1.5 * low)]), np.array([0.97, 0.93]))


def fit_states(returns: Floats) -> TwoStates:
    """Fit the chain by expectation maximisation (Baum-Welch), 30 steps from `split_states`."""
    states = split_states(returns)
    for _ in range(EM_STEPS):
        states = _improved(returns, states)
    return states if states.sigma[0] <= states.sigma[1] else TwoStates(states.sigma[::-1], states.stay[::-1])


def _improved(returns: Floats, states: TwoStates) -> TwoStates:
    likelihood, transition = _likelihood(returns, states), states.transition
    filtered = filter_states(returns, states)
    backward = np.ones_like(filtered)
    for row in range(len(returns) - 2, -1, -1):
        next_ = transition @ (likelihood[row + 1] * backward[row + 1])
        backward[row] = next_ / max(float(next_.sum()), FLOOR)
    smoothed = filtered * backward
    smoothed /= np.maximum(smoothed.sum(axis=1, keepdims=True), FLOOR)
    pairs = filtered[:-1, :, None] * transition[None] * (likelihood[1:] * backward[1:])[:, None, :]
    pairs /= np.maximum(pairs.sum(axis=(1, 2), keepdims=True), FLOOR)
    moved = pairs.sum(axis=0)
    stay = np.diag(moved) / np.maximum(moved.sum(axis=1), FLOOR)
    weight = smoothed.sum(axis=0)
    sigma = np.sqrt((smoothed * returns[:, None] ** 2).sum(axis=0) / np.maximum(weight, FLOOR))
    return TwoStates(np.maximum(sigma, FLOOR), np.clip(stay, 0.5, 1.0 - 1e-6))


def _likelihood(returns: Floats, states: TwoStates) -> Floats:
    """Normal densities, each row scaled by its larger one: only ratios matter, and none underflows."""
    log = -0.5 * np.square(returns[:, None] / states.sigma) - np.log(states.sigma)
    density: Floats = np.exp(log - log.max(axis=1, keepdims=True))
    return density


BARS_SESSIONS = 60  # of one instrument's own sessions, whose history is short
SCALE_FREE = TwoStates(np.array([0.75, 1.75]), np.array([0.97, 0.93]))
"""States of returns in units of their own root mean square: nothing that would have to be fitted travels with a model."""


def known_before(session_returns: Floats) -> Floats:
    """Regime of the instrument as known at each session's open: P(wild), sign of the trend, sessions since it changed; float64 (3, S).

    Each from the 60 returns before it and no other, so that a device needs 60 sessions and gets the same bits; NaN where one of
    them is not known. The trend is the level against its mean since the first of them. `session_returns`, float64 (S,), are total
    returns.
    """
    found = np.full((3, len(session_returns)), np.nan)
    for number in range(BARS_SESSIONS, len(session_returns)):
        past = session_returns[number - BARS_SESSIONS : number]
        scale = float(np.sqrt(np.square(past).mean()))
        if not scale > 0.0:
            continue
        level = np.exp(np.cumsum(np.log1p(past)))
        above = np.where(level >= np.cumsum(level) / np.arange(1.0, BARS_SESSIONS + 1.0), 1.0, -1.0)
        changed = np.flatnonzero(above != above[-1])
        since = BARS_SESSIONS - 1 - int(changed[-1]) if len(changed) else BARS_SESSIONS
        found[:, number] = filter_states(past / scale, SCALE_FREE)[-1, 1], above[-1], since
    return found


def named(known: Floats) -> NDArray[np.str_]:
    """Regime of each column by P(wild) and the sign of the trend, as of what `known_before` returns; UNKNOWN where one is not known."""
    rising = known[1] > 0.0
    names = np.where(
        known[0] > 0.5,
        np.where(rising, Regime.WILD_RISING.value, Regime.WILD_FALLING.value),
        np.where(rising, Regime.CALM_RISING.value, Regime.CALM_FALLING.value),
    )
    return np.where(np.isfinite(known[:2]).all(axis=0), names, Regime.UNKNOWN.value)
