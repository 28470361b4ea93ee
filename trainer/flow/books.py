"""Tops of books, second by second: of the market-by-order events of a file, or invented with a known law.

An `A` adds an order, in the place of one of the same number: a feed may send its opening snapshot twice. An `M` gives it another price or
size, a `C` takes size away, an `R` clears all. `F` and `T` change no order, for a `C` or an `M` follows them; a `T` is what was traded, by
the side that took it. Seconds at which the book is crossed, as it is before an opening match, have no top.

Of an invented book the best possible forecast is known. Its spread is one tick. The middle moves by a tick in a share of the seconds,
up with probability

    1 / (1 + exp(-log_odds)),   log_odds = slope x i x (1 - (i / turn)^2),   i = (bid size - ask size) / both, at the second before

The imbalance i comes back to 0 (Huang, Lehalle and Rosenbaum 2015 give queues that react so). With `turn` infinite the log odds are
linear in it, and a logistic regression is the truth; with a finite one they change their sign beyond it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signals.errors import BadDataset, FixInput
from signals.market.bars import Floats
from signals.text.wording import reason_of
from trainer.flow.top_of_book import TopOfBook

COLUMNS = ("ts_event", "action", "side", "price", "size", "order_id")
BID, ASK = "B", "A"


@dataclass(eq=False)
class OrderBook:
    """Orders by number, and the size at each price of a side, in ticks."""

    orders: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    sizes: dict[str, dict[int, int]] = field(default_factory=lambda: {BID: {}, ASK: {}})

    def take(self, action: str, side: str, price: int, size: int, order: int) -> None:
        """Apply one event."""
        if action == "R":
            self.orders.clear()
            self.sizes = {BID: {}, ASK: {}}
        elif action in ("A", "M") and side in self.sizes:
            self._drop(order)
            self.orders[order] = side, price, size
            self.sizes[side][price] = self.sizes[side].get(price, 0) + size
        elif action == "C" and order in self.orders:
            side, price, before = self.orders[order]
            self._drop(order)
            if before > size:
                self.take("A", side, price, before - size, order)

    def top(self) -> tuple[float, float, float, float]:
        """Bid, ask, bid size and ask size; NaN where a side is empty or they cross."""
        bid, ask = max(self.sizes[BID], default=0), min(self.sizes[ASK], default=0)
        if not self.sizes[BID] or not self.sizes[ASK] or bid >= ask:
            return (np.nan,) * 4
        return float(bid), float(ask), float(self.sizes[BID][bid]), float(self.sizes[ASK][ask])

    def _drop(self, order: int) -> None:
        if order in self.orders:
            side, price, size = self.orders.pop(order)
            self.sizes[side][price] -= size
            if not self.sizes[side][price]:
                del self.sizes[side][price]


def reconstruct(events: pa.Table, tick: float) -> TopOfBook:
    """Return the top of the book at the end of each second.

    Parameters
    ----------
    events : Table
        The columns `COLUMNS`, in the order in which they came.
    """
    when = events["ts_event"].to_numpy().astype("datetime64[s]").astype(np.int64)
    rows = len(range(int(when[0]), int(when[-1]) + 1))
    price = np.nan_to_num(events["price"].to_numpy().astype(np.float64) / tick)
    if (np.abs(price - np.rint(price)) > 1e-6).any():
        raise FixInput(f"a price is no multiple of the tick {tick}", where="--tick", fix="Give the instrument's tick")
    columns = (events["action"].to_pylist(), events["side"].to_pylist(), np.rint(price).astype(np.int64).tolist())
    tops, traded, book, now = np.full((rows, 4), np.nan), np.zeros((rows, 3)), OrderBook(), 0
    numbers = events["size"].to_pylist(), events["order_id"].to_pylist()
    for second, action, side, level, size, order in zip((when - when[0]).tolist(), *columns, *numbers, strict=True):
        if second > now:
            tops[now:second] = book.top()
            now = second
        if action == "T":
            traded[second] += (size * (side == BID), size * (side == ASK), 1)
        book.take(action, side, level, size, order)
    tops[now:] = book.top()
    seconds = (when[0] + np.arange(rows)).astype("datetime64[s]")
    return TopOfBook(seconds, *(np.ascontiguousarray(x) for x in tops.T), *(np.ascontiguousarray(x) for x in traded.T))


def read_events(path: Path) -> pa.Table:
    """Read a file of market-by-order events; raise `FixInput` where it cannot be read or lacks a column."""
    try:
        found = pq.read_table(path, columns=list(COLUMNS))
    except (OSError, pa.ArrowException, KeyError) as error:
        what = f"market-by-order events cannot be read: {reason_of(error)}"
        raise FixInput(what, where=str(path), fix=f"Give a Parquet file with {', '.join(COLUMNS)}") from None
    if found.num_rows == 0 or found["ts_event"].null_count or (np.diff(found["ts_event"].to_numpy().astype(np.int64)) < 0).any():
        raise BadDataset("events are empty or out of order", where=str(path), fix="Sort them by ts_event, as they came")
    return found


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
