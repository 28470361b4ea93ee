"""Sample weights: equal sessions, time decay, average uniqueness and regime; and the sequential bootstrap.

Uniqueness: Lopez de Prado, Advances in Financial Machine Learning, ch. 4. With c_t the number of labels that live at
session t, a label's uniqueness is the mean of 1 / c_t over the sessions of its life.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from signals.config import Config
from signals.errors import InvariantBroken, TooLittleHistory
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Floats
from trainer.labels.horizon import Rows


def average_uniqueness(first: Rows, last: Rows) -> Floats:
    """Mean of 1 / (labels alive) over each label's closed life [first, last], shape (n,).

    Linear in labels plus sessions: lives become differences of cumulative sums.

    Examples
    --------
    Labels that live on sessions 0-2, 2-3 and 4-5:

    >>> average_uniqueness(np.array([0, 2, 4]), np.array([2, 3, 5])).round(4).tolist()
    [0.8333, 0.75, 1.0]
    """
    _check(first, last)
    if len(first) == 0:
        return np.zeros(0)
    alive = _alive(first, last, int(last.max()))
    return _mean_over(np.divide(1.0, alive, out=np.zeros_like(alive), where=alive > 0.5), first, last)


def bootstrap_probabilities(first: Rows, last: Rows, drawn: Rows) -> Floats:
    """Probability of each label to be drawn next, after the labels `drawn`; shape (n,), summing to 1.

    Proportional to the uniqueness that the label would have among those already drawn.

    Examples
    --------
    After the second label (sessions 2-3), the weights are 5/6, 1/2 and 1, over 14/6:

    >>> chances = bootstrap_probabilities(np.array([0, 2, 4]), np.array([2, 3, 5]), np.array([1]))
    >>> (chances * 14).round(9).tolist()
    [5.0, 3.0, 6.0]
    """
    _check(first, last)
    uniqueness = _mean_over(1.0 / (_alive(first[drawn], last[drawn], int(last.max())) + 1.0), first, last)
    chances: Floats = uniqueness / uniqueness.sum()
    return chances


def sequential_bootstrap(first: Rows, last: Rows, draws: int, rng: np.random.Generator) -> Rows:
    """Draw label numbers with replacement, each by `bootstrap_probabilities`, so that the sample overlaps less."""
    drawn = np.zeros(0, dtype=np.int64)
    for _ in range(draws):
        drawn = np.append(drawn, rng.choice(len(first), p=bootstrap_probabilities(first, last, drawn)))
    return drawn


def _alive(first: Rows, last: Rows, newest: int) -> Floats:
    """Number of labels alive at each session up to `newest`."""
    steps = np.zeros(newest + 2)
    np.add.at(steps, first, 1.0)
    np.add.at(steps, last + 1, -1.0)
    return np.cumsum(steps)[:-1]


def _mean_over(values: Floats, first: Rows, last: Rows) -> Floats:
    """Mean of a figure of sessions over each closed life, (n,)."""
    summed = np.concatenate([[0.0], np.cumsum(values)])
    mean: Floats = (summed[last + 1] - summed[first]) / (last - first + 1)
    return mean


def _check(first: Rows, last: Rows) -> None:
    if first.shape != last.shape or bool(np.any(last < first)) or bool(np.any(first < 0)):
        raise InvariantBroken("every label needs a life with 0 <= first <= last")


SESSIONS_PER_MONTH = 21


class WeightConfig(Config):
    """Weights of the rows that a learner fits.

    Attributes
    ----------
    half_life_months : float or None
        Of 21 sessions each; None weighs every age alike.
    uniqueness : bool
        By average uniqueness of the label.
    regimes : mapping of Regime to weight
        Of the rows of a kind of market, 1 where it is not named. 0 leaves them out of every fit: a mask. They are
        scored and judged like all others.
    """

    half_life_months: float | None = Field(default=None, gt=0.0)
    uniqueness: bool = False
    regimes: dict[Regime, Annotated[float, Field(ge=0.0)]] = Field(default={})

    @model_validator(mode="after")
    def _leaves_something(self) -> WeightConfig:
        if self.regimes and all(self.regimes.get(regime, 1.0) == 0.0 for regime in Regime):
            raise ValueError("every regime is left out: nothing would be learned from")
        return self


def time_decay(t0: Rows, half_life_months: float) -> Floats:
    """Return 2^(-age / half-life), (n,): 1 for the newest session, 1/2 one half-life before it.

    Examples
    --------
    >>> time_decay(np.array([0, 21, 42]), 1.0).tolist()
    [0.25, 0.5, 1.0]
    """
    age = (t0.max() - t0) / SESSIONS_PER_MONTH
    weights: Floats = np.exp2(-age / half_life_months)
    return weights


def uniqueness_by_symbol(t0: Rows, t1: Rows, column: Rows) -> Floats:
    """Average uniqueness of each label among the labels of its own symbol, (n,).

    A label lives from the session after its features' to its end: that is when it is at stake. All symbols are done in
    one pass, each on a stretch of sessions of its own.
    """
    stretch = int(t1.max()) + 1
    return average_uniqueness(column * stretch + t0 + 1, column * stretch + t1)


def reweighted(weight: Floats, t0: Rows, t1: Rows, column: Rows, config: WeightConfig, market: Floats | None = None) -> Floats:
    """Return `weight` times what `config` turns on, with mean 1; untouched when it turns nothing on.

    `market`, float64 (T,), is the market's return of every session: what regimes are told by.
    """
    if config.half_life_months is None and not config.uniqueness and not config.regimes:
        return weight
    changed = weight.copy()
    if config.half_life_months is not None:
        changed *= time_decay(t0, config.half_life_months)
    if config.uniqueness:
        changed *= uniqueness_by_symbol(t0, t1, column)
    if config.regimes:
        if market is None:
            raise InvariantBroken("weights by regime need the market's returns")
        by_name = {regime.value: config.regimes.get(regime, 1.0) for regime in Regime}
        changed *= np.array([by_name[str(name)] for name in regimes(market)])[t0]
        if not changed.any():
            raise TooLittleHistory("no row is left in the regimes to learn from", fix="Name other regimes")
    scaled: Floats = changed / changed.mean()
    return scaled
