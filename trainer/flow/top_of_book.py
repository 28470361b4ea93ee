"""The top of a book second by second: of market-by-order events or invented, its inputs, and aggregates of a window of them.

`INPUTS` is the schema. An input without a source at the broker keeps its place there: it is NaN, never zero, and never learned from.

An `A` adds an order, in the place of one of the same number: a feed may send its opening snapshot twice. An `M` gives it another price or
size, a `C` takes size away, an `R` clears all. `F` and `T` change no order, for a `C` or an `M` follows them; a `T` is what was traded, by
the side that took it. Seconds at which the book is crossed, as it is before an opening match, have no top.

Of an invented book, whose spread is one tick, the best forecast is known. In a share of the seconds the middle moves by a tick, up with

    P = 1 / (1 + exp(-log_odds)),   log_odds = slope x i x (1 - (i / turn)^2),   i = (bid size - ask size) / both, at the second before

The imbalance i comes back to 0 (Huang, Lehalle and Rosenbaum 2015). With `turn` infinite a logistic regression is the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import lfilter

from signals.errors import BadDataset, FixInput, InvariantBroken
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.text.wording import reason_of

SECONDS = 60


@dataclass(frozen=True)
class FlowInput:
    """One input of a second."""

    name: str
    units: str
    source: Literal["quotes", "trades", "none"]


INPUTS = (
    *(FlowInput(name, "ticks", "quotes") for name in ("middle_move", "bid_move", "ask_move", "spread")),
    *(FlowInput(name, "log", "quotes") for name in ("bid_size", "ask_size")),
    FlowInput("imbalance", "share", "quotes"),
    FlowInput("microprice", "ticks from the middle", "quotes"),
    FlowInput("order_flow", "of both sizes", "quotes"),
    FlowInput("signed_volume", "signed log", "trades"),
    *(FlowInput(name, "log", "trades") for name in ("volume", "trades")),
    FlowInput("depth_imbalance", "share", "none"),
    FlowInput("funding", "rate", "none"),
    FlowInput("basis", "ratio", "none"),
    FlowInput("open_interest_change", "contracts", "none"),
    FlowInput("on_chain_flow", "coins", "none"),
    FlowInput("liquidations", "USD", "none"),
)
LEARNED = tuple(one.name for one in INPUTS if one.source != "none")
Windows = Callable[[str], Floats]  # of an input, by name: float64 (T - 59, 60)
TIME = np.arange(SECONDS) - (SECONDS - 1) / 2.0
AGGREGATES: dict[str, Callable[[Windows], Floats]] = {
    "imbalance_mean": lambda of: of("imbalance").mean(axis=1),
    "imbalance_last": lambda of: of("imbalance")[:, -1],
    "order_flow_mean": lambda of: of("order_flow").mean(axis=1),
    "signed_volume_mean": lambda of: of("signed_volume").mean(axis=1),
    "signed_volume_slope": lambda of: of("signed_volume") @ TIME / (TIME @ TIME),
    "move": lambda of: _path(of)[:, -1],
    "share_beyond": lambda of: (_path(of) > 0.0).mean(axis=1),
    "spread_mean": lambda of: of("spread").mean(axis=1),
    "microprice_last": lambda of: of("microprice")[:, -1],
    "volume_mean": lambda of: of("volume").mean(axis=1),
}


@dataclass(frozen=True, eq=False)
class TopOfBook:
    """The book as it stood at the end of each second, and what was traded within it; another is `InvariantBroken`.

    Attributes
    ----------
    second : datetime64[s], shape (T,)
        One after another, none missing.
    bid, ask : float64, shape (T,), ticks
        NaN where there is no side, or where they cross.
    bid_size, ask_size : float64, shape (T,)
    bought, sold, trades : float64, shape (T,)
        Volume by the side that took it, and how many trades.
    """

    second: NDArray[np.datetime64]
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats
    bought: Floats
    sold: Floats
    trades: Floats

    def __post_init__(self) -> None:
        if any(x.shape != self.second.shape for x in vars(self).values()) or (np.diff(self.second) != np.timedelta64(1, "s")).any():
            raise InvariantBroken("a top of book has one row for every second, and one figure of each for every row")
        if (self.bid >= self.ask).any():
            raise InvariantBroken("a top of book has its bid under its ask")

    @property
    def middle(self) -> Floats:
        """Ticks; shape (T,)."""
        return (self.bid + self.ask) / 2.0


def table(book: TopOfBook) -> Floats:
    """Return every input, float64 (T, inputs), NaN where it is not known; those without a source are NaN throughout."""
    both = book.bid_size + book.ask_size
    imbalance = (book.bid_size - book.ask_size) / both
    moves = [np.diff(x, prepend=np.nan) for x in (book.middle, book.bid, book.ask)]
    before = [np.concatenate([[np.nan], x[:-1]]) for x in (book.bid_size, book.ask_size)]
    # Cont, Kukanov and Stoikov 2014, eq. 4, over both sizes
    joined = np.where(moves[1] >= 0, book.bid_size, 0.0) - np.where(moves[1] <= 0, before[0], 0.0)
    offered = np.where(moves[2] <= 0, book.ask_size, 0.0) - np.where(moves[2] >= 0, before[1], 0.0)
    flow = np.where(np.isfinite(moves[0]), (joined - offered) / both, np.nan)
    signed = book.bought - book.sold
    known = {
        **dict(zip(("middle_move", "bid_move", "ask_move"), moves, strict=True)),
        "spread": book.ask - book.bid,
        "bid_size": np.log1p(book.bid_size),
        "ask_size": np.log1p(book.ask_size),
        "imbalance": imbalance,
        "microprice": imbalance * (book.ask - book.bid) / 2.0,
        "order_flow": flow,
        "signed_volume": np.sign(signed) * np.log1p(np.abs(signed)),
        "volume": np.log1p(book.bought + book.sold),
        "trades": np.log1p(book.trades),
    }
    return np.column_stack([known.get(one.name, np.full(len(signed), np.nan)) for one in INPUTS])


def inputs_panel(book: TopOfBook) -> FeaturePanel:
    """Return the inputs that have a source, a row a second: what a net reads windows of."""
    return _panel(book, tuple(one.name for one in INPUTS), table(book)).only(LEARNED)


def aggregates_panel(book: TopOfBook) -> FeaturePanel:
    """Return aggregates of the `SECONDS` that end at each second: what a logistic regression reads; NaN before there are so many."""
    values = dict(zip((one.name for one in INPUTS), table(book).T, strict=True))
    found = [aggregate(lambda name: sliding_window_view(values[name], SECONDS)) for aggregate in AGGREGATES.values()]
    padded = np.full((len(book.second), len(AGGREGATES)), np.nan)
    padded[SECONDS - 1 :] = np.column_stack(found)
    return _panel(book, tuple(AGGREGATES), padded)


def _path(of: Windows) -> Floats:
    return np.cumsum(np.nan_to_num(of("middle_move")), axis=1)


def _panel(book: TopOfBook, names: tuple[str, ...], values: Floats) -> FeaturePanel:
    eligible = np.isfinite(book.middle) & (np.arange(len(book.second)) >= SECONDS)
    return FeaturePanel(book.second, ("book",), names, values.astype(np.float32)[:, None], eligible[:, None])


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
    """Return the top of the book at the end of each second; events have the columns `COLUMNS`, in the order in which they came."""
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


def generate_book(seed: int, seconds: int, *, slope: float = 3.0, turn: float = np.inf, moves: float = 0.4) -> tuple[TopOfBook, Floats]:
    """Invent so many seconds, the same of a seed: the book, and the log odds that the move of the next second, if it moves, is up."""
    rng = np.random.default_rng(seed)
    state = lfilter([1.0], [1.0, -STAYS], np.concatenate([[0.0], rng.normal(0.0, 0.4, seconds - 1)]))
    bid_size = np.rint(BOTH_SIZES / 2.0 * (1.0 + np.tanh(state))).clip(1.0, BOTH_SIZES - 1.0)
    imbalance = 2.0 * bid_size / BOTH_SIZES - 1.0
    log_odds = slope * imbalance * (1.0 - (imbalance / turn) ** 2)
    up = rng.random(seconds) < 1.0 / (1.0 + np.exp(-np.concatenate([[0.0], log_odds[:-1]])))
    step = np.where(rng.random(seconds) < moves, np.where(up, 1.0, -1.0), 0.0)
    bid = 10_000.0 + np.cumsum(step)
    bought, sold = rng.poisson(3.0, (2, seconds)).astype(np.float64)
    return TopOfBook(START + np.arange(seconds), bid, bid + 1.0, bid_size, BOTH_SIZES - bid_size, bought, sold, bought + sold), log_odds
