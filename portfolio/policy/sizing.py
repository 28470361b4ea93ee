"""Multiplier of the target book by a learned policy: a level of a grid in [0, 1], by the state that the book is in.

    x          = [1, clip((state - centre) / scale, -4, 4)]
    Q(i, j)    = coefficients[i, j] . x          value of going from the level i to the level j
    multiplier = GRID[argmax_j Q(before, j)]     the level before where it is among the best

The multiplier is one more factor after the book's scale. It is at most 1, so it loosens no limit of the target book.

A state is read from the whole target book alone: its weights on the returns, covariance and beta of the risk model's window, the IC
that it is sized by, and the whole books of the plans before. A replay of history and a device therefore compute it by
this one function, and no earlier multiplier is part of it. A number that cannot be known is NaN, never 0: a policy that
reads it leaves the level as it is, and says which one is absent. Numbers are known by name, so that a policy of an earlier
version goes on reading those that it was learned from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import numpy as np

from portfolio.policy.target import TargetBook
from portfolio.risk.model import SESSIONS_PER_YEAR, annual_volatility
from signals.errors import InvariantBroken
from signals.indicators.regimes import WILD_SESSIONS, split_states, wild_of
from signals.market.bars import Floats

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
WHOLE = len(GRID) - 1
CLIP = 4.0  # standard deviations: a state further out than any that was learned from counts as that far
SHORT, MONTH, QUARTER = 5, 20, 60
PLANS_READ = SHORT
STATE = (
    "conviction",
    "forecast_volatility",
    "volatility_20",
    "volatility_60",
    "volatility_ratio",
    "trend_5",
    "trend_20",
    "trend_60",
    "drawdown_60",
    "crowding",
    "market_trend_20",
    "market_volatility_20",
    "market_drawdown_60",
    "dispersion_20",
    "beta",
    "gross",
    "shrunk_ic",
    "wild",
    "book_turnover",
    "cost_5",
)
Book = Mapping[str, float]
"""Signed weights of a whole target book by symbol, without those of 0."""
MULTIPLIER = "policy multiplier"


def level_of(multiplier: float) -> int:
    """Return the place of a multiplier on the grid; raise `InvariantBroken` where it is none of it."""
    if multiplier not in GRID:
        raise InvariantBroken(f"the multiplier {multiplier} is not on the grid {GRID}")
    return GRID.index(multiplier)


@dataclass(frozen=True, eq=False)
class SizingPolicy:
    """Values of going from one level to another, linear in the state.

    Attributes
    ----------
    names : tuple of str, length F
        Of the state's numbers, in order.
    centre, scale : float64, shape (F,)
        A scale is positive.
    coefficients : float64, shape (levels, levels, 1 + F)
        Of the level before, the level after, and the constant in front of the state.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    coefficients: Floats

    def __post_init__(self) -> None:
        count, levels = len(self.names), len(GRID)
        for name, shape in (("centre", (count,)), ("scale", (count,)), ("coefficients", (levels, levels, 1 + count))):
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise InvariantBroken(f"the policy's {name} are not finite of shape {shape}")
        if not (self.scale > 0).all():
            raise InvariantBroken("a scale of the policy's state is not positive")

    def values(self, states: Floats) -> Floats:
        """Values of states (n, F) by level before and after, (n, levels, levels)."""
        return np.asarray(np.einsum("ijf,nf->nij", self.coefficients, standardised_states(states, self.centre, self.scale)))

    def path(self, states: Floats, before: float = 1.0) -> Floats:
        """Multipliers that the policy chooses along consecutive states (T, F), (T,)."""
        values, now = self.values(states), level_of(before)
        chosen = np.empty(len(states))
        for row, value in enumerate(values):
            best = int(value[now].argmax())
            now = now if value[now, now] >= value[now, best] else best
            chosen[row] = GRID[now]
        return chosen


