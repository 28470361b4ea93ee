"""Triple-barrier labels: profit target, stop or time limit, whichever is touched first.

    TP = entry (1 + tp sigma)      SL = entry (1 - sl sigma)      end of patience: max_h sessions after the entry

Features of session t lead to an entry at the open of t + 1; sigma is the standard deviation of the total returns of the
sessions up to t. Barriers are tested on high and low from the entry's session on. Both in one bar counts as the stop; a
gap through a barrier fills at the open; without a touch the trade ends at the close of session t + max_h, or, where
that has no bar, at the next open within `EXIT_SESSIONS` sessions, else at the last price. Prices of different sessions
are made comparable by total returns, those across gaps included, so splits and dividends move no barrier.

Source: Lopez de Prado, Advances in Financial Machine Learning, ch. 3, with the fills of a real order.

`search_barriers` chooses barriers by the distribution of their labels, on the training part only, before any model exists:

    balance (1 - cost / mean |return| of touched) - 0.15 max(0, ln(up / down)^2 - ln(1.5)^2) - 0.002 mean life

with balance the entropy of the three classes over ln 3, life in bars. Up and down are in average true ranges.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.events.outcomes import first_touch
from signals.market.actions import Action
from signals.market.bars import EXIT_SESSIONS, Bars, Flags, Floats, bridged, comparable, departures
from trainer.labels.horizon import Labels


@dataclass(frozen=True)
class Barriers:
    """Distances in sigmas, patience and volatility window in sessions."""

    profit: float = 2.0
    stop: float = 1.0
    max_sessions: int = 10
    window: int = 20

    def __post_init__(self) -> None:
        if self.profit <= 0 or self.stop <= 0 or self.max_sessions < 1 or self.window < 2:
            raise InvariantBroken("barriers need positive distances, patience and a window of two sessions at least")


@dataclass(frozen=True, eq=False)
class BarrierLabels:
    """Outcomes of triple barriers.

    Attributes
    ----------
    labels : Labels
        Return of the trade, and the session at which it ended.
    side : int8, shape (T, N)
        1 profit, -1 stop, 0 end of patience or no label.
    quality : float64, shape (T, N)
        Weight of each label, with mean 1 in its session: 1/2 for the worst outcome to 3/2 for the best, by rank of

            0.4 (1 - life / patience) + 0.4 (1 - adverse move / other barrier) + 0.2 favourable move / own barrier

        where the moves are the largest during the life of the trade, seen from the side on which it ended.
    outcome : float64, shape (T, N)
        That figure itself.
    """

    labels: Labels
    side: NDArray[np.int8]
    quality: Floats
    outcome: Floats


def triple_barrier_labels(
    bars: Bars,
    barriers: Barriers,
    *,
    delistings: Iterable[Action] = (),
    unit: Floats | None = None,
    until: NDArray[np.int64] | None = None,
    is_tie_nothing: bool = False,
) -> BarrierLabels:
    """Label every eligible name of every session.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    delistings : iterable of Action
        A name that is delisted while held, or while its exit is awaited, ends there, at its cash payout.
    unit : float64, shape (T, N), optional
        Of distances, as a share of the close of t, in the place of the returns' deviation.
    until : int64, shape (T,), optional
        Last row at which a trade of t may end, at its close: a session's last bar. Where that is t itself there is no label.
    is_tie_nothing : bool
        Both barriers in one bar are side 0 at its close: a stop for a trade either way. Else they are the stop.

    Returns
    -------
    BarrierLabels
        No label where the name is not eligible, has no volatility, no bar at the entry, a return while held that is not
        known, or the panel ends first.
    """
    count, names = bars.close.shape
    size = count * names
    opens, highs, lows, closes, last_price = (panel.ravel() for panel in comparable(bars))
    unknown = np.isnan(bridged(bars)[0]).ravel()
    sigma = trailing_volatility(bars.total_return, barriers.window).ravel()
    entry = np.full(size, np.nan)
    entry[: size - names] = opens[names:]
    if unit is not None:
        sigma = unit.ravel() * closes / entry
    row = np.repeat(np.arange(count), names)
    limit = np.full(size, count) if until is None else np.repeat(until, names)
    upper, lower = entry * (1.0 + barriers.profit * sigma), entry * (1.0 - barriers.stop * sigma)
    waiting = bars.eligible.ravel() & np.isfinite(upper) & (sigma > 0.0) & (limit > row)
    value, side, ends = np.full(size, np.nan), np.zeros(size, dtype=np.int8), np.full(size, -1, dtype=np.int64)
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    leaving = {gone.column: gone for gone in departures(bars, delistings)}
    last_step = barriers.max_sessions + EXIT_SESSIONS
    for step in range(1, min(last_step, count - 1) + 1):
        # Most trades are over after a few sessions: a step looks only at the cells, of sessions times names, that still wait.
        cell = np.flatnonzero(waiting[: size - step * names])
        if step > 1:
            waiting[cell] = ~unknown[cell + step * names]
            cell = cell[waiting[cell]]
        ahead, is_late = cell + step * names, step > barriers.max_sessions
        opened, high, low, close, top, floor = opens[ahead], highs[ahead], lows[ahead], closes[ahead], upper[cell], lower[cell]
        has = np.isfinite(close)
        lowest[cell[has]], highest[cell[has]] = np.minimum(lowest[cell], low)[has], np.maximum(highest[cell], high)[has]
        touched, level, hit = first_touch(opened, high, low, top, floor, step == 1)
        touched &= not is_late
        done = has & (touched | (step >= barriers.max_sessions))
        price = np.where(touched, level, opened if is_late else close)
        if is_tie_nothing:
            tie = touched & (low <= floor) & (high >= top) & ((level == floor) | (level == top))
            price, hit = np.where(tie, close, price), np.where(tie, 0, hit).astype(np.int8)
        if until is not None:
            is_over = row[ahead] >= limit[cell]
            price, done = np.where(is_over & ~has, last_price[ahead], price), done | is_over
        if step == last_step:
            done, price = np.ones(len(cell), dtype=bool), np.where(has, price, last_price[ahead])
        over = cell[done]
        value[over], ends[over], waiting[over] = price[done] / entry[over] - 1.0, row[over] + step, False
        side[cell[done & touched]] = hit[done & touched]
        for column, gone in leaving.items():
            at = (gone.last - step) * names + column
            if at >= 0 and waiting[at] and gone.effective <= row[at] + last_step:
                value[at] = gone.payout * closes[gone.last * names + column] / entry[at] - 1.0
                ends[at], waiting[at] = gone.effective, False
        if not waiting.any():
            break
    known, outcome = np.flatnonzero(ends >= 0), np.full(size, np.nan)
    is_up = np.where(side == 0, value > 0.0, side > 0)[known]
    life = np.minimum(ends[known] - row[known], barriers.max_sessions) / barriers.max_sessions
    outcome[known] = _outcome(life, is_up, *(panel[known] for panel in (entry, upper, lower, highest, lowest)))
    value, side, ends, outcome = (panel.reshape(count, names) for panel in (value, side, ends, outcome))
    return BarrierLabels(Labels(bars.sessions, bars.symbols, value, ends), side, _by_rank(outcome), outcome)


def _outcome(life: Floats, is_up: Flags, entry: Floats, upper: Floats, lower: Floats, highest: Floats, lowest: Floats) -> Floats:
    """Return the figure that qualities are ranked by, of trades that ended after `life` of their patience, on the side `is_up`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        up, down = ((highest - entry) / (upper - entry)).clip(0.0, 1.0), ((entry - lowest) / (entry - lower)).clip(0.0, 1.0)
    return 0.4 * (1.0 - life) + 0.4 * (1.0 - np.where(is_up, down, up)) + 0.2 * np.where(is_up, up, down)


