"""An invented top of book with a known law, of which the best possible forecast is known.

The spread is one tick. The middle moves by a tick in a share of the seconds, up with probability

    1 / (1 + exp(-log_odds)),   log_odds = slope x i x (1 - (i / turn)^2),   i = (bid size - ask size) / both, at the second before

The imbalance i comes back to 0 (Huang, Lehalle and Rosenbaum 2015 give queues that react so). With `turn` infinite the log odds are
linear in it, and a logistic regression is the truth; with a finite one they change their sign beyond it.
"""

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from trainer.flow.top_of_book import TopOfBook

STAYS, BOTH_SIZES, START = 0.8, 400.0, np.datetime64("2024-01-02T14:30:00", "s")


@dataclass(frozen=True, eq=False)
class GeneratedBook:
    """A book, and the log odds that the move of the next second, if it moves, is up; float64 (T,)."""

    book: TopOfBook
    log_odds: Floats


def generate_book(seed: int, seconds: int, *, slope: float = 3.0, turn: float = np.inf, moves: float = 0.4) -> GeneratedBook:
    """Invent so many seconds; the same seed, the same book."""
    rng = np.random.default_rng(seed)
    state = np.empty(seconds)
    state[0] = 0.0
    for t, shock in enumerate(rng.normal(0.0, 0.4, seconds - 1), start=1):
        state[t] = STAYS * state[t - 1] + shock
    bid_size = np.rint(BOTH_SIZES / 2.0 * (1.0 + np.tanh(state))).clip(1.0, BOTH_SIZES - 1.0)
    imbalance = 2.0 * bid_size / BOTH_SIZES - 1.0
    log_odds = slope * imbalance * (1.0 - (imbalance / turn) ** 2)
    up = rng.random(seconds) < 1.0 / (1.0 + np.exp(-np.concatenate([[0.0], log_odds[:-1]])))
    step = np.where(rng.random(seconds) < moves, np.where(up, 1.0, -1.0), 0.0)
    bid = 10_000.0 + np.cumsum(step)
    bought, sold = rng.poisson(3.0, (2, seconds)).astype(np.float64)
    return GeneratedBook(
        TopOfBook(START + np.arange(seconds), bid, bid + 1.0, bid_size, BOTH_SIZES - bid_size, bought, sold, bought + sold), log_odds
    )