def standardised_states(states: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return [1, clip((state - centre) / scale)] of states (n, F)."""
    return np.column_stack([np.ones(len(states)), np.clip((states - centre) / scale, -CLIP, CLIP)])


SizingOn = Callable[[date], SizingPolicy | None]
"""Takes an asof, returns the policy in force; with None the multiplier stays as it is."""


@dataclass(frozen=True, eq=False)
class ChosenSize:
    """The multiplier of a target book, the state that it was chosen for, and the book before it; None where there was none."""

    multiplier: float = 1.0
    state: Floats | None = None
    whole: Book | None = None


@dataclass(frozen=True, eq=False)
class Sizing:
    """The policy of a session, and where it starts from.

    Attributes
    ----------
    before : float
        Multiplier of the last plan, 1 before there was one.
    policy : SizingPolicy or None
        None where there should be one that is refused: the level before holds, because a refusal enlarges no book.
    refusal : str
        Why there is none, in words.
    source : str
        Which one, for the report.
    books : sequence of Book
        Whole target books of the last plans, oldest first, as far as they are known; `PLANS_READ` of them are read.
    """

    before: float = 1.0
    policy: SizingPolicy | None = None
    refusal: str = ""
    source: str = ""
    books: Sequence[Book] = ()

    def __post_init__(self) -> None:
        level_of(self.before)
        if self.policy is not None and not set(self.policy.names) <= set(STATE):
            raise InvariantBroken("the policy reads another state than that of a target book")

    def sized(self, book: TargetBook) -> tuple[TargetBook, ChosenSize]:
        """Return the book times the policy's multiplier, and that multiplier."""
        state = state_of(book, self.books)
        multiplier, why = self._chosen(state)
        words = f"{multiplier:g}, {why}" + (f" ({self.source})" if self.source else "")
        sized = replace(book, weights=book.weights * multiplier, decisions=(*book.decisions, (MULTIPLIER, words)))
        whole = {symbol: weight for symbol, weight in zip(book.candidates.symbols, book.weights.tolist(), strict=True) if weight}
        return sized, ChosenSize(multiplier, state, whole)

    def _chosen(self, state: Floats | None) -> tuple[float, str]:
        if self.policy is None:
            return self.before, f"as before: {self.refusal or 'there is no policy'}"
        if state is None:
            return self.before, "as before: a flat book, or one without returns, is in no state"
        read = state[places_of(self.policy.names)]
        if absent := [name for name, value in zip(self.policy.names, read, strict=True) if not np.isfinite(value)]:
            return self.before, f"as before: of its state {', '.join(absent)} cannot be known yet"
        return float(self.policy.path(read[None], self.before)[0]), f"{self.before:g} before"


def places_of(names: Sequence[str]) -> list[int]:
    """Places of a policy's numbers in `STATE`."""
    return [STATE.index(name) for name in names]


def state_of(book: TargetBook, before: Sequence[Book] = ()) -> Floats | None:
    """Return the numbers of `STATE` for a whole target book after those of the last plans; None where it is flat or without returns.

    A number is NaN where it cannot be known: the turnover without a plan before, the regime of a market that never moved.
    """
    candidates, gross = book.candidates, float(np.abs(book.weights).sum())
    returns = candidates.returns
    if returns is None or len(returns) < QUARTER or gross <= 0:
        return None
    weights = book.weights / gross
    own, market = returns @ weights, returns.mean(axis=1)
    turnovers = _turnovers(book, before)
    volatility = {n: _annual(own[-n:]) for n in (MONTH, QUARTER, len(own))}
    state = np.array(
        [
            np.abs(weights) @ np.abs(candidates.z),
            annual_volatility(weights, candidates.covariance, candidates.horizon_sessions),
            volatility[MONTH],
            volatility[QUARTER],
            _ratio(volatility[MONTH], volatility[len(own)]),
            *(_trend(own, n) for n in (SHORT, MONTH, QUARTER)),
            _drawdown(own[-QUARTER:]),
            _crowding(candidates.covariance, weights),
            _trend(market, MONTH),
            _annual(market[-MONTH:]),
            _drawdown(market[-QUARTER:]),
            float(returns[-MONTH:].std(axis=1).mean()),
            candidates.beta @ weights,
            gross,
            candidates.backing.shrunk_ic,
            wild_of(market, split_states(market))[-1] if np.ptp(market[-WILD_SESSIONS:]) > 0 else np.nan,
            turnovers[-1] if turnovers else np.nan,
            np.mean(turnovers) * book.config.round_trip_cost_bps / 1e4 if turnovers else np.nan,
        ]
    )
    return np.where(np.isfinite(state), state, np.nan)


def _turnovers(book: TargetBook, before: Sequence[Book]) -> list[float]:
    """One-way turnover from each of the last `PLANS_READ` whole books to the next one, up to `book`."""
    now = dict(zip(book.candidates.symbols, book.weights.tolist(), strict=True))
    books = [*before[-PLANS_READ:], now]
    return [sum(abs(new.get(name, 0.0) - old.get(name, 0.0)) for name in sorted({*old, *new})) / 2.0 for old, new in pairwise(books)]


def _annual(returns: Floats) -> float:
    return float(returns.std(ddof=1)) * float(np.sqrt(SESSIONS_PER_YEAR))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0


def _trend(returns: Floats, count: int) -> float:
    """t-like: the sum of the last returns over the standard deviation of a sum of so many."""
    return _ratio(float(returns[-count:].sum()), float(returns.std(ddof=1)) * float(np.sqrt(count))) if np.ptp(returns) > 0 else 0.0


def _drawdown(returns: Floats) -> float:
    """How far the sum of the returns is below its highest, 0 or above."""
    path = np.concatenate([[0.0], np.cumsum(returns)])
    return float(path.max() - path[-1])


def _crowding(covariance: Floats, weights: Floats) -> float:
    """Mean correlation of the pairs of holdings, each taken by its side."""
    held = np.flatnonzero(weights)
    if len(held) < 2:
        return 1.0
    risk = np.sqrt(np.diag(covariance)[held]) * np.sign(weights[held])
    correlation = covariance[np.ix_(held, held)] / np.outer(risk, risk)
    return float((correlation.sum() - len(held)) / (len(held) * (len(held) - 1)))