def _by_rank(values: Floats) -> Floats:
    """Weights of 1/2 to 3/2 by rank within each row, NaN where there is no value; 1 for a lone one."""
    order = np.argsort(values, axis=1)
    rising, place = np.take_along_axis(values, order, axis=1), np.arange(values.shape[1])
    begins, ends = np.ones((2, *values.shape), dtype=bool)
    begins[:, 1:] = ends[:, :-1] = rising[:, 1:] != rising[:, :-1]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, place.size)[:, ::-1], axis=1)[:, ::-1]
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    weights = np.empty(values.shape)
    np.put_along_axis(weights, order, np.where(count > 1, 0.5 + (first + last) / 2.0 / np.maximum(count - 1, 1), 1.0), axis=1)
    return np.where(np.isfinite(values), weights, np.nan)


def trailing_volatility(returns: Floats, window: int) -> Floats:
    """Standard deviation (ddof 1) of the last `window` returns; NaN where one is missing."""
    sigma = np.full(returns.shape, np.nan)
    if len(returns) >= window:
        sigma[window - 1 :] = sliding_window_view(returns, window, axis=0).std(axis=2, ddof=1)
    return sigma


LEAST, MOST = 0.5, 4.0
SKEW, LIFE, SEED = 0.15, 0.002, 0


@dataclass(frozen=True)
class BarrierChoice:
    """Distances up and down, and patience in bars."""

    up: float
    down: float
    max_bars: int


@dataclass(frozen=True)
class BarrierTrial(BarrierChoice):
    """One set of barriers and what it was worth."""

    value: float


def worth(found: BarrierLabels, choice: BarrierChoice, before: int, cost: float) -> float:
    """Return the objective of barriers over the labels that end before row `before`; -inf where none is touched."""
    ends, side = found.labels.ends, found.side
    kept = (ends >= 0) & (ends < before)
    touched = kept & (side != 0)
    if not touched.any():
        return float("-inf")
    shares = np.array([np.mean(side[kept] == one) for one in (-1, 0, 1)])
    balance = -float(np.sum(shares * np.log(np.maximum(shares, 1e-12)))) / np.log(3.0)
    size = float(np.abs(found.labels.values[touched]).mean())
    life = float((ends - np.arange(len(ends))[:, None])[kept].mean())
    skew = max(0.0, np.log(choice.up / choice.down) ** 2 - np.log(1.5) ** 2)
    return float(balance * (1.0 - cost / size) - SKEW * skew - LIFE * life)


def search_barriers(
    label: Callable[[BarrierChoice], BarrierLabels], *, horizon: int, before: int, cost: float, trials: int
) -> tuple[BarrierChoice, tuple[BarrierTrial, ...]]:
    """Return the best of `trials` sets of barriers, and all of them; the same labels, the same answer.

    Parameters
    ----------
    horizon : int
        Bars; patience is searched from it to three times it.
    before : int
        Row from which on nothing is read.
    cost : float
        Of a trade, as a fraction.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    tried = []

    def value(trial: optuna.Trial) -> float:
        up, down = (trial.suggest_float(name, LEAST, MOST, step=0.25) for name in ("up", "down"))
        choice = BarrierChoice(up, down, trial.suggest_int("max_bars", horizon, 3 * horizon))
        found = max(-1e9, worth(label(choice), choice, before, cost))
        tried.append(BarrierTrial(**asdict(choice), value=found))
        return found

    study.optimize(value, n_trials=trials)
    best = study.best_params
    return BarrierChoice(best["up"], best["down"], best["max_bars"]), tuple(tried)
