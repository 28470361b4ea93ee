"""Average uniqueness of overlapping labels, and the sequential bootstrap.

Source: Lopez de Prado, Advances in Financial Machine Learning, ch. 4. With c_t the number of labels that live at
session t, a label's uniqueness is the mean of 1 / c_t over the sessions of its life.
"""

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Floats

Rows = NDArray[np.int64]


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
    steps = np.zeros(int(last.max()) + 2)
    np.add.at(steps, first, 1.0)
    np.add.at(steps, last + 1, -1.0)
    alive = np.cumsum(steps)[:-1]
    inverse = np.divide(1.0, alive, out=np.zeros_like(alive), where=alive > 0.5)
    summed = np.concatenate([[0.0], np.cumsum(inverse)])
    uniqueness: Floats = (summed[last + 1] - summed[first]) / (last - first + 1)
    return uniqueness


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
    steps = np.zeros(int(last.max()) + 2)
    np.add.at(steps, first[drawn], 1.0)
    np.add.at(steps, last[drawn] + 1, -1.0)
    with_one_more = 1.0 / (np.cumsum(steps)[:-1] + 1.0)
    summed = np.concatenate([[0.0], np.cumsum(with_one_more)])
    uniqueness = (summed[last + 1] - summed[first]) / (last - first + 1)
    chances: Floats = uniqueness / uniqueness.sum()
    return chances


def sequential_bootstrap(first: Rows, last: Rows, draws: int, rng: np.random.Generator) -> Rows:
    """Draw label numbers with replacement, each by `bootstrap_probabilities`, so that the sample overlaps less."""
    drawn = np.zeros(0, dtype=np.int64)
    for _ in range(draws):
        drawn = np.append(drawn, rng.choice(len(first), p=bootstrap_probabilities(first, last, drawn)))
    return drawn


def _check(first: Rows, last: Rows) -> None:
    if first.shape != last.shape or bool(np.any(last < first)) or bool(np.any(first < 0)):
        raise InvariantBroken("every label needs a life with 0 <= first <= last")
